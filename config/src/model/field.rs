//! Field connections and the addresses behind them: OPC UA nodes, Modbus registers.

use std::path::PathBuf;
use std::time::Duration;

/// One field connection.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Name used in addresses (`plc1: ...`).
    pub name: String,
    /// Protocol and its settings.
    pub protocol: Protocol,
    /// Time for one request; after it the request is a timeout.
    pub timeout: Duration,
    /// Reconnect back-off.
    pub reconnect: Backoff,
}

/// Exponential back-off with jitter between these bounds.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// First wait.
    pub first: Duration,
    /// Longest wait.
    pub longest: Duration,
}

/// Protocol of a connection.
#[derive(Debug, Clone)]
pub enum Protocol {
    /// OPC UA client.
    OpcUa(OpcUaConnection),
    /// Modbus client.
    Modbus(ModbusConnection),
}

/// OPC UA client settings.
#[derive(Debug, Clone)]
pub struct OpcUaConnection {
    /// `opc.tcp://host:port/path`.
    pub endpoint: String,
    /// Message security.
    pub security: Security,
    /// Who we are to the server.
    pub user: UserIdentity,
    /// Subscription or cyclic read.
    pub read_by: ReadBy,
    /// Folder of own and trusted certificates.
    pub pki: PathBuf,
}

/// Message security of an OPC UA endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Security {
    /// Sign or sign and encrypt.
    pub mode: SecurityMode,
    /// Algorithms.
    pub policy: SecurityPolicy,
}

impl Security {
    /// No security at all: only behind the explicit lab switch.
    pub const NONE: Self = Self { mode: SecurityMode::None, policy: SecurityPolicy::None };
}

/// OPC UA MessageSecurityMode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum SecurityMode {
    /// Clear text.
    None,
    /// Signed.
    Sign,
    /// Signed and encrypted.
    SignAndEncrypt,
}

/// OPC UA security policies; deprecated ones cannot be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum SecurityPolicy {
    /// Clear text.
    None,
    /// Basic256Sha256.
    Basic256Sha256,
    /// Aes128_Sha256_RsaOaep.
    Aes128Sha256RsaOaep,
    /// Aes256_Sha256_RsaPss.
    Aes256Sha256RsaPss,
}

/// User identity of the client.
#[derive(Debug, Clone)]
pub enum UserIdentity {
    /// No user.
    Anonymous,
    /// User name and password.
    Password {
        /// User name.
        user: String,
        /// Where the password comes from.
        password: Secret,
    },
}

/// Where a secret comes from: never the secret itself, so it can be printed and logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// Environment variable.
    Env(String),
    /// First line of a file.
    File(PathBuf),
}

/// How values are read over OPC UA.
#[derive(Debug, Clone, Copy)]
pub enum ReadBy {
    /// Monitored items.
    Subscription {
        /// Requested publishing interval; sampling interval is the same.
        publishing: Duration,
    },
    /// Read service at this interval.
    Cyclic {
        /// Interval.
        every: Duration,
    },
}

/// Modbus client settings.
#[derive(Debug, Clone)]
pub struct ModbusConnection {
    /// Wire.
    pub transport: ModbusTransport,
    /// Unit id of tags that name none.
    pub unit: u8,
    /// Poll interval.
    pub poll: Duration,
    /// Join neighbouring registers when the hole between them is at most this many registers.
    pub gap_limit: u16,
    /// Registers per read request, at most 125.
    pub max_read: u16,
    /// Registers per write request, at most 123.
    pub max_write: u16,
    /// Pause between two requests, for devices that need one.
    pub pause: Duration,
}

/// Modbus wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModbusTransport {
    /// Modbus TCP.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port, usually 502.
        port: u16,
    },
    /// RTU frames in a TCP stream.
    RtuOverTcp {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// Serial line.
    Rtu {
        /// Device file.
        device: PathBuf,
        /// Baud rate.
        baud: u32,
        /// Parity.
        parity: Parity,
        /// Stop bits, 1 or 2.
        stop_bits: u8,
    },
}

/// Parity of a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parity {
    /// None.
    None,
    /// Even (the Modbus default).
    Even,
    /// Odd.
    Odd,
}

/// Where a value lives in the field.
#[derive(Debug, Clone, PartialEq)]
pub enum Address {
    /// OPC UA node.
    OpcUa(OpcUaAddress),
    /// Modbus register or bit.
    Modbus(ModbusAddress),
}

/// An OPC UA node by namespace URI, never by index.
#[derive(Debug, Clone, PartialEq)]
pub enum OpcUaAddress {
    /// By NodeId.
    Node {
        /// Namespace URI.
        namespace: String,
        /// Identifier.
        identifier: NodeIdentifier,
    },
    /// By browse path from the Objects folder; each step is (namespace URI, browse name).
    Path(Vec<(String, String)>),
}

/// Identifier part of an OPC UA NodeId.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeIdentifier {
    /// `i=`
    Numeric(u32),
    /// `s=`
    Text(String),
    /// `g=`, in its text form.
    Guid(String),
    /// `b=`, decoded.
    Opaque(Vec<u8>),
}

/// A Modbus address as it goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModbusAddress {
    /// Unit id.
    pub unit: u8,
    /// Data table.
    pub table: ModbusTable,
    /// Zero-based wire address of the first register or bit.
    pub start: u16,
    /// How the registers are read.
    pub data: DataType,
    /// Bit inside the register, 0 = least significant, for `bit n`.
    pub bit: Option<u8>,
    /// Byte order of 32- and 64-bit values.
    pub order: WordOrder,
}

/// The four Modbus tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ModbusTable {
    /// 0xxxx, FC1/5/15.
    Coil,
    /// 1xxxx, FC2.
    DiscreteInput,
    /// 3xxxx, FC4.
    InputRegister,
    /// 4xxxx, FC3/6/16.
    HoldingRegister,
}

/// Data types on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataType {
    /// One bit.
    Bool,
    /// Signed 16 bits.
    Int16,
    /// Unsigned 16 bits.
    UInt16,
    /// Signed 32 bits.
    Int32,
    /// Unsigned 32 bits.
    UInt32,
    /// Signed 64 bits.
    Int64,
    /// Unsigned 64 bits.
    UInt64,
    /// IEEE 754 single.
    Float32,
    /// IEEE 754 double.
    Float64,
    /// Four decimal digits in one register.
    Bcd16,
    /// Eight decimal digits in two registers.
    Bcd32,
}

impl DataType {
    /// 16-bit registers that a value of this type fills.
    #[must_use]
    pub const fn registers(self) -> u16 {
        match self {
            Self::Bool | Self::Int16 | Self::UInt16 | Self::Bcd16 => 1,
            Self::Int32 | Self::UInt32 | Self::Float32 | Self::Bcd32 => 2,
            Self::Int64 | Self::UInt64 | Self::Float64 => 4,
        }
    }
}

/// Byte order of values wider than one register, A = most significant byte of a 32-bit value.
///
/// 64-bit values use the same rule: word order big or little, bytes inside each word kept or swapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordOrder {
    /// High word first, high byte first (big endian).
    Abcd,
    /// Low word first, high byte first.
    Cdab,
    /// High word first, bytes swapped.
    Badc,
    /// Low word first, bytes swapped (little endian).
    Dcba,
}
