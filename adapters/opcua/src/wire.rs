//! Between our types and OPC UA's: scalars with their own type, status codes, times, data values without picoseconds.
//!
//! A scalar keeps the type that it has on the wire, so that a write can be refused instead of changing a node's type.

use flyball_core::status::Status;
use opcua::types::{DataTypeId, DataValue, DateTime, NodeId, StatusCode, Variant};

/// 100 ns ticks from 1601-01-01 (OPC UA) to 1970-01-01 (unix). OPC 10000-6, 5.2.2.5.
const TICKS_AT_UNIX_EPOCH: i64 = 116_444_736_000_000_000;
const NANOS_PER_TICK: i64 = 100;

/// One value with its wire type.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// Boolean.
    Bool(bool),
    /// SByte.
    Int8(i8),
    /// Byte.
    UInt8(u8),
    /// Int16.
    Int16(i16),
    /// UInt16.
    UInt16(u16),
    /// Int32, and every enumeration.
    Int32(i32),
    /// UInt32.
    UInt32(u32),
    /// Int64.
    Int64(i64),
    /// UInt64.
    UInt64(u64),
    /// Float.
    Float(f32),
    /// Double.
    Double(f64),
    /// String.
    Text(String),
}

/// Type of a scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the same names as in Scalar")]
pub enum ScalarType {
    Bool,
    Int8,
    UInt8,
    Int16,
    UInt16,
    Int32,
    UInt32,
    Int64,
    UInt64,
    Float,
    Double,
    Text,
}

impl Scalar {
    /// Its type.
    #[must_use]
    pub const fn scalar_type(&self) -> ScalarType {
        match self {
            Self::Bool(_) => ScalarType::Bool,
            Self::Int8(_) => ScalarType::Int8,
            Self::UInt8(_) => ScalarType::UInt8,
            Self::Int16(_) => ScalarType::Int16,
            Self::UInt16(_) => ScalarType::UInt16,
            Self::Int32(_) => ScalarType::Int32,
            Self::UInt32(_) => ScalarType::UInt32,
            Self::Int64(_) => ScalarType::Int64,
            Self::UInt64(_) => ScalarType::UInt64,
            Self::Float(_) => ScalarType::Float,
            Self::Double(_) => ScalarType::Double,
            Self::Text(_) => ScalarType::Text,
        }
    }

    /// As a number; a flag is 0 or 1, a text is none. 64-bit integers lose what exceeds 53 bits.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        Some(match self {
            Self::Bool(v) => f64::from(u8::from(*v)),
            Self::Int8(v) => f64::from(*v),
            Self::UInt8(v) => f64::from(*v),
            Self::Int16(v) => f64::from(*v),
            Self::UInt16(v) => f64::from(*v),
            Self::Int32(v) => f64::from(*v),
            Self::UInt32(v) => f64::from(*v),
            Self::Int64(v) => *v as f64,
            Self::UInt64(v) => *v as f64,
            Self::Float(v) => f64::from(*v),
            Self::Double(v) => *v,
            Self::Text(_) => return None,
        })
    }

    /// False for NaN and infinity, true for everything else.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.number().is_none_or(f64::is_finite)
    }

    /// As a Variant of exactly this type.
    #[must_use]
    pub fn to_variant(&self) -> Variant {
        match self {
            Self::Bool(v) => Variant::Boolean(*v),
            Self::Int8(v) => Variant::SByte(*v),
            Self::UInt8(v) => Variant::Byte(*v),
            Self::Int16(v) => Variant::Int16(*v),
            Self::UInt16(v) => Variant::UInt16(*v),
            Self::Int32(v) => Variant::Int32(*v),
            Self::UInt32(v) => Variant::UInt32(*v),
            Self::Int64(v) => Variant::Int64(*v),
            Self::UInt64(v) => Variant::UInt64(*v),
            Self::Float(v) => Variant::Float(*v),
            Self::Double(v) => Variant::Double(*v),
            Self::Text(v) => Variant::String(v.as_str().into()),
        }
    }

    /// From a Variant; None for null, arrays, structures and every other type.
    #[must_use]
    pub fn from_variant(variant: &Variant) -> Option<Self> {
        Some(match variant {
            Variant::Boolean(v) => Self::Bool(*v),
            Variant::SByte(v) => Self::Int8(*v),
            Variant::Byte(v) => Self::UInt8(*v),
            Variant::Int16(v) => Self::Int16(*v),
            Variant::UInt16(v) => Self::UInt16(*v),
            Variant::Int32(v) => Self::Int32(*v),
            Variant::UInt32(v) => Self::UInt32(*v),
            Variant::Int64(v) => Self::Int64(*v),
            Variant::UInt64(v) => Self::UInt64(*v),
            Variant::Float(v) => Self::Float(*v),
            Variant::Double(v) => Self::Double(*v),
            Variant::String(v) => Self::Text(v.as_ref().to_owned()),
            _ => return None,
        })
    }
}

impl ScalarType {
    /// The OPC UA data type.
    #[must_use]
    pub fn data_type(self) -> NodeId {
        match self {
            Self::Bool => DataTypeId::Boolean,
            Self::Int8 => DataTypeId::SByte,
            Self::UInt8 => DataTypeId::Byte,
            Self::Int16 => DataTypeId::Int16,
            Self::UInt16 => DataTypeId::UInt16,
            Self::Int32 => DataTypeId::Int32,
            Self::UInt32 => DataTypeId::UInt32,
            Self::Int64 => DataTypeId::Int64,
            Self::UInt64 => DataTypeId::UInt64,
            Self::Float => DataTypeId::Float,
            Self::Double => DataTypeId::Double,
            Self::Text => DataTypeId::String,
        }
        .into()
    }

    /// A number as this type: rounded to the nearest whole number for integers, exactly 0 or 1 for flags.
    ///
    /// # Errors
    /// `BadOutOfRange` when the type cannot hold the number, `BadTypeMismatch` when the type is no number.
    pub fn cast(self, x: f64) -> Result<Scalar, Status> {
        let within = |low: f64, high: f64| {
            let whole = x.round();
            if x.is_finite() && low <= whole && whole <= high { Ok(whole) } else { Err(Status::BadOutOfRange) }
        };
        /// 2^63 and 2^64 are not values of i64 and u64: the largest doubles below them are.
        const I64_HIGH: f64 = 9_223_372_036_854_774_784.0;
        const U64_HIGH: f64 = 18_446_744_073_709_549_568.0;
        Ok(match self {
            Self::Bool if x.abs() < f64::EPSILON => Scalar::Bool(false),
            Self::Bool if (x - 1.0).abs() < f64::EPSILON => Scalar::Bool(true),
            Self::Bool => return Err(Status::BadOutOfRange),
            Self::Int8 => Scalar::Int8(within(f64::from(i8::MIN), f64::from(i8::MAX))? as i8),
            Self::UInt8 => Scalar::UInt8(within(0.0, f64::from(u8::MAX))? as u8),
            Self::Int16 => Scalar::Int16(within(f64::from(i16::MIN), f64::from(i16::MAX))? as i16),
            Self::UInt16 => Scalar::UInt16(within(0.0, f64::from(u16::MAX))? as u16),
            Self::Int32 => Scalar::Int32(within(f64::from(i32::MIN), f64::from(i32::MAX))? as i32),
            Self::UInt32 => Scalar::UInt32(within(0.0, f64::from(u32::MAX))? as u32),
            Self::Int64 => Scalar::Int64(within(i64::MIN as f64, I64_HIGH)? as i64),
            Self::UInt64 => Scalar::UInt64(within(0.0, U64_HIGH)? as u64),
            Self::Float if x.is_finite() && x.abs() <= f64::from(f32::MAX) => Scalar::Float(x as f32),
            Self::Double if x.is_finite() => Scalar::Double(x),
            Self::Float | Self::Double => return Err(Status::BadOutOfRange),
            Self::Text => return Err(Status::BadTypeMismatch),
        })
    }
}

/// Our status as OPC UA's, bit for bit.
#[must_use]
pub fn to_code(status: Status) -> StatusCode {
    StatusCode::from(status.0)
}

/// OPC UA's status as ours, bit for bit.
#[must_use]
pub fn to_status(code: StatusCode) -> Status {
    Status(code.bits())
}

/// Unix nanoseconds as DateTime (100 ns steps).
#[must_use]
pub fn to_date_time(unix_nanos: i64) -> DateTime {
    DateTime::from(unix_nanos / NANOS_PER_TICK + TICKS_AT_UNIX_EPOCH)
}

/// DateTime as unix nanoseconds; saturates outside the years 1677 to 2262.
#[must_use]
pub fn to_unix_nanos(time: &DateTime) -> i64 {
    time.ticks().saturating_sub(TICKS_AT_UNIX_EPOCH).saturating_mul(NANOS_PER_TICK)
}

/// A data value with both times and no picoseconds: asyncua 2.1 reads the server time wrongly when source picoseconds are sent.
#[must_use]
pub fn data_value(value: Option<Variant>, status: Status, source_time: DateTime) -> DataValue {
    DataValue {
        // async-opcua forgets the status of a value that is absent: a Bad node would read as Good and null.
        value: Some(value.unwrap_or(Variant::Empty)),
        status: Some(to_code(status)),
        source_timestamp: Some(source_time),
        source_picoseconds: None,
        server_timestamp: Some(DateTime::now()),
        server_picoseconds: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cast_never_wraps_and_never_changes_the_type() {
        assert_eq!(ScalarType::Int16.cast(32_767.4), Ok(Scalar::Int16(32_767)));
        assert_eq!(ScalarType::Int16.cast(32_768.0), Err(Status::BadOutOfRange));
        assert_eq!(ScalarType::UInt16.cast(-0.6), Err(Status::BadOutOfRange));
        assert_eq!(ScalarType::UInt32.cast(4_294_967_295.0), Ok(Scalar::UInt32(u32::MAX)));
        assert_eq!(ScalarType::Int64.cast(9.3e18), Err(Status::BadOutOfRange));
        assert_eq!(ScalarType::UInt64.cast(1.9e19), Err(Status::BadOutOfRange));
        assert_eq!(ScalarType::Float.cast(1e39), Err(Status::BadOutOfRange));
        assert_eq!(ScalarType::Double.cast(f64::NAN), Err(Status::BadOutOfRange));
        assert_eq!(ScalarType::Bool.cast(1.0), Ok(Scalar::Bool(true)));
        assert_eq!(ScalarType::Bool.cast(0.5), Err(Status::BadOutOfRange));
        assert_eq!(ScalarType::Text.cast(1.0), Err(Status::BadTypeMismatch));
    }

    #[test]
    fn times_and_codes_survive_the_round_trip() {
        let t = 1_795_459_200_123_456_700;
        assert_eq!(to_unix_nanos(&to_date_time(t)), t);
        let limited = Status::Good.with_limit(Status::LIMIT_HIGH);
        assert_eq!(to_status(to_code(limited)), limited);
        for scalar in [Scalar::Bool(true), Scalar::UInt16(7), Scalar::Float(1.5), Scalar::Text("x".into())] {
            assert_eq!(Scalar::from_variant(&scalar.to_variant()), Some(scalar));
        }
        assert_eq!(Scalar::from_variant(&Variant::Empty), None);
        assert_eq!(Scalar::from_variant(&Variant::from(vec![1.0f64])), None, "an array is no scalar");
    }
}
