//! How the times of one piece of work spread: what benches print of a list of nanoseconds.

/// Quantiles of a list of times, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// Half of the times are at most this long.
    pub p50: u64,
    /// 99 % of the times are at most this long.
    pub p99: u64,
    /// 99.9 % of the times are at most this long.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

impl Spread {
    /// Sorts the list and takes its quantiles: the value at rank (n - 1) q, rounded down. `None` for an empty list.
    #[must_use]
    pub fn of(mut ns: Vec<u64>) -> Option<Self> {
        ns.sort_unstable();
        let last = ns.len().checked_sub(1)?;
        let at = |per_mille: usize| ns[last * per_mille / 1000];
        Some(Self { p50: at(500), p99: at(990), p999: at(999), max: at(1000) })
    }

    /// Length of the tail: p99.9 / p50.
    #[must_use]
    pub fn tail(&self) -> f64 {
        self.p999 as f64 / self.p50.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_of_the_list_at_their_rank() {
        let spread = Spread::of((1..=1001).rev().collect());
        assert_eq!(spread, Some(Spread { p50: 501, p99: 991, p999: 1000, max: 1001 }));
        assert_eq!(Spread::of(vec![7]), Some(Spread { p50: 7, p99: 7, p999: 7, max: 7 }));
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn the_tail_is_told_as_a_ratio() {
        let spread = Spread { p50: 200, p99: 300, p999: 500, max: 9_000 };
        assert!((spread.tail() - 2.5).abs() < 1e-12);
    }
}
