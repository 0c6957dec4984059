//! The one table of a simulated PLC's signals: node id, IEC type, direction, Modbus register. Every server is built from it. The table
//! of R-101 stands here, that of te4 in `te4::signals`.
//!
//! Words: *direction* is seen from the runtime; `Write` signals form the area that only the runtime writes, everything else is
//! read-only. A *row* is a signal's place in its table. Node ids are those of a Siemens S7 server: quoted, dotted, in the namespace
//! `NAMESPACE`. Registers are zero-based wire addresses of holding registers; 40001 is wire address 0.

/// Namespace URI of all nodes.
pub const NAMESPACE: &str = "http://www.siemens.com/simatic-s7-opcua";

/// IEC 61131-3 data types that the PLC exposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlcType {
    /// One bit; in Modbus a register of 0 or 1.
    Bool,
    /// Signed 16 bits.
    Int,
    /// Unsigned 16 bits.
    UInt,
    /// 16 bits without arithmetic; unsigned on the wire.
    Word,
    /// Unsigned 32 bits; in Modbus high word first (ABCD).
    UDInt,
    /// IEEE 754 single; in Modbus high word first (ABCD).
    Real,
}

impl PlcType {
    /// Holding registers that a value fills.
    #[must_use]
    pub const fn registers(self) -> u16 {
        match self {
            Self::Bool | Self::Int | Self::UInt | Self::Word => 1,
            Self::UDInt | Self::Real => 2,
        }
    }

    /// IEC name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Int => "INT",
            Self::UInt => "UINT",
            Self::Word => "WORD",
            Self::UDInt => "UDINT",
            Self::Real => "REAL",
        }
    }
}

/// A value in the PLC's memory.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "each variant carries the IEC type of its name")]
pub enum PlcValue {
    Bool(bool),
    Int(i16),
    UInt(u16),
    Word(u16),
    UDInt(u32),
    Real(f32),
}

impl PlcValue {
    /// Zero of a type.
    #[must_use]
    pub const fn zero(of: PlcType) -> Self {
        match of {
            PlcType::Bool => Self::Bool(false),
            PlcType::Int => Self::Int(0),
            PlcType::UInt => Self::UInt(0),
            PlcType::Word => Self::Word(0),
            PlcType::UDInt => Self::UDInt(0),
            PlcType::Real => Self::Real(0.0),
        }
    }

    /// Its type.
    #[must_use]
    pub const fn plc_type(self) -> PlcType {
        match self {
            Self::Bool(_) => PlcType::Bool,
            Self::Int(_) => PlcType::Int,
            Self::UInt(_) => PlcType::UInt,
            Self::Word(_) => PlcType::Word,
            Self::UDInt(_) => PlcType::UDInt,
            Self::Real(_) => PlcType::Real,
        }
    }

    /// As a number; FALSE is 0, TRUE is 1.
    #[must_use]
    pub fn number(self) -> f64 {
        match self {
            Self::Bool(x) => f64::from(u8::from(x)),
            Self::Int(x) => f64::from(x),
            Self::UInt(x) | Self::Word(x) => f64::from(x),
            Self::UDInt(x) => f64::from(x),
            Self::Real(x) => f64::from(x),
        }
    }

    /// A number as this type: whole types round and saturate, BOOL is "not 0", REAL rounds to single. NaN becomes 0 in whole types.
    #[must_use]
    pub fn from_number(of: PlcType, x: f64) -> Self {
        let whole = x.round();
        match of {
            PlcType::Bool => Self::Bool(whole != 0.0 && !whole.is_nan()),
            PlcType::Int => Self::Int(whole as i16),
            PlcType::UInt => Self::UInt(whole as u16),
            PlcType::Word => Self::Word(whole as u16),
            PlcType::UDInt => Self::UDInt(whole as u32),
            PlcType::Real => Self::Real(x as f32),
        }
    }

    /// Equal bits: a NaN equals itself, so a repeated NaN is no change.
    #[must_use]
    pub fn same(self, other: Self) -> bool {
        match (self, other) {
            (Self::Real(a), Self::Real(b)) => a.to_bits() == b.to_bits(),
            (a, b) => a == b,
        }
    }

    /// Registers as sent, high word first; the second is None for one-register types.
    #[must_use]
    pub fn to_registers(self) -> (u16, Option<u16>) {
        let two = |bits: u32| ((bits >> 16) as u16, Some((bits & 0xFFFF) as u16));
        match self {
            Self::Bool(x) => (u16::from(x), None),
            Self::Int(x) => (x as u16, None),
            Self::UInt(x) | Self::Word(x) => (x, None),
            Self::UDInt(x) => two(x),
            Self::Real(x) => two(x.to_bits()),
        }
    }

    /// Back from registers; `low` is ignored by one-register types.
    #[must_use]
    pub fn from_registers(of: PlcType, high: u16, low: u16) -> Self {
        let bits = (u32::from(high) << 16) | u32::from(low);
        match of {
            PlcType::Bool => Self::Bool(high != 0),
            PlcType::Int => Self::Int(high as i16),
            PlcType::UInt => Self::UInt(high),
            PlcType::Word => Self::Word(high),
            PlcType::UDInt => Self::UDInt(bits),
            PlcType::Real => Self::Real(f32::from_bits(bits)),
        }
    }
}

/// Direction as the runtime sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The runtime reads.
    Read,
    /// The runtime writes (and may read back).
    Write,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalSpec {
    /// Text identifier of the node in `NAMESPACE`.
    pub node: &'static str,
    /// Type.
    pub plc_type: PlcType,
    /// Direction.
    pub direction: Direction,
    /// First holding register, zero-based.
    pub register: u16,
    /// Description.
    pub text: &'static str,
}

/// Makes the enum of a plant's signals and the table that has one row for each, in the same order.
macro_rules! signals {
    ($(#[$about:meta])* $signals:ident in $table:ident:
     $($name:ident $node:literal $plc_type:ident $direction:ident $register:literal $text:literal;)*) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $signals {
            $(#[doc = $text] $name,)*
        }

        #[doc = concat!("All signals, in the order of `", stringify!($signals), "`.")]
        pub const $table: &[$crate::signals::SignalSpec] = &[$($crate::signals::SignalSpec {
            node: $node,
            plc_type: $crate::signals::PlcType::$plc_type,
            direction: $crate::signals::Direction::$direction,
            register: $register,
            text: $text,
        },)*];
    };
}
pub(crate) use signals;

signals! {
    /// A signal of the simulated PLC of R-101.
    Signal in SIGNALS:
    // Runtime -> PLC, registers 0-15: values first, then what commits them, the heartbeat, the lease.
    AppHbEcho     r#""R101"."APC"."FromApp"."uiHbEcho""#   UInt  Write 0  "Last PLC heartbeat that the runtime has read";
    AppMode       r#""R101"."APC"."FromApp"."iMode""#      Int   Write 1  "Actual mode of the runtime: 0 OFF, 1 ADVISORY, 2 CLOSED LOOP";
    AppStatus     r#""R101"."APC"."FromApp"."wStatus""#    Word  Write 2  "Status bits of the runtime";
    FeedValid     r#""R101"."APC"."FeedValid""#            Bool  Write 3  "Recommended feed setpoint may be used";
    AppSignature  r#""R101"."APC"."FromApp"."udiSig""#     UDInt Write 4  "Signature of configuration and models";
    FeedSp        r#""R101"."APC"."FeedSp""#               Real  Write 6  "Recommended feed setpoint, l/h";
    TempSp        r#""R101"."APC"."TempSp""#               Real  Write 8  "Recommended temperature setpoint, degC";
    TempValid     r#""R101"."APC"."TempValid""#            Bool  Write 10 "Recommended temperature setpoint may be used";
    FeedSeq       r#""R101"."APC"."FeedSeq""#              UInt  Write 11 "Sequence number of the feed setpoint";
    TempSeq       r#""R101"."APC"."TempSeq""#              UInt  Write 12 "Sequence number of the temperature setpoint";
    AppHb         r#""R101"."APC"."FromApp"."uiHb""#       UInt  Write 13 "Heartbeat of the runtime";
    OwnerReq      r#""R101"."APC"."FromApp"."udiOwnerReq""# UDInt Write 14 "Instance that asks for the lease; emptied by the PLC";
    // PLC -> runtime, registers 100-153.
    PlcHb         r#""R101"."APC"."ToApp"."uiHb""#         UInt  Read 100 "Heartbeat of the PLC";
    ModeReq       r#""R101"."APC"."ToApp"."iModeReq""#     Int   Read 101 "Mode that PLC and operator ask for";
    ClosedLoop    r#""R101"."APC"."ToApp"."xClosedLoop""#  Bool  Read 102 "Recommendations are used";
    LinkOk        r#""R101"."APC"."ToApp"."xLinkOk""#      Bool  Read 103 "The runtime's heartbeat is alive";
    ShedReason    r#""R101"."APC"."ToApp"."iShedReason""#  Int   Read 104 "0 none 1 heartbeat 2 app mode 3 permit 4 signature 5 operator";
    ShedCount     r#""R101"."APC"."ToApp"."uiShedCount""#  UInt  Read 105 "Sheds without the operator";
    FeedSpAct     r#""R101"."APC"."FeedSpAct""#            Real  Read 106 "Active feed setpoint, l/h";
    FeedLo        r#""R101"."APC"."FeedLo""#               Real  Read 108 "Operator limit of the feed, low, l/h";
    FeedHi        r#""R101"."APC"."FeedHi""#               Real  Read 110 "Operator limit of the feed, high, l/h";
    FeedEngLo     r#""R101"."APC"."FeedEngLo""#            Real  Read 112 "Engineering limit of the feed, low, l/h";
    FeedEngHi     r#""R101"."APC"."FeedEngHi""#            Real  Read 114 "Engineering limit of the feed, high, l/h";
    FeedInControl r#""R101"."APC"."FeedInControl""#        Bool  Read 116 "The runtime may move the feed setpoint";
    FeedSeqAck    r#""R101"."APC"."FeedSeqAck""#           UInt  Read 117 "Last accepted sequence number of the feed";
    FeedReject    r#""R101"."APC"."FeedReject""#           Int   Read 118 "0 ok 1 NaN 2 not valid 3 engineering limit 4 jump 5 limits";
    FeedLimHi     r#""R101"."APC"."FeedLimHi""#            Bool  Read 119 "Feed clamped at its high limit";
    FeedLimLo     r#""R101"."APC"."FeedLimLo""#            Bool  Read 120 "Feed clamped at its low limit";
    FeedAuto      r#""R101"."FIC101"."Auto""#              Bool  Read 121 "FIC-101 is in AUTO";
    TempSpAct     r#""R101"."APC"."TempSpAct""#            Real  Read 122 "Active temperature setpoint, degC";
    TempLo        r#""R101"."APC"."TempLo""#               Real  Read 124 "Operator limit of the temperature, low, degC";
    TempHi        r#""R101"."APC"."TempHi""#               Real  Read 126 "Operator limit of the temperature, high, degC";
    TempEngLo     r#""R101"."APC"."TempEngLo""#            Real  Read 128 "Engineering limit of the temperature, low, degC";
    TempEngHi     r#""R101"."APC"."TempEngHi""#            Real  Read 130 "Engineering limit of the temperature, high, degC";
    TempInControl r#""R101"."APC"."TempInControl""#        Bool  Read 132 "The runtime may move the temperature setpoint";
    TempSeqAck    r#""R101"."APC"."TempSeqAck""#           UInt  Read 133 "Last accepted sequence number of the temperature";
    TempReject    r#""R101"."APC"."TempReject""#           Int   Read 134 "0 ok 1 NaN 2 not valid 3 engineering limit 4 jump 5 limits";
    TempLimHi     r#""R101"."APC"."TempLimHi""#            Bool  Read 135 "Temperature clamped at its high limit";
    TempLimLo     r#""R101"."APC"."TempLimLo""#            Bool  Read 136 "Temperature clamped at its low limit";
    TempAuto      r#""R101"."TIC101"."Auto""#              Bool  Read 137 "TIC-101 is in AUTO";
    FeedPv        r#""R101"."FIC101"."PV""#                Real  Read 138 "FI-101 feed flow, l/h";
    TempPv        r#""R101"."TIC101"."PV""#                Real  Read 140 "TI-101 reactor temperature, degC";
    TempOut       r#""R101"."TIC101"."OUT""#               Real  Read 142 "Output of TIC-101: demanded cooling duty, kJ/h";
    JacketPv      r#""R101"."TI102"."PV""#                 Real  Read 144 "TI-102 jacket temperature, degC";
    FeedTempPv    r#""R101"."TI103"."PV""#                 Real  Read 146 "TI-103 feed temperature, degC";
    DutyPv        r#""R101"."QY101"."PV""#                 Real  Read 148 "QY-101 cooling duty, kJ/h";
    LabCa0        r#""R101"."LAB"."CA0""#                  Real  Read 150 "AI-100 feed concentration of A, shift lab, mol/l";
    Owner         r#""R101"."APC"."ToApp"."udiOwner""#     UDInt Read 152 "Instance that holds the lease, 0 nobody";
}

impl Signal {
    /// Row of the table.
    #[must_use]
    pub fn spec(self) -> &'static SignalSpec {
        &SIGNALS[self as usize]
    }
}

/// Row of a node's text identifier.
#[must_use]
pub fn row_of_node(table: &[SignalSpec], identifier: &str) -> Option<usize> {
    table.iter().position(|s| s.node == identifier)
}

/// Row of the signal that starts at a holding register.
#[must_use]
pub fn row_at_register(table: &[SignalSpec], register: u16) -> Option<usize> {
    table.iter().position(|s| s.register == register)
}

/// Complaints about a table: registers must be two contiguous blocks, one per direction, that fit one request each, and nodes unique.
#[cfg(test)]
pub(crate) fn flaws(table: &[SignalSpec]) -> Vec<String> {
    let mut found = Vec::new();
    for (direction, start, most) in [(Direction::Write, 0, 123), (Direction::Read, 100, 125)] {
        let mut next = start;
        for s in table.iter().filter(|s| s.direction == direction) {
            if s.register != next {
                found.push(format!("{} is at {}, not {next}", s.node, s.register));
            }
            next = s.register + s.plc_type.registers();
        }
        if next - start > most {
            found.push(format!("{direction:?}: {} registers", next - start));
        }
    }
    for (row, s) in table.iter().enumerate() {
        if row_of_node(table, s.node) != Some(row) || row_at_register(table, s.register) != Some(row) {
            found.push(format!("{} stands twice", s.node));
        }
    }
    found
}

/// The Modbus map of a PLC as a table in Markdown, for the documentation. Word order ABCD, function codes 3, 6 and 16.
#[must_use]
pub fn modbus_map(table: &[SignalSpec]) -> String {
    use std::fmt::Write as _;
    let mut out = String::from("| Registers | Type | Runtime | Signal | Meaning |\n|---|---|---|---|---|\n");
    for s in table {
        let first = 40_001 + u32::from(s.register);
        let last = first + u32::from(s.plc_type.registers()) - 1;
        let registers = if first == last { first.to_string() } else { format!("{first}-{last}") };
        let direction = if s.direction == Direction::Read { "reads" } else { "writes" };
        let line = writeln!(out, "| {registers} | {} | {direction} | `{}` | {} |", s.plc_type.name(), s.node, s.text);
        line.expect("a String takes every line");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound_and_the_check_can_fail() {
        assert_eq!(flaws(SIGNALS), [""; 0]);
        assert_eq!(Signal::FeedPv.spec().node, r#""R101"."FIC101"."PV""#);
        assert_eq!(row_of_node(SIGNALS, r#""R101"."TIC1O1"."PV""#), None, "letter O");
        let twice = [SIGNALS[0], SIGNALS[0]];
        assert_eq!(flaws(&twice).len(), 2);
    }

    #[test]
    fn values_survive_registers_and_numbers() {
        let values = [
            PlcValue::Bool(true),
            PlcValue::Int(-2),
            PlcValue::UInt(65_535),
            PlcValue::Word(0x8001),
            PlcValue::UDInt(0xDEAD_BEEF),
            PlcValue::Real(-123.456),
            PlcValue::Real(f32::NAN),
        ];
        for v in values {
            let (high, low) = v.to_registers();
            assert_eq!(low.is_some(), v.plc_type().registers() == 2);
            assert!(PlcValue::from_registers(v.plc_type(), high, low.unwrap_or(0)).same(v), "{v:?}");
            assert!(v.number().is_nan() || PlcValue::from_number(v.plc_type(), v.number()).same(v), "{v:?}");
        }
        assert_eq!(PlcValue::Real(1.0).to_registers(), (0x3F80, Some(0)), "high word first");
        assert_eq!(PlcValue::from_number(PlcType::UInt, 1e9), PlcValue::UInt(65_535));
        assert_eq!(PlcValue::from_number(PlcType::Int, f64::NAN), PlcValue::Int(0));
    }

    #[test]
    fn the_map_names_every_signal() {
        let map = modbus_map(SIGNALS);
        assert_eq!(map.lines().count(), SIGNALS.len() + 2);
        assert!(map.contains("| 40007-40008 | REAL | writes | `\"R101\".\"APC\".\"FeedSp\"` |"), "{map}");
    }
}
