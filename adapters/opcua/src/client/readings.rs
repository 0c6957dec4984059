//! From data values to samples: status 1:1, source time, scaling, marks, validity, sample time.
//!
//! Order of judgement, first reason wins: the point's own status; a value that is no number; `good_when`; an invalid mark;
//! `sampled_at`; then scaling. Pure; work is proportional to the number of tags.

use flyball_core::config::{Address, Tag};
use flyball_core::image::Sample;
use flyball_core::status::Status;
use flyball_core::time::{Timestamp, UtcOffset};
use opcua::types::{DataValue, Variant};

use crate::wire::{Scalar, to_status, to_unix_nanos};

/// Newest reading of one point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reading {
    /// The number, if it was one. A DateTime counts as unix seconds.
    pub number: Option<f64>,
    /// As the server sent it.
    pub status: Status,
    /// Source time, or when it arrived.
    pub source_time: Timestamp,
}

impl Reading {
    pub const WAITING: Self =
        Self { number: None, status: Status::BadWaitingForInitialData, source_time: Timestamp::ZERO };

    pub fn bad(status: Status, at: Timestamp) -> Self {
        Self { number: None, status, source_time: at }
    }

    pub fn new(value: &DataValue, utc: UtcOffset, now: Timestamp) -> Self {
        let mut status = value.status.map_or(Status::Good, to_status);
        let number = match &value.value {
            Some(Variant::DateTime(time)) => Some(to_unix_nanos(time) as f64 * 1e-9),
            Some(other) => Scalar::from_variant(other).and_then(|s| s.number()),
            None => None,
        };
        if number.is_none() && !status.is_bad() {
            status = if matches!(value.value, None | Some(Variant::Empty)) {
                Status::BadWaitingForInitialData
            } else {
                Status::BadTypeMismatch
            };
        }
        let source_time = value.source_timestamp.as_ref().map_or(now, |t| utc.timestamp(to_unix_nanos(t)));
        Self { number, status, source_time }
    }
}

/// Which points make up one tag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    pub value: usize,
    pub sampled_at: Option<usize>,
    pub good_when: Option<usize>,
}

/// The points of all tags, in order, and which tag uses which.
pub(super) fn points<'a>(tags: impl Iterator<Item = &'a Tag>) -> (Vec<&'a Address>, Vec<Parts>) {
    let mut points = Vec::new();
    let mut add = |address: &'a Address| {
        points.push(address);
        points.len() - 1
    };
    let parts = tags
        .map(|tag| Parts {
            value: add(&tag.address),
            sampled_at: tag.sampled_at.as_ref().map(&mut add),
            good_when: tag.good_when.as_ref().map(|g| add(&g.address)),
        })
        .collect();
    (points, parts)
}

/// Equality of codes, not of measured values: the device sends exactly the mark, at most rounded to a float.
fn is_code(x: f64, code: f64) -> bool {
    (x - code).abs() <= code.abs() * f64::from(f32::EPSILON)
}

/// The sample of one tag.
pub(super) fn sample(tag: &Tag, parts: Parts, readings: &[Reading], utc: UtcOffset, alive: Timestamp) -> Sample {
    let value = readings[parts.value];
    let number = |reading: Reading| {
        if reading.status.is_bad() { Err(reading.status) } else { reading.number.ok_or(Status::BadTypeMismatch) }
    };
    let sampled = match parts.sampled_at {
        None => Ok(value.source_time),
        Some(part) => number(readings[part]).and_then(|seconds| sample_time(seconds, utc)),
    };
    let judged = (|| {
        let raw = number(value)?;
        if let (Some(part), Some(good_when)) = (parts.good_when, &tag.good_when)
            && !is_code(number(readings[part])?, good_when.equals)
        {
            return Err(Status::BadSensorFailure);
        }
        if tag.invalid_marks.iter().any(|&mark| is_code(raw, mark)) {
            return Err(Status::BadSensorFailure);
        }
        Ok((tag.scaling.to_eu(raw), sampled?))
    })();
    match judged {
        Ok((x, sampled)) => Sample::new(x, value.status, sampled, alive),
        // A result that is Bad has its time all the same: it is refused once, and not whenever its status is sent again.
        Err(status) => Sample { value: None, status, source_time: sampled.unwrap_or(value.source_time), alive },
    }
}

fn sample_time(unix_seconds: f64, utc: UtcOffset) -> Result<Timestamp, Status> {
    /// About the year 2200: later is a broken clock, not a sample.
    const LATEST_S: f64 = 7.3e9;
    if unix_seconds.abs() < f64::EPSILON {
        return Err(Status::BadWaitingForInitialData);
    }
    if unix_seconds > 0.0 && unix_seconds < LATEST_S {
        return Ok(utc.timestamp((unix_seconds * 1e9) as i64));
    }
    Err(Status::BadSensorFailure)
}
