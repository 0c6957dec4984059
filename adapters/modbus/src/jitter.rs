//! A small seeded random source for back-off jitter. Why this file: a fleet that lost its PLC together must not come back together,
//! and a test must be able to repeat what happened.
//!
//! xorshift64* (Vigna 2016, "An experimental exploration of Marsaglia's xorshift generators, scrambled"). Not for secrets.

use std::time::Duration;

use flyball_config::Backoff;

/// Seeded source; the same seed gives the same numbers.
#[derive(Debug, Clone)]
pub struct Jitter(u64);

impl Jitter {
    /// Any seed; zero is replaced, because xorshift would stay there.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(if seed == 0 { 0x9E37_79B9_7F4A_7C15 } else { seed })
    }

    /// Next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Uniform in [0, 1).
    pub fn fraction(&mut self) -> f64 {
        // 53 bits fit an f64 exactly.
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Wait before try number `failures + 1`: `first * 2^failures`, at most `longest`, times 0.75 to 1.25, never below `first * 0.75`.
    pub fn wait(&mut self, backoff: Backoff, failures: u32) -> Duration {
        let grown = backoff.first.saturating_mul(1u32 << failures.min(20));
        grown.min(backoff.longest.max(backoff.first)).mul_f64(0.75 + 0.5 * self.fraction())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_differ() {
        let backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(2) };
        let mut jitter = Jitter::new(7);
        for failures in 0..60 {
            let wait = jitter.wait(backoff, failures);
            let base = (0.1 * f64::from(1u32 << failures.min(20))).min(2.0);
            assert!((0.75 * base..=1.25 * base).contains(&wait.as_secs_f64()), "{failures}: {wait:?}");
        }
        assert_ne!(jitter.wait(backoff, 9), jitter.wait(backoff, 9));
        assert_eq!(Jitter::new(3).next_u64(), Jitter::new(3).next_u64());
    }
}
