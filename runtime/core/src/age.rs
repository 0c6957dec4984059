//! Age of a late value: seconds since the newest usable sample of a tag was taken, as an input for a model that also reads the value.
//!
//! A value that is held, substituted, stale or Bad brings no new sample time: the age of the last usable one goes on growing. Until the
//! first usable sample there is no age, and the input is Bad.

use std::time::Duration;

use flyball_config::bounds::DURATION_MAX;
use serde::{Deserialize, Serialize};

use crate::condition::Conditioned;
use crate::time::{ScanCycle, Timestamp};

/// Remembers when the newest usable sample of one tag was taken.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct SampleAge {
    taken: Option<Timestamp>,
}

impl SampleAge {
    /// Age at this scan in seconds, 0 to a year; None before the first usable sample.
    pub fn read(&mut self, cycle: &ScanCycle, tag: &Conditioned) -> Option<f64> {
        if tag.measured().is_some() && tag.source_time != Timestamp::ZERO {
            self.taken = Some(tag.source_time);
        }
        let age: Duration = cycle.now.since(self.taken?);
        Some(age.min(DURATION_MAX).as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;
    use crate::value::Value;

    const S: u64 = 1_000_000_000;

    fn at(seconds: u64) -> ScanCycle {
        let now = Timestamp(seconds * S);
        ScanCycle { number: seconds, scheduled: now, now, period: Duration::from_secs(1), missed: 0 }
    }

    fn sample(taken: u64) -> Conditioned {
        Conditioned {
            value: Value::new(1.0),
            status: Status::Good,
            source_time: Timestamp(taken * S),
            ..Conditioned::WAITING
        }
    }

    #[test]
    fn grows_from_the_sample_time_and_starts_again_with_each_sample() {
        let mut age = SampleAge::default();
        assert_eq!(age.read(&at(5), &Conditioned::WAITING), None, "never sampled");
        assert_eq!(age.read(&at(100), &sample(40)), Some(60.0));
        assert_eq!(age.read(&at(130), &sample(40)), Some(90.0));
        assert_eq!(age.read(&at(131), &sample(120)), Some(11.0));
    }

    #[test]
    fn a_bad_or_substituted_value_is_no_new_sample() {
        let mut age = SampleAge::default();
        age.read(&at(100), &sample(40));
        let held = Conditioned { substituted: true, ..sample(150) };
        assert_eq!(age.read(&at(160), &held), Some(120.0));
        let bad = Conditioned { value: None, status: Status::BadSensorFailure, ..sample(170) };
        assert_eq!(age.read(&at(180), &bad), Some(140.0));
    }

    #[test]
    fn is_bounded_and_never_negative() {
        let mut age = SampleAge::default();
        assert_eq!(age.read(&at(10), &sample(20)), Some(0.0), "a clock that runs ahead");
        assert_eq!(age.read(&at(u64::MAX / S), &sample(20)), Some(DURATION_MAX.as_secs_f64()));
    }
}
