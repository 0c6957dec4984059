//! What can go wrong with one request. Why this file: a device that refuses and a link that is lost are different faults with different
//! remedies, and both must say what was expected and what came.
//!
//! Words: a *refusal* is a Modbus exception: the device understood and said no, the connection stays. A *loss* is everything after which
//! the next bytes on the connection cannot be trusted: it is dropped.

use std::io::ErrorKind;
use std::time::Duration;

use flyball_core::status::Status;

/// A request without a usable answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestError {
    /// The device answered with an exception. The connection stays.
    Refused(Exception),
    /// The connection was dropped.
    Lost(LinkLoss),
}

/// A Modbus exception code (Application Protocol V1.1b3, section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exception(pub u8);

impl Exception {
    /// Function code not supported.
    pub const ILLEGAL_FUNCTION: Self = Self(0x01);
    /// Address outside the device's tables.
    pub const ILLEGAL_ADDRESS: Self = Self(0x02);
    /// Quantity or value not allowed.
    pub const ILLEGAL_VALUE: Self = Self(0x03);
    /// The device failed.
    pub const DEVICE_FAILURE: Self = Self(0x04);
    /// Accepted, still working on it.
    pub const ACKNOWLEDGE: Self = Self(0x05);
    /// Busy, ask again.
    pub const BUSY: Self = Self(0x06);
    /// Gateway: no path to the unit.
    pub const GATEWAY_PATH: Self = Self(0x0A);
    /// Gateway: the unit did not answer.
    pub const GATEWAY_TARGET: Self = Self(0x0B);

    /// Status of values whose read was refused; None means "keep the last one and ask again" (acknowledge, busy).
    #[must_use]
    pub const fn read_status(self) -> Option<Status> {
        match self {
            Self::ACKNOWLEDGE | Self::BUSY => None,
            Self::ILLEGAL_FUNCTION | Self::ILLEGAL_ADDRESS | Self::ILLEGAL_VALUE => Some(Status::BadConfigurationError),
            Self::GATEWAY_PATH | Self::GATEWAY_TARGET => Some(Status::BadNoCommunication),
            _ => Some(Status::BadDeviceFailure),
        }
    }

    /// Status of cells whose write was refused. Acknowledge is accepted but not known to be done; busy was not done.
    #[must_use]
    pub const fn write_status(self) -> Status {
        match self {
            Self::ACKNOWLEDGE => Status::GoodCompletesAsynchronously,
            Self::BUSY => Status::BadInvalidState,
            other => match other.read_status() {
                Some(status) => status,
                None => Status::BadDeviceFailure,
            },
        }
    }

    /// The configuration or the device's register map is wrong: asking again soon cannot help.
    #[must_use]
    pub const fn is_configuration(self) -> bool {
        matches!(self, Self::ILLEGAL_FUNCTION | Self::ILLEGAL_ADDRESS | Self::ILLEGAL_VALUE)
    }

    /// A gateway says that it cannot reach this unit.
    #[must_use]
    pub const fn is_gateway(self) -> bool {
        matches!(self, Self::GATEWAY_PATH | Self::GATEWAY_TARGET)
    }
}

impl core::fmt::Display for Exception {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let text = match *self {
            Self::ILLEGAL_FUNCTION => "illegal function: the device does not know this kind of request",
            Self::ILLEGAL_ADDRESS => {
                "illegal data address: check address and numbering, and set gap_limit = 0 if the device refuses holes"
            }
            Self::ILLEGAL_VALUE => "illegal data value: check quantity (max_read, max_write) and value",
            Self::DEVICE_FAILURE => "device failure",
            Self::ACKNOWLEDGE => "acknowledge: accepted, still working",
            Self::BUSY => "device busy",
            Self::GATEWAY_PATH => "gateway has no path to the unit: check the unit id",
            Self::GATEWAY_TARGET => "gateway got no answer from the unit: check the unit id and its power",
            _ => "see the device's manual",
        };
        write!(f, "exception {:02X}, {text}", self.0)
    }
}

/// Why a connection was dropped or never came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkLoss {
    /// There is no connection.
    NotConnected,
    /// The connection could not be made.
    Connect(ErrorKind),
    /// No complete answer in time. A late one could be taken for the next answer, hence the loss.
    Timeout {
        /// Real waiting time.
        after: Duration,
    },
    /// The peer closed the connection.
    Closed,
    /// The operating system reported this.
    Io(ErrorKind),
    /// Bytes were waiting before the request was sent: an answer to nothing.
    Unsolicited,
    /// Not a Modbus frame: checksum, protocol id or PDU is wrong.
    Malformed,
    /// A frame, but not the answer to what was asked.
    Mismatch {
        /// Which part.
        field: Field,
        /// What the request needs.
        expected: u32,
        /// What came.
        received: u32,
    },
}

/// A part of an answer that must repeat the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Transaction id (Modbus TCP).
    Transaction,
    /// Unit id.
    Unit,
    /// Function code.
    Function,
    /// Bytes of the whole frame.
    Length,
    /// Address of a write.
    Address,
    /// Quantity of a write.
    Quantity,
    /// Value of a write.
    Value,
}

impl LinkLoss {
    /// Status of values that could not be read or written because of this.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::NotConnected | Self::Connect(_) => Status::BadNotConnected,
            Self::Timeout { .. } => Status::BadTimeout,
            Self::Closed | Self::Io(_) | Self::Unsolicited | Self::Malformed | Self::Mismatch { .. } => {
                Status::BadCommunicationError
            }
        }
    }
}

impl core::fmt::Display for LinkLoss {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotConnected => f.write_str("not connected"),
            Self::Connect(kind) => write!(f, "cannot connect: {kind}; check address, port, cable and firewall"),
            Self::Timeout { after } => write!(f, "no complete answer within {after:?}"),
            Self::Closed => f.write_str("the device closed the connection"),
            Self::Io(kind) => write!(f, "connection broken: {kind}"),
            Self::Unsolicited => f.write_str("bytes arrived that nobody asked for"),
            Self::Malformed => f.write_str(
                "answer is not a Modbus frame (checksum or length wrong): check transport and line settings",
            ),
            Self::Mismatch { field, expected, received } => {
                write!(f, "answer does not fit the request: {field:?} expected {expected}, received {received}")
            }
        }
    }
}

impl core::fmt::Display for RequestError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Refused(exception) => exception.fmt(f),
            Self::Lost(loss) => loss.fmt(f),
        }
    }
}

impl std::error::Error for RequestError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_map_as_the_domain_guide_says() {
        let status = |code| Exception(code).read_status();
        for code in 1..=3 {
            assert_eq!(status(code), Some(Status::BadConfigurationError));
        }
        assert_eq!(status(4), Some(Status::BadDeviceFailure));
        assert_eq!((status(5), status(6)), (None, None));
        assert_eq!((status(0x0A), status(0x0B)), (Some(Status::BadNoCommunication), Some(Status::BadNoCommunication)));
        assert_eq!(status(0x42), Some(Status::BadDeviceFailure));
        assert!(Exception::BUSY.write_status().is_bad() && Exception::ACKNOWLEDGE.write_status().is_good());
    }
}
