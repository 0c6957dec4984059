//! Why: the two clocks of the program, and the only place where UTC is read.
//!
//! `SystemClock` is CLOCK_MONOTONIC times a scale (1 on a plant, more on an accelerated rig); it waits on absolute deadlines, so a
//! late wake-up never moves the next one. `VirtualClock` jumps: hours of process time in seconds, and the same every time.
//!
//! Words: *process time* is what the scan sees; *real time* is what the operating system counts. process = real x scale.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flyball_core::ports::Clock;
use flyball_core::time::{Timestamp, UtcOffset, nanos};
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

/// CLOCK_MONOTONIC since the start of the program, times a scale.
#[derive(Debug)]
pub struct SystemClock {
    /// CLOCK_MONOTONIC at process time zero, nanoseconds.
    origin: u64,
    /// Process nanoseconds per real nanosecond, at least 1.
    scale: u32,
    utc: UtcOffset,
}

impl SystemClock {
    /// A clock that starts at zero now. A scale of 0 is taken as 1.
    ///
    /// UTC is read here, once: a later step of the wall clock moves no timer and no stamp runs backwards.
    #[must_use]
    pub fn start(scale: u32) -> Self {
        let scale = scale.max(1);
        let origin = monotonic();
        // A wall clock before 1970 is a wrong wall clock; stamps then count from 1970, which is visibly wrong and harmless.
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let unix_nanos_at_zero = i64::try_from(unix.as_nanos()).unwrap_or(i64::MAX);
        Self { origin, scale, utc: UtcOffset { unix_nanos_at_zero, scale } }
    }

    /// Where UTC is, for stamps at the rim.
    #[must_use]
    pub fn utc(&self) -> UtcOffset {
        self.utc
    }

    /// Process nanoseconds per real nanosecond.
    #[must_use]
    pub fn scale(&self) -> u32 {
        self.scale
    }

    /// CLOCK_MONOTONIC, nanoseconds, at which process time is at least `at`.
    fn real_deadline(&self, at: Timestamp) -> u64 {
        self.origin.saturating_add(at.0.div_ceil(u64::from(self.scale)))
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(monotonic().saturating_sub(self.origin).saturating_mul(u64::from(self.scale)))
    }

    fn wait_until(&self, at: Timestamp) {
        let deadline = Duration::from_nanos(self.real_deadline(at));
        let deadline = TimeSpec::from_duration(deadline);
        // A signal handler that ran is no reason to wake the scan early: ask again for the same absolute time.
        while clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &deadline)
            == Err(Errno::EINTR)
        {}
    }
}

/// CLOCK_MONOTONIC, nanoseconds.
fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC exists on every Linux");
    nanos(Duration::from(now))
}

/// A clock that is set: `wait_until` jumps instead of waiting.
///
/// SYNC POINT: Relaxed is enough, the time is the whole message. Time never runs backwards (`fetch_max`).
#[derive(Debug, Default)]
pub struct VirtualClock {
    now: AtomicU64,
}

impl VirtualClock {
    /// A clock at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves to `at`; stays where it is when `at` is past.
    pub fn set(&self, at: Timestamp) {
        self.now.fetch_max(at.0, Ordering::Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::Relaxed))
    }

    fn wait_until(&self, at: Timestamp) {
        self.set(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_never_ends_early_at_any_scale() {
        for scale in [1, 20] {
            let clock = SystemClock::start(scale);
            let at = clock.now().after(Duration::from_millis(30));
            clock.wait_until(at);
            assert!(clock.now() >= at, "scale {scale}");
        }
    }

    #[test]
    fn the_scale_multiplies_elapsed_time() {
        let (one, twenty) = (SystemClock::start(1), SystemClock::start(20));
        one.wait_until(Timestamp(50_000_000));
        assert!(twenty.now().0 >= 19 * 50_000_000, "{:?}", twenty.now());
        assert_eq!(twenty.utc().scale, 20);
        assert_eq!(twenty.real_deadline(Timestamp(41)), twenty.origin + 3, "rounded up: never early");
    }

    #[test]
    fn past_deadlines_return_at_once_and_utc_is_this_century() {
        let clock = SystemClock::start(0);
        clock.wait_until(Timestamp::ZERO);
        assert_eq!(clock.scale(), 1);
        assert!(clock.utc().unix_nanos_at_zero > 1_600_000_000_000_000_000);
    }

    #[test]
    fn a_virtual_clock_jumps_and_never_runs_backwards() {
        let clock = VirtualClock::new();
        clock.wait_until(Timestamp(3_600_000_000_000));
        clock.wait_until(Timestamp(5));
        assert_eq!(clock.now(), Timestamp(3_600_000_000_000));
    }
}
