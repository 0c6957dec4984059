//! AI-101, the gas chromatograph, as its own Modbus device: the register map, in one place for the server and the virtual rig.
//!
//! Holding registers, low word first (CDAB), numbered from 40001: 40101-40102 result (float32, mol/l), 40103-40104 when the sample was
//! TAKEN (uint32, unix seconds UTC), 40110 bit 3 "result valid". All other registers up to 40110 read zero.

use crate::r101::process::GcResult;
use flyball_core::time::UtcOffset;

/// Wire address of the result.
pub const RESULT: u16 = 100;
/// Wire address of the sample time.
pub const SAMPLED: u16 = 102;
/// Wire address of the status word.
pub const STATUS: u16 = 109;
/// Bit of the status word that says "valid".
pub const VALID_BIT: u8 = 3;
/// Unit id that the device answers.
pub const UNIT: u8 = 1;
/// Registers that the device has, from wire address 0.
pub const REGISTERS: usize = 110;

/// When the sample was taken, unix seconds UTC. Whole seconds, as the device's clock counts.
#[must_use]
pub fn sampled_unix_s(result: &GcResult, utc: UtcOffset) -> u32 {
    let real_ms = result.sampled_ms / i64::from(utc.scale.max(1));
    let unix_s = (utc.unix_nanos_at_zero / 1_000_000 + real_ms).div_euclid(1000);
    unix_s.clamp(0, i64::from(u32::MAX)) as u32
}

/// Registers `RESULT..REGISTERS` as the device shows them.
#[must_use]
pub fn registers(result: &GcResult, utc: UtcOffset) -> [u16; REGISTERS - RESULT as usize] {
    let mut words = [0; REGISTERS - RESULT as usize];
    let low_first = |bits: u32| [(bits & 0xFFFF) as u16, (bits >> 16) as u16];
    words[0..2].copy_from_slice(&low_first((result.c_b as f32).to_bits()));
    words[2..4].copy_from_slice(&low_first(sampled_unix_s(result, utc)));
    words[usize::from(STATUS - RESULT)] = u16::from(result.valid) << VALID_BIT;
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map() {
        let result = GcResult { c_b: 1.0, sampled_ms: -300_000, valid: true };
        let utc = UtcOffset { unix_nanos_at_zero: 1_700_000_000_000_000_000, scale: 20 };
        assert_eq!(sampled_unix_s(&result, utc), 1_700_000_000 - 15, "300 s of process are 15 s at scale 20");
        let words = registers(&result, utc);
        assert_eq!(words[..2], [0, 0x3F80], "low word first");
        assert_eq!((u32::from(words[3]) << 16) | u32::from(words[2]), 1_699_999_985);
        assert_eq!(words[9], 8);
        assert_eq!(registers(&GcResult { valid: false, ..result }, utc)[9], 0);
    }
}
