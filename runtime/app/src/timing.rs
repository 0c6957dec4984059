//! Why: bounded latency is a claim that needs numbers: last, p50, p99, p99.9 and max since reset, per stage, and every miss counted.
//!
//! Fed outside the scan from the phase durations in its records. Histograms have fixed bounds and are allocated once: recording
//! allocates nothing and is bounded. Quantiles are exact to three significant digits (HDR histogram), `last` and `max` are exact.
//!
//! Words: *scan* is scheduled start to flush, *total* is scheduled start to last write acknowledged, *jitter* is how much later than
//! scheduled a scan started, *data age* is source time to freeze, *overrun* is a total beyond the deadline.

use std::fmt;

use flyball_core::ports::{PHASES, Phase};
use hdrhistogram::Histogram;
use serde::Serialize;

/// Longest duration a histogram tells apart: one minute; longer ones count as one minute (`max` stays exact).
const LONGEST_NS: u64 = 60_000_000_000;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Measure {
    /// Inputs frozen.
    Freeze,
    /// Samples judged, features made.
    Condition,
    /// Models run.
    Predict,
    /// Setpoints searched.
    Optimise,
    /// Setpoints guarded.
    Guard,
    /// Outputs posted.
    Flush,
    /// Flush to last write acknowledged.
    Write,
    /// Scheduled start to flush.
    Scan,
    /// Scheduled start to last write acknowledged, or to "no write" decided.
    Total,
    /// Start later than scheduled.
    Jitter,
    /// Source time to freeze, the oldest input of a scan.
    DataAge,
}

impl Measure {
    /// All, in the order of reports.
    pub const ALL: [Self; 11] = [
        Self::Freeze,
        Self::Condition,
        Self::Predict,
        Self::Optimise,
        Self::Guard,
        Self::Flush,
        Self::Write,
        Self::Scan,
        Self::Total,
        Self::Jitter,
        Self::DataAge,
    ];

    /// Name in reports and OPC UA nodes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Freeze => "freeze",
            Self::Condition => "condition",
            Self::Predict => "predict",
            Self::Optimise => "optimise",
            Self::Guard => "guard",
            Self::Flush => "flush",
            Self::Write => "write",
            Self::Scan => "scan",
            Self::Total => "total",
            Self::Jitter => "jitter",
            Self::DataAge => "data age",
        }
    }
}

impl From<Phase> for Measure {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Freeze => Self::Freeze,
            Phase::Condition => Self::Condition,
            Phase::Predict => Self::Predict,
            Phase::Optimise => Self::Optimise,
            Phase::Guard => Self::Guard,
            Phase::Flush => Self::Flush,
        }
    }
}

/// Statistics of one measure since reset, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Values recorded.
    pub count: u64,
    /// Newest.
    pub last: u64,
    /// Median.
    pub p50: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
    /// Largest.
    pub max: u64,
}

/// Deadlines missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Overruns {
    /// Since reset.
    pub total: u64,
    /// Now, one after the other.
    pub in_row: u32,
    /// Longest row since reset.
    pub in_row_max: u32,
    /// Periods in which no scan ran, since reset.
    pub skipped: u64,
}

#[derive(Clone)]
struct Track {
    histogram: Histogram<u64>,
    last: u64,
    max: u64,
}

impl Track {
    fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("bounds are constants: 1 < 60 s, 3 digits");
        Self { histogram, last: 0, max: 0 }
    }

    fn record(&mut self, ns: u64) {
        self.histogram.saturating_record(ns.max(1));
        self.last = ns;
        self.max = self.max.max(ns);
    }

    fn summary(&self) -> Summary {
        // A bucket's upper edge can lie above the largest value in it; a quantile beyond the maximum would only confuse.
        let at = |q| self.histogram.value_at_quantile(q).min(self.max);
        Summary {
            count: self.histogram.len(),
            last: self.last,
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: self.max,
        }
    }
}

/// All statistics of one application.
#[derive(Clone)]
pub struct Timing {
    tracks: Vec<Track>,
    overruns: Overruns,
}

impl Default for Timing {
    fn default() -> Self {
        Self::new()
    }
}

impl Timing {
    /// Empty statistics: about 3 MB, allocated here and never again.
    #[must_use]
    pub fn new() -> Self {
        Self { tracks: Measure::ALL.iter().map(|_| Track::new()).collect(), overruns: Overruns::default() }
    }

    /// One duration in nanoseconds. Bounded, allocates nothing.
    pub fn record(&mut self, measure: Measure, ns: u64) {
        self.tracks[measure as usize].record(ns);
    }

    /// The phase durations of one scan in nanoseconds, in the order of `Phase`. A phase that did not run is None.
    pub fn phases(&mut self, durations: &[Option<u64>; PHASES]) {
        for (measure, ns) in Measure::ALL.iter().zip(durations) {
            if let Some(ns) = ns {
                self.record(*measure, *ns);
            }
        }
    }

    /// The end of one cycle: was its deadline missed, and how many periods before it had no scan.
    pub fn cycle(&mut self, missed_deadline: bool, skipped: u32) {
        let o = &mut self.overruns;
        o.skipped += u64::from(skipped);
        if missed_deadline {
            o.total += 1;
            o.in_row = o.in_row.saturating_add(1);
            o.in_row_max = o.in_row_max.max(o.in_row);
        } else {
            o.in_row = 0;
        }
    }

    /// Statistics of one measure.
    #[must_use]
    pub fn summary(&self, measure: Measure) -> Summary {
        self.tracks[measure as usize].summary()
    }

    /// How many values lie at or below each edge and above the one before it, nanoseconds; edges 1, 2 and 5 in each decade, empty ones left out.
    #[must_use]
    pub fn buckets(&self, measure: Measure) -> Vec<(u64, u64)> {
        let histogram = &self.tracks[measure as usize].histogram;
        let edges: Vec<u64> =
            (2..=10).flat_map(|e| [1, 2, 5].map(|n| n * 10u64.pow(e))).filter(|e| *e < LONGEST_NS).collect();
        let mut counts = vec![0; edges.len() + 1];
        // Each recorded value once: `count_between` counts a value on an edge on both sides, because near values are one to the histogram.
        for step in histogram.iter_recorded() {
            counts[edges.partition_point(|edge| *edge < step.value_iterated_to())] += step.count_at_value();
        }
        edges.into_iter().chain([LONGEST_NS]).zip(counts).filter(|(_, n)| *n > 0).collect()
    }

    /// Deadlines missed.
    #[must_use]
    pub fn overruns(&self) -> Overruns {
        self.overruns
    }

    /// Starts anew.
    pub fn reset(&mut self) {
        for track in &mut self.tracks {
            track.histogram.reset();
            track.last = 0;
            track.max = 0;
        }
        self.overruns = Overruns::default();
    }
}

/// The report table.
impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<10}{:>10}{:>11}{:>11}{:>11}{:>11}{:>11}",
            "stage", "count", "last", "p50", "p99", "p99.9", "max"
        )?;
        for measure in Measure::ALL {
            let s = self.summary(measure);
            if s.count == 0 {
                continue;
            }
            write!(f, "{:<10}{:>10}", measure.name(), s.count)?;
            for ns in [s.last, s.p50, s.p99, s.p999, s.max] {
                write!(f, "{:>11}", Nanos(ns).to_string())?;
            }
            writeln!(f)?;
        }
        let o = self.overruns;
        write!(
            f,
            "deadline missed {} times (longest row {}), {} periods without a scan",
            o.total, o.in_row_max, o.skipped
        )
    }
}

/// A duration for people: three significant digits and a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nanos(pub u64);

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0 as f64;
        let (value, unit) = match self.0 {
            0..1_000 => return f.pad(&format!("{} ns", self.0)),
            1_000..1_000_000 => (ns / 1e3, "us"),
            1_000_000..1_000_000_000 => (ns / 1e6, "ms"),
            _ => (ns / 1e9, "s"),
        };
        let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        f.pad(&format!("{value:.digits$} {unit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_known_series() {
        let mut timing = Timing::new();
        for us in 1..=1000u64 {
            timing.record(Measure::Predict, us * 1000);
        }
        let s = timing.summary(Measure::Predict);
        assert_eq!((s.count, s.last, s.max), (1000, 1_000_000, 1_000_000));
        for (got, want) in [(s.p50, 500_000.0), (s.p99, 990_000.0), (s.p999, 999_000.0)] {
            assert!((got as f64 / want - 1.0).abs() < 1e-3, "{got} for {want}");
        }
        assert_eq!(timing.summary(Measure::Guard), Summary::default());
    }

    #[test]
    fn phases_go_to_their_measures_and_a_phase_that_did_not_run_counts_nothing() {
        let mut timing = Timing::new();
        timing.phases(&[Some(1), Some(2), Some(3), None, Some(5), Some(6)]);
        let all = [Phase::Freeze, Phase::Condition, Phase::Predict, Phase::Optimise, Phase::Guard, Phase::Flush];
        let last = all.map(|p| timing.summary(p.into()).last);
        assert_eq!(last, [1, 2, 3, 0, 5, 6]);
        assert_eq!(timing.summary(Measure::Optimise).count, 0);
    }

    #[test]
    fn overruns_are_counted_in_total_and_in_a_row() {
        let mut timing = Timing::new();
        for missed in [true, true, false, true] {
            timing.cycle(missed, u32::from(missed));
        }
        assert_eq!(timing.overruns(), Overruns { total: 3, in_row: 1, in_row_max: 2, skipped: 3 });
        timing.reset();
        assert_eq!(timing.overruns(), Overruns::default());
    }

    #[test]
    fn beyond_a_minute_the_maximum_stays_exact() {
        let mut timing = Timing::new();
        timing.record(Measure::Write, 3 * LONGEST_NS + 7);
        assert_eq!(timing.summary(Measure::Write).max, 3 * LONGEST_NS + 7);
        assert!(timing.to_string().contains("write"));
    }

    #[test]
    fn durations_for_people() {
        let text: Vec<String> = [999, 1_500, 25_400, 123_456_789, 2_000_000_000].map(|n| Nanos(n).to_string()).into();
        assert_eq!(text, ["999 ns", "1.50 us", "25.4 us", "123 ms", "2.00 s"]);
    }
}
