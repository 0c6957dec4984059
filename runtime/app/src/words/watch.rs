//! Words for the watch and the shadow: advice, PSI, operating mode, the comparison report, why a model was not swapped.

use std::fmt::Write as _;
use std::time::Duration;

use flyball_config::{Model, duration_words};
use flyball_core::shadow::{COMPARED_SAMPLES, COMPARED_TIME, Comparison, ShadowReport, Side, SwapRefusal};
use flyball_core::watch::operating::OperatingMode;
use flyball_core::watch::psi::{CHANGED, CHANGED_MUCH};
use flyball_core::watch::{Advice, OutputReport, Trigger};

/// What a trigger advises.
#[must_use]
pub const fn trigger(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Rmsep => "RMSEP of the last 20 samples is above 1.5 times that of the commissioning",
        Trigger::Drift => "the model drifts: CUSUM of its raw errors is above 5 sigma",
        Trigger::BiasLimit => "the bias is at its limit: the model needs maintenance",
        Trigger::Coverage => "too few of the last 20 samples lay inside the interval",
        Trigger::Domain => "inside its domain for less than 90 % of a week: it needs new training data",
    }
}

/// Everything that stands, and when the first advice was given; empty when there was none.
#[must_use]
pub fn advice(report: &OutputReport) -> String {
    let mut text = standing(report.advice);
    if let Some(first) = report.raised {
        let separator = if text.is_empty() { "" } else { "; " };
        let _ = write!(text, "{separator}first advice at sample {}: {}", first.sample, trigger(first.trigger));
    }
    text
}

/// What stands, one after the other.
#[must_use]
pub fn standing(advice: Advice) -> String {
    let list: Vec<&str> = Trigger::ALL.into_iter().filter(|t| advice.contains(*t)).map(trigger).collect();
    list.join("; ")
}

/// PSI of one input. A convention, for information.
#[must_use]
pub fn psi(input: &str, value: Option<f64>) -> String {
    match value {
        None => format!("{input}: too few points yet"),
        Some(v) if v > CHANGED_MUCH => format!("{input}: {v:.2}, changed much"),
        Some(v) if v > CHANGED => format!("{input}: {v:.2}, changed"),
        Some(v) => format!("{input}: {v:.2}"),
    }
}

/// Operating mode; `names` are those of the model file.
#[must_use]
pub fn operating_mode(mode: OperatingMode, names: &[String]) -> String {
    match mode {
        OperatingMode::None => String::new(),
        OperatingMode::Unknown => "unknown".into(),
        OperatingMode::Known(i) => names.get(usize::from(i)).cloned().unwrap_or_else(|| "unknown".into()),
    }
}

/// Why a model and its shadow were not swapped, as a sentence.
#[must_use]
pub fn not_swapped(why: SwapRefusal) -> String {
    match why {
        SwapRefusal::NoShadow => {
            "Refused: the model has no shadow; name its file under [model.NAME.shadow] and start again.".into()
        }
        SwapRefusal::NotReady => {
            "Refused: the shadow has no usable prediction; its windows are not full or an input is Bad.".into()
        }
        SwapRefusal::TooEarly(samples, hours) => format!(
            "Refused: only {samples} samples over {hours} h were compared; {COMPARED_SAMPLES} samples or {} h are needed.",
            COMPARED_TIME.as_secs() / 3600
        ),
        SwapRefusal::AlreadyPromoted => {
            "Refused: the candidate is the active model already; RollBack undoes that.".into()
        }
        SwapRefusal::NothingToRollBack => {
            "Refused: no candidate was promoted, so there is nothing to roll back.".into()
        }
    }
}

/// The comparison of a model with its shadow over the same samples, as lines.
#[must_use]
pub fn comparison(model: &Model, report: &ShadowReport) -> String {
    let roles = if report.promoted {
        "the candidate is active, the original model is its shadow"
    } else {
        "the candidate is the shadow"
    };
    let mut text =
        format!("model {}: {roles}; both over the same late samples, sample minus prediction in EU\n", model.name);
    let _ = writeln!(
        text,
        "{:<12} {:>7} {:>8} {:>11} {:>11} {:>11} {:>11} {:>9} {:>9}",
        "output", "samples", "over", "RMSEP", "shadow", "mean error", "shadow", "inside", "shadow"
    );
    for ((output, c), _) in model.outputs.iter().zip(&report.compared).zip(0..).filter(|((o, _), _)| o.bias.is_some()) {
        let _ = writeln!(text, "{}", row(&output.name, c));
    }
    text
}

fn row(name: &str, c: &Comparison) -> String {
    if c.samples == 0 {
        return format!("{name:<12} {:>7}", 0);
    }
    let share = |side: &Side| side.coverage.map_or_else(|| "-".into(), |s| format!("{:.0} %", s * 100.0));
    let hours = duration_words(Duration::from_secs(c.over.as_secs() / 60 * 60));
    format!(
        "{name:<12} {:>7} {hours:>8} {:>11.4} {:>11.4} {:>11.4} {:>11.4} {:>9} {:>9}",
        c.samples,
        c.active.rmsep,
        c.shadow.rmsep,
        c.active.mean,
        c.shadow.mean,
        share(&c.active),
        share(&c.shadow)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyball_core::time::Timestamp;
    use flyball_core::watch::Raised;

    #[test]
    fn advice_says_what_stands_and_what_was_first() {
        let mut report = OutputReport::default();
        assert_eq!(advice(&report), "");
        report.advice.set(Trigger::Coverage, true);
        report.raised = Some(Raised { trigger: Trigger::Drift, sample: 37, taken: Timestamp::ZERO });
        assert_eq!(
            advice(&report),
            "too few of the last 20 samples lay inside the interval; first advice at sample 37: the model drifts: CUSUM of its raw \
             errors is above 5 sigma"
        );
        report.advice.set(Trigger::Coverage, false);
        assert!(advice(&report).starts_with("first advice at sample 37"), "it is remembered");
    }

    #[test]
    fn psi_reads_by_convention() {
        assert_eq!(psi("AT", None), "AT: too few points yet");
        assert_eq!(psi("AT", Some(0.1)), "AT: 0.10");
        assert_eq!(psi("AT", Some(0.2)), "AT: 0.20, changed");
        assert_eq!(psi("AT", Some(0.3)), "AT: 0.30, changed much");
    }

    #[test]
    fn modes_have_the_names_of_the_file() {
        let names = ["base load".to_owned()];
        assert_eq!(operating_mode(OperatingMode::Known(0), &names), "base load");
        assert_eq!(operating_mode(OperatingMode::Unknown, &names), "unknown");
        assert_eq!(operating_mode(OperatingMode::None, &names), "");
    }

    #[test]
    fn a_refusal_says_what_is_missing() {
        let text = not_swapped(SwapRefusal::TooEarly(12, 3));
        assert_eq!(text, "Refused: only 12 samples over 3 h were compared; 30 samples or 336 h are needed.");
    }

    #[test]
    fn a_row_shows_both_sides() {
        let side = |rmsep, mean, coverage| Side { rmsep, mean, coverage };
        let c = Comparison {
            samples: 34,
            over: Duration::from_secs(5 * 3600 + 30),
            active: side(0.5, 0.25, None),
            shadow: side(0.125, -0.0625, Some(0.9)),
        };
        let words: Vec<String> = row("cB", &c).split_whitespace().map(str::to_owned).collect();
        assert_eq!(words.join(" "), "cB 34 5 h 0.5000 0.1250 0.2500 -0.0625 - 90 %");
        assert_eq!(row("cB", &Comparison::default()).trim(), "cB                 0");
    }
}
