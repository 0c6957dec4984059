//! `Status`: the 32-bit OPC UA StatusCode, severity and sub-code kept from the wire to the model and out again.
//!
//! Codes: OPC 10000-4 and the OPC Foundation's StatusCode table. The bottom 16 bits are flags (limit bits); compare with `code()`.

use serde::{Deserialize, Serialize};

/// An OPC UA StatusCode.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Status(pub u32);

/// The two severity bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Use.
    Good,
    /// Use with care.
    Uncertain,
    /// Never use.
    Bad,
}

macro_rules! codes {
    ($($name:ident = $code:literal),* $(,)?) => {
        #[allow(missing_docs, non_upper_case_globals, reason = "names and values are the OPC Foundation's")]
        impl Status {
            $(pub const $name: Self = Self($code);)*

            /// The OPC UA name of the code without its flag bits, or "Good"/"Uncertain"/"Bad" for codes not listed here.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self.0 & 0xFFFF_0000 {
                    $($code => stringify!($name),)*
                    other => match other >> 30 {
                        0 => "Good",
                        1 => "Uncertain",
                        _ => "Bad",
                    },
                }
            }
        }
    };
}

codes! {
    Good = 0x0000_0000,
    GoodClamped = 0x0030_0000,
    GoodCompletesAsynchronously = 0x002E_0000,
    GoodLocalOverride = 0x0096_0000,
    GoodNoData = 0x00A5_0000,
    UncertainNoCommunicationLastUsableValue = 0x408F_0000,
    UncertainLastUsableValue = 0x4090_0000,
    UncertainSubstituteValue = 0x4091_0000,
    UncertainInitialValue = 0x4092_0000,
    UncertainSensorNotAccurate = 0x4093_0000,
    UncertainEngineeringUnitsExceeded = 0x4094_0000,
    UncertainSubNormal = 0x4095_0000,
    UncertainTransducerInManual = 0x4208_0000,
    UncertainSimulatedValue = 0x4209_0000,
    UncertainSensorCalibration = 0x420A_0000,
    Bad = 0x8000_0000,
    BadInternalError = 0x8002_0000,
    BadCommunicationError = 0x8005_0000,
    BadTimeout = 0x800A_0000,
    BadServerNotConnected = 0x800D_0000,
    BadUserAccessDenied = 0x801F_0000,
    BadNoCommunication = 0x8031_0000,
    BadWaitingForInitialData = 0x8032_0000,
    BadNodeIdUnknown = 0x8034_0000,
    BadNotWritable = 0x803B_0000,
    BadOutOfRange = 0x803C_0000,
    BadNotSupported = 0x803D_0000,
    BadTypeMismatch = 0x8074_0000,
    BadConfigurationError = 0x8089_0000,
    BadNotConnected = 0x808A_0000,
    BadDeviceFailure = 0x808B_0000,
    BadSensorFailure = 0x808C_0000,
    BadOutOfService = 0x808D_0000,
    BadInvalidArgument = 0x80AB_0000,
    BadInvalidState = 0x80AF_0000,
}

impl Status {
    /// Limit bits: value is constant (InfoType DataValue + limit bits 11).
    pub const LIMIT_CONSTANT: u32 = 0x0700;
    /// Limit bits: value is at its high limit.
    pub const LIMIT_HIGH: u32 = 0x0600;
    /// Limit bits: value is at its low limit.
    pub const LIMIT_LOW: u32 = 0x0500;

    /// Severity.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self.0 >> 30 {
            0 => Severity::Good,
            1 => Severity::Uncertain,
            _ => Severity::Bad,
        }
    }

    /// Code without flag bits.
    #[must_use]
    pub const fn code(self) -> Self {
        Self(self.0 & 0xFFFF_0000)
    }

    /// Severity is Good.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self.severity(), Severity::Good)
    }

    /// Severity is Bad.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        matches!(self.severity(), Severity::Bad)
    }

    /// The worse of two; at equal severity the first is kept, because the first cause explains most.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        if other.severity() > self.severity() { other } else { self }
    }

    /// The same code with limit bits.
    #[must_use]
    pub const fn with_limit(self, bits: u32) -> Self {
        Self((self.0 & 0xFFFF_F0FF) | bits)
    }
}

impl core::fmt::Debug for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}({:#010x})", self.name(), self.0)
    }
}

impl core::fmt::Display for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severity_and_flags() {
        assert_eq!(Status::UncertainSubNormal.severity(), Severity::Uncertain);
        assert_eq!(Status(0x8000_0000).severity(), Severity::Bad);
        assert_eq!(Status(0xC000_0000).severity(), Severity::Bad, "the reserved severity is treated as Bad");
        let limited = Status::Good.with_limit(Status::LIMIT_HIGH);
        assert!(limited.is_good());
        assert_ne!(limited, Status::Good);
        assert_eq!(limited.code(), Status::Good);
    }

    #[test]
    fn worst_keeps_the_first_cause() {
        let a = Status::BadTimeout;
        assert_eq!(a.worst(Status::BadSensorFailure), a);
        assert_eq!(Status::Good.worst(Status::UncertainSubNormal), Status::UncertainSubNormal);
        assert_eq!(Status::UncertainSubNormal.worst(Status::Good), Status::UncertainSubNormal);
    }

    #[test]
    fn names() {
        assert_eq!(Status::BadTimeout.name(), "BadTimeout");
        assert_eq!(Status(0x8044_0000).name(), "Bad");
    }
}
