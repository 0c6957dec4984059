//! Typed registers: a number in, 16-bit words out, and back. Why this file: a wrong word order is a wrong setpoint.
//!
//! Words: a *register* is 16 bits, most significant byte first on the wire. `WordOrder` is the device's habit for values wider than one
//! register, A = most significant byte of a 32-bit value; 64-bit values follow the same rule (`Abcd`: high word first, `Cdab`: low word
//! first; `Badc`, `Dcba`: the same with the bytes of each word swapped). Values of one register have no order.
//!
//! Numbers are `f64` on our side. Every type but the 64-bit integers fits exactly; those are rounded to the nearest `f64` beyond 2^53.
//! No function here waits, and each is bounded by four registers (texts: by the registers given).

use flyball_config::{DataType, WordOrder};

/// Most registers that one value fills.
pub const REGISTERS_MAX: usize = 4;

/// Why a value could not be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodecError {
    /// Fewer or more registers than the type needs.
    Length {
        /// Registers of the type.
        expected: usize,
        /// Registers given.
        received: usize,
    },
    /// A BCD digit above 9.
    Digit {
        /// The digit found, 10 to 15.
        received: u8,
    },
    /// The number does not fit the type (or is not finite).
    OutOfRange,
    /// A bit number above 15.
    Bit {
        /// The bit asked for.
        received: u8,
    },
}

impl core::fmt::Display for CodecError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Length { expected, received } => write!(f, "value needs {expected} registers, {received} given"),
            Self::Digit { received } => {
                write!(f, "BCD digit {received} found, 0 to 9 allowed: is the register really BCD?")
            }
            Self::OutOfRange => f.write_str("number does not fit the data type: choose a wider type or scale it"),
            Self::Bit { received } => write!(f, "bit {received} asked for, 0 to 15 allowed"),
        }
    }
}

impl std::error::Error for CodecError {}

/// Registers of one value, without a heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    words: [u16; REGISTERS_MAX],
    len: usize,
}

impl Words {
    /// The registers in wire order.
    #[must_use]
    pub fn as_slice(&self) -> &[u16] {
        &self.words[..self.len]
    }
}

/// Between the device's order and high word first, high byte first. Its own inverse.
fn reorder(words: &mut [u16], order: WordOrder) {
    if words.len() < 2 {
        return;
    }
    if matches!(order, WordOrder::Cdab | WordOrder::Dcba) {
        words.reverse();
    }
    if matches!(order, WordOrder::Badc | WordOrder::Dcba) {
        for w in words {
            *w = w.swap_bytes();
        }
    }
}

/// Digits of a packed BCD number, most significant first.
fn bcd_decode(bits: u32, digits: u32) -> Result<f64, CodecError> {
    let mut n = 0u32;
    for i in (0..digits).rev() {
        let digit = (bits >> (4 * i)) & 0xF;
        if digit > 9 {
            return Err(CodecError::Digit { received: digit as u8 });
        }
        n = n * 10 + digit;
    }
    Ok(f64::from(n))
}

fn bcd_encode(mut n: u32, digits: u32) -> u32 {
    let mut bits = 0;
    for i in 0..digits {
        bits |= (n % 10) << (4 * i);
        n /= 10;
    }
    bits
}

/// Registers to a number. Floats may come back as NaN or infinite: that is what the device said, and `Sample::new` refuses it.
///
/// `Bool` is true (1.0) for any non-zero register.
///
/// # Errors
/// `Length` when the slice is not `data.registers()` long, `Digit` for an invalid BCD digit.
pub fn decode(words: &[u16], data: DataType, order: WordOrder) -> Result<f64, CodecError> {
    let expected = usize::from(data.registers());
    if words.len() != expected {
        return Err(CodecError::Length { expected, received: words.len() });
    }
    let mut w = [0u16; REGISTERS_MAX];
    w[..expected].copy_from_slice(words);
    reorder(&mut w[..expected], order);
    let bits = w[..expected].iter().fold(0u64, |bits, word| bits << 16 | u64::from(*word));
    Ok(match data {
        DataType::Bool => f64::from(u8::from(bits != 0)),
        DataType::Int16 => f64::from(bits as u16 as i16),
        DataType::UInt16 => f64::from(bits as u16),
        DataType::Int32 => f64::from(bits as u32 as i32),
        DataType::UInt32 => f64::from(bits as u32),
        DataType::Int64 => bits as i64 as f64,
        DataType::UInt64 => bits as f64,
        DataType::Float32 => f64::from(f32::from_bits(bits as u32)),
        DataType::Float64 => f64::from_bits(bits),
        DataType::Bcd16 => bcd_decode(bits as u32, 4)?,
        DataType::Bcd32 => bcd_decode(bits as u32, 8)?,
    })
}

/// A number to registers.
///
/// A fraction written into an integer or BCD type is rounded to the nearest whole number, halves away from zero. This happens after the
/// guard, so a limit that is not a whole number can be passed by up to half a count: give integer cells whole limits.
/// `Float32` is rounded to the nearest single. `Bool` takes 0 and 1 only.
///
/// # Errors
/// `OutOfRange` when the (rounded) number does not fit, or is NaN or infinite.
pub fn encode(value: f64, data: DataType, order: WordOrder) -> Result<Words, CodecError> {
    // 2^63 and 2^64 are exact in f64; i64::MAX and u64::MAX are not, so the upper ends are exclusive.
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    const TWO_64: f64 = 18_446_744_073_709_551_616.0;
    let whole = |low: f64, high: f64| -> Result<f64, CodecError> {
        let rounded = value.round();
        if (low..=high).contains(&rounded) { Ok(rounded) } else { Err(CodecError::OutOfRange) }
    };
    if !value.is_finite() {
        return Err(CodecError::OutOfRange);
    }
    let bits: u64 = match data {
        DataType::Bool if value == 0.0 => 0,
        DataType::Bool if value == 1.0 => 1,
        DataType::Bool => return Err(CodecError::OutOfRange),
        DataType::Int16 => whole(f64::from(i16::MIN), f64::from(i16::MAX))? as i16 as u16 as u64,
        DataType::UInt16 => whole(0.0, f64::from(u16::MAX))? as u64,
        DataType::Int32 => whole(f64::from(i32::MIN), f64::from(i32::MAX))? as i32 as u32 as u64,
        DataType::UInt32 => whole(0.0, f64::from(u32::MAX))? as u64,
        DataType::Int64 if value.round() < TWO_63 => whole(-TWO_63, TWO_63)? as i64 as u64,
        DataType::UInt64 if value.round() < TWO_64 => whole(0.0, TWO_64)? as u64,
        DataType::Int64 | DataType::UInt64 => return Err(CodecError::OutOfRange),
        DataType::Float32 => {
            let single = value as f32;
            if !single.is_finite() {
                return Err(CodecError::OutOfRange);
            }
            u64::from(single.to_bits())
        }
        DataType::Float64 => value.to_bits(),
        DataType::Bcd16 => u64::from(bcd_encode(whole(0.0, 9_999.0)? as u32, 4)),
        DataType::Bcd32 => u64::from(bcd_encode(whole(0.0, 99_999_999.0)? as u32, 8)),
    };
    let len = usize::from(data.registers());
    let mut words = [0u16; REGISTERS_MAX];
    for (i, word) in words[..len].iter_mut().rev().enumerate() {
        *word = (bits >> (16 * i)) as u16;
    }
    reorder(&mut words[..len], order);
    Ok(Words { words, len })
}

/// One bit of a register, 0 = least significant.
///
/// # Errors
/// `Bit` above 15.
pub fn decode_bit(word: u16, bit: u8) -> Result<bool, CodecError> {
    if bit > 15 {
        return Err(CodecError::Bit { received: bit });
    }
    Ok(word >> bit & 1 == 1)
}

/// True when the decoded raw value is one by which the device says "invalid".
///
/// A `Float32` is compared as a single, because the mark 9999.9 of a data sheet is not the same number as a double.
#[must_use]
#[allow(clippy::float_cmp, reason = "a mark is one exact bit pattern, not a measured value")]
pub fn is_mark(raw: f64, marks: &[f64], data: DataType) -> bool {
    marks.iter().any(|mark| match data {
        DataType::Float32 => raw as f32 == *mark as f32,
        _ => raw == *mark,
    })
}

/// Byte order of a text in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextOrder {
    /// First character in the high byte (usual).
    HighFirst,
    /// First character in the low byte.
    LowFirst,
}

/// A text in registers, for tools (device names, serial numbers); the scan reads numbers only.
///
/// Ends at the first NUL; trailing blanks are cut. Bytes are Latin-1, so every register content has a text.
#[must_use]
pub fn decode_text(words: &[u16], order: TextOrder) -> String {
    let text: String = words
        .iter()
        .flat_map(|w| match order {
            TextOrder::HighFirst => w.to_be_bytes(),
            TextOrder::LowFirst => w.to_le_bytes(),
        })
        .take_while(|b| *b != 0)
        .map(char::from)
        .collect();
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitter::Jitter;

    const TYPES: [DataType; 11] = [
        DataType::Bool,
        DataType::Int16,
        DataType::UInt16,
        DataType::Int32,
        DataType::UInt32,
        DataType::Int64,
        DataType::UInt64,
        DataType::Float32,
        DataType::Float64,
        DataType::Bcd16,
        DataType::Bcd32,
    ];
    const ORDERS: [WordOrder; 4] = [WordOrder::Abcd, WordOrder::Cdab, WordOrder::Badc, WordOrder::Dcba];

    /// A number that the type can hold exactly.
    fn exact(data: DataType, random: u64) -> f64 {
        match data {
            DataType::Bool => f64::from((random & 1) as u8),
            DataType::Int16 => f64::from(random as i16),
            DataType::UInt16 => f64::from(random as u16),
            DataType::Int32 => f64::from(random as i32),
            DataType::UInt32 => f64::from(random as u32),
            DataType::Int64 => (random as i64 >> 11) as f64,
            DataType::UInt64 => (random >> 11) as f64,
            DataType::Float32 => {
                let f = f32::from_bits(random as u32);
                if f.is_finite() { f64::from(f) } else { 0.5 }
            }
            DataType::Float64 => {
                let f = f64::from_bits(random);
                if f.is_finite() { f } else { 0.5 }
            }
            DataType::Bcd16 => (random % 10_000) as f64,
            DataType::Bcd32 => (random % 100_000_000) as f64,
        }
    }

    #[test]
    fn every_type_and_order_comes_back_as_it_went() {
        let mut random = Jitter::new(20_261_123);
        for data in TYPES {
            for order in ORDERS {
                for _ in 0..2_000 {
                    let value = exact(data, random.next_u64());
                    let words = encode(value, data, order).expect("exact values fit");
                    assert_eq!(words.as_slice().len(), usize::from(data.registers()));
                    let back = decode(words.as_slice(), data, order).expect("own words");
                    assert!(
                        back == value || (back == 0.0 && value == 0.0),
                        "{data:?} {order:?}: {value} came back as {back}"
                    );
                }
            }
        }
    }

    #[test]
    fn known_patterns_of_the_four_orders() {
        // 123.456f32 = 0x42F6E979, the pattern of many device manuals.
        let (abcd, value) = ([0x42F6, 0xE979], f64::from(123.456f32));
        assert_eq!(decode(&abcd, DataType::Float32, WordOrder::Abcd), Ok(value));
        assert_eq!(decode(&[0xE979, 0x42F6], DataType::Float32, WordOrder::Cdab), Ok(value));
        assert_eq!(decode(&[0xF642, 0x79E9], DataType::Float32, WordOrder::Badc), Ok(value));
        assert_eq!(decode(&[0x79E9, 0xF642], DataType::Float32, WordOrder::Dcba), Ok(value));
        let wide = 0x0102_0304_0506_0708u64 as f64;
        assert_eq!(decode(&[0x0102, 0x0304, 0x0506, 0x0708], DataType::UInt64, WordOrder::Abcd), Ok(wide));
        assert_eq!(decode(&[0x0708, 0x0506, 0x0304, 0x0102], DataType::UInt64, WordOrder::Cdab), Ok(wide));
        assert_eq!(decode(&[0x0201, 0x0403, 0x0605, 0x0807], DataType::UInt64, WordOrder::Badc), Ok(wide));
        assert_eq!(decode(&[0x0807, 0x0605, 0x0403, 0x0201], DataType::UInt64, WordOrder::Dcba), Ok(wide));
        assert_eq!(
            decode(&[0x1234], DataType::UInt16, WordOrder::Dcba),
            Ok(f64::from(0x1234)),
            "one register has no order"
        );
        assert_eq!(decode(&[0x1234, 0x5678], DataType::Bcd32, WordOrder::Abcd), Ok(12_345_678.0));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let no = Err(CodecError::OutOfRange);
        for (value, data) in [
            (32_767.5, DataType::Int16),
            (-32_768.5, DataType::Int16),
            (-0.5, DataType::UInt16),
            (65_536.0, DataType::UInt16),
            (2_147_483_648.0, DataType::Int32),
            (4_294_967_296.0, DataType::UInt32),
            (9_223_372_036_854_775_808.0, DataType::Int64),
            (18_446_744_073_709_551_616.0, DataType::UInt64),
            (-1.0, DataType::UInt64),
            (1e39, DataType::Float32),
            (10_000.0, DataType::Bcd16),
            (1e8, DataType::Bcd32),
            (-1.0, DataType::Bcd32),
            (0.5, DataType::Bool),
            (2.0, DataType::Bool),
        ] {
            assert_eq!(encode(value, data, WordOrder::Abcd).map(|w| w.as_slice().to_vec()), no, "{value} as {data:?}");
        }
        for data in TYPES {
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                assert_eq!(encode(value, data, WordOrder::Abcd), Err(CodecError::OutOfRange), "{value} as {data:?}");
            }
        }
    }

    #[test]
    fn fractions_into_integers_round_half_away() {
        for (value, expected) in [(2.5, 3.0), (-2.5, -3.0), (2.4, 2.0), (-0.4, 0.0)] {
            let words = encode(value, DataType::Int16, WordOrder::Abcd).expect("fits");
            assert_eq!(decode(words.as_slice(), DataType::Int16, WordOrder::Abcd), Ok(expected));
        }
    }

    #[test]
    fn invalid_bcd_digit_and_wrong_length_are_errors() {
        assert_eq!(decode(&[0x12A4], DataType::Bcd16, WordOrder::Abcd), Err(CodecError::Digit { received: 10 }));
        assert_eq!(
            decode(&[0x1234, 0x567F], DataType::Bcd32, WordOrder::Abcd),
            Err(CodecError::Digit { received: 15 })
        );
        let short = CodecError::Length { expected: 2, received: 1 };
        assert_eq!(decode(&[1], DataType::Float32, WordOrder::Abcd), Err(short));
    }

    #[test]
    fn bits_marks_and_texts() {
        assert_eq!(
            (decode_bit(0x8001, 0), decode_bit(0x8001, 15), decode_bit(0x8001, 7)),
            (Ok(true), Ok(true), Ok(false))
        );
        assert_eq!(decode_bit(0, 16), Err(CodecError::Bit { received: 16 }));
        assert!(is_mark(f64::from(9_999.9f32), &[9_999.9], DataType::Float32));
        assert!(is_mark(-32_768.0, &[65_535.0, -32_768.0], DataType::Int16));
        assert!(!is_mark(9_999.8, &[9_999.9], DataType::Float64));
        assert_eq!(decode_text(&[0x4142, 0x4320, 0x0058], TextOrder::HighFirst), "ABC");
        assert_eq!(decode_text(&[0x4241, 0x2043, 0x5800], TextOrder::LowFirst), "ABC");
    }
}
