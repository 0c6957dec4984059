//! From raw registers to samples: scaling, marks, validity, sample time. Why this file: Modbus has no quality and no timestamp, so both
//! are derived here, in one place (domain guide 2.4).
//!
//! Order of judgement, first reason wins: the request's own status; a code that cannot be decoded; `good_when`; an invalid mark;
//! `sampled_at`; then scaling. Pure; work is proportional to the number of tags.

use flyball_config::{DataType, ModbusTable, Tag};
use flyball_core::image::Sample;
use flyball_core::status::Status;
use flyball_core::time::{Timestamp, UtcOffset};

use crate::codec;
use crate::plan::{Item, Place, width};

/// What the last poll brought for one block.
#[derive(Debug, Clone)]
pub struct BlockData {
    /// Good after an answer; Bad with the reason after none.
    pub status: Status,
    /// Last answer, or when it became Bad.
    pub at: Timestamp,
    /// Registers, or bits as 0 and 1.
    pub words: Vec<u16>,
}

impl BlockData {
    /// Before the first answer.
    #[must_use]
    pub fn waiting() -> Self {
        Self { status: Status::BadWaitingForInitialData, at: Timestamp::ZERO, words: Vec::new() }
    }
}

/// The raw number at a place.
fn raw(place: &Place, blocks: &[BlockData]) -> Result<f64, Status> {
    let block = &blocks[place.block];
    if block.status.is_bad() {
        return Err(block.status);
    }
    let end = place.offset + width(&place.address) as usize;
    // The client has checked the length; a plan that does not fit its block would be our mistake, not the device's.
    let words = block.words.get(place.offset..end).ok_or(Status::BadInternalError)?;
    match (place.address.table, place.address.bit) {
        (ModbusTable::Coil | ModbusTable::DiscreteInput, _) => Ok(f64::from(words[0])),
        (_, Some(bit)) => {
            codec::decode_bit(words[0], bit).map(|b| f64::from(u8::from(b))).map_err(|_| Status::BadConfigurationError)
        }
        (_, None) => {
            codec::decode(words, place.address.data, place.address.order).map_err(|_| Status::BadSensorFailure)
        }
    }
}

/// Equality with `good_when.equals` and its like: a code, not a measured value.
fn is_code(raw: f64, code: f64, data: DataType) -> bool {
    codec::is_mark(raw, &[code], data)
}

/// Value and source time, or the reason against them.
fn judge(tag: &Tag, item: &Item, blocks: &[BlockData], utc: UtcOffset) -> Result<(f64, Option<Timestamp>), Status> {
    let value = raw(&item.value, blocks)?;
    if let Some((place, equals)) = &item.good_when
        && !is_code(raw(place, blocks)?, *equals, place.address.data)
    {
        return Err(Status::BadSensorFailure);
    }
    if codec::is_mark(value, &tag.invalid_marks, item.value.address.data) {
        return Err(Status::BadSensorFailure);
    }
    let sampled = sampled_at(item, blocks, utc)?;
    Ok((tag.scaling.to_eu(value), sampled))
}

/// When the device says that it took the sample; None when the tag asks for no such time.
fn sampled_at(item: &Item, blocks: &[BlockData], utc: UtcOffset) -> Result<Option<Timestamp>, Status> {
    let Some(place) = &item.sampled_at else { return Ok(None) };
    let seconds = raw(place, blocks)?;
    if seconds == 0.0 {
        // The device has not taken a sample since its own start.
        return Err(Status::BadWaitingForInitialData);
    }
    // Negative, NaN and years beyond 2200 are no times; the cast saturates and is never reached for them.
    if !(seconds > 0.0 && seconds < 7.3e9) {
        return Err(Status::BadSensorFailure);
    }
    Ok(Some(utc.timestamp((seconds * 1e9) as i64)))
}

/// The sample of one tag.
#[must_use]
pub fn sample(tag: &Tag, item: Option<&Item>, blocks: &[BlockData], utc: UtcOffset, now: Timestamp) -> Sample {
    let Some(item) = item else {
        return Sample::bad(Status::BadConfigurationError, now);
    };
    let places = [Some(item.value), item.sampled_at, item.good_when.map(|(place, _)| place)];
    // All parts must be alive: the oldest answer counts.
    let alive = places.iter().flatten().map(|p| blocks[p.block].at).min().unwrap_or(now);
    match judge(tag, item, blocks, utc) {
        Ok((value, sampled)) => Sample::new(value, Status::Good, sampled.unwrap_or(alive), alive),
        // A result that the device itself calls bad has its time all the same: it is refused once, and not with every poll.
        Err(status) => match sampled_at(item, blocks, utc) {
            Ok(Some(sampled)) => Sample { value: None, status, source_time: sampled, alive },
            _ => Sample::bad(status, alive),
        },
    }
}

#[cfg(test)]
mod tests {
    use flyball_config::{Address, EuRange, GoodWhen, ModbusAddress, Scaling};

    use super::*;
    use crate::plan::read_plan;
    use crate::testing::{holding, modbus_settings, tag};

    const UTC: UtcOffset = UtcOffset { unix_nanos_at_zero: 1_700_000_000_000_000_000, scale: 1 };

    /// The sample of one tag whose block holds these registers, answered at 9 s.
    fn read(tag: &Tag, words: &[u16]) -> Sample {
        let plan = read_plan(std::iter::once(tag), &modbus_settings(502));
        assert_eq!(plan.blocks.len(), 1);
        assert_eq!(usize::from(plan.blocks[0].count), words.len());
        let blocks = [BlockData { status: Status::Good, at: Timestamp(9_000_000_000), words: words.to_vec() }];
        sample(tag, plan.items[0].as_ref(), &blocks, UTC, Timestamp(10_000_000_000))
    }

    fn get(sample: Sample) -> Result<f64, Status> {
        sample.value.map(flyball_core::value::Value::get).ok_or(sample.status)
    }

    #[test]
    fn scaling_and_marks() {
        let mut t = tag("t", holding(0, DataType::Int16));
        t.scaling = Scaling::Linear { factor: 0.1, offset: -50.0 };
        t.invalid_marks = vec![-32_768.0];
        assert_eq!(get(read(&t, &[1_000])), Ok(50.0));
        assert_eq!(get(read(&t, &[0x8000])), Err(Status::BadSensorFailure));
        let range = |low, high| EuRange { low, high };
        t.scaling = Scaling::SquareRoot { raw: range(0.0, 100.0), eu: range(0.0, 10.0) };
        assert_eq!(get(read(&t, &[25])), Ok(5.0));
        assert_eq!(get(read(&t, &[0xFFFF])), Ok(0.0), "below raw_low it is eu_low");
    }

    #[test]
    fn a_float_that_is_no_number_is_bad_even_through_a_square_root() {
        let mut t = tag("t", holding(0, DataType::Float32));
        for scaling in [
            Scaling::None,
            Scaling::SquareRoot { raw: EuRange { low: 0.0, high: 1.0 }, eu: EuRange { low: 0.0, high: 1.0 } },
        ] {
            t.scaling = scaling;
            for words in [[0x7FC0, 0], [0x7F80, 0]] {
                assert_eq!(get(read(&t, &words)), Err(Status::BadSensorFailure));
            }
        }
    }

    #[test]
    fn the_device_says_when_and_whether() {
        let mut t = tag("ai", holding(0, DataType::UInt16));
        t.sampled_at = Some(Address::Modbus(holding(1, DataType::UInt32)));
        let flag = ModbusAddress { bit: Some(0), ..holding(3, DataType::Bool) };
        t.good_when = Some(GoodWhen { address: Address::Modbus(flag), equals: 1.0 });
        let at = |seconds: u32| [(seconds >> 16) as u16, seconds as u16];
        let [high, low] = at(1_700_000_004);
        let good = read(&t, &[42, high, low, 1]);
        assert_eq!((get(good), good.source_time), (Ok(42.0), Timestamp(4_000_000_000)));
        assert_eq!(good.alive, Timestamp(9_000_000_000));
        let bad = read(&t, &[42, high, low, 0]);
        assert_eq!(get(bad), Err(Status::BadSensorFailure), "good_when is not met");
        assert_eq!(bad.source_time, Timestamp(4_000_000_000), "a bad result has its time");
        assert_eq!(get(read(&t, &[42, 0, 0, 1])), Err(Status::BadWaitingForInitialData), "no sample taken yet");
    }

    #[test]
    fn a_bad_block_makes_its_tags_bad_with_its_reason() {
        let t = tag("t", holding(0, DataType::UInt16));
        let plan = read_plan(std::iter::once(&t), &modbus_settings(502));
        let bad = BlockData { status: Status::BadTimeout, at: Timestamp(3), words: vec![7] };
        assert_eq!(get(sample(&t, plan.items[0].as_ref(), &[bad], UTC, Timestamp(4))), Err(Status::BadTimeout));
    }
}
