//! Statuses of predictions by their causes (domain guide 4.4), with a predictor that says what a test wants. The configuration is the worked
//! example's, its model replaced.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::*;
use crate::condition::Conditioner;
use crate::domain::Pca;
use crate::interval::ErrorQuantiles;
use crate::ports::{PredictFault, TrustData};
use crate::watch::basis::{Basis, ModeBasis, ModeSet};

static EXAMPLE: LazyLock<Config> = LazyLock::new(|| {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/examples/r101.toml");
    flyball_config::load(&file).config.expect("the example is good")
});

/// Inputs F, F_60, F_180, T, TK, T0, Q of the example: where the plant of these tests stands.
const HERE: [f64; 7] = [140.0, 140.0, 140.0, 114.0, 110.0, 116.0, 4000.0];

/// Gives one number, and remembers the features of its last run.
struct Fake {
    answer: Arc<AtomicU64>,
    features: Arc<[AtomicU64; 7]>,
}

impl Predictor for Fake {
    fn inputs(&self) -> usize {
        7
    }

    fn outputs(&self) -> usize {
        1
    }

    /// Ten per cent of the value to both sides.
    fn input_range(&self, input: usize) -> (f64, f64) {
        (HERE[input] * 0.9, HERE[input] * 1.1)
    }

    fn predict(&mut self, features: &[f64], out: &mut [f64]) -> Result<(), PredictFault> {
        for (cell, x) in self.features.iter().zip(features) {
            cell.store(x.to_bits(), Ordering::Relaxed);
        }
        out[0] = f64::from_bits(self.answer.load(Ordering::Relaxed));
        if out[0].is_finite() { Ok(()) } else { Err(PredictFault::NotFinite) }
    }

    /// One component per input; a standard deviation is one per cent of the value. T2 is the sum of squares, SPE is nothing.
    fn trust(&self) -> TrustData {
        let unit = |i: usize| (0..7).map(|j| f64::from(u8::from(i == j))).collect();
        let pca = Pca {
            mean: HERE.to_vec(),
            std: HERE.map(|x| 0.01 * x).to_vec(),
            loadings: (0..7).map(unit).collect(),
            eigenvalues: vec![1.0; 7],
            t2: [9.0, 16.0, 49.0],
            spe: [1.0, 2.0, 3.0],
        };
        let errors = ErrorQuantiles::new(vec![(0.5, 0.004), (0.9, 0.01), (0.99, 0.02)]);
        TrustData { domain: Some(pca), errors: errors.into_iter().collect() }
    }
}

/// The soft sensor of the example on readings that stand still until a test changes them.
struct Bench {
    config: Config,
    bank: SensorBank,
    conditioner: Conditioner,
    readings: Vec<Sample>,
    tags: Vec<Conditioned>,
    predictions: Vec<Prediction>,
    answer: Arc<AtomicU64>,
    features: Arc<[AtomicU64; 7]>,
    second: u64,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = EXAMPLE.clone();
        for tag in &mut config.tags {
            // Readings that stand still are frozen on a plant.
            tag.frozen = None;
            tag.max_rate_per_s = None;
        }
        change(&mut config);
        let (answer, features) = (Arc::new(AtomicU64::new(1.1_f64.to_bits())), Arc::<[AtomicU64; 7]>::default());
        let fake = || Box::new(Fake { answer: Arc::clone(&answer), features: Arc::clone(&features) });
        let bank = SensorBank::new(&config, |_| fake(), |_| None);
        let mut bench = Self {
            bank,
            conditioner: Conditioner::new(&config),
            readings: vec![Sample::WAITING; config.tags.len()],
            tags: vec![Conditioned::WAITING; config.tags.len()],
            predictions: vec![Prediction::WAITING; config.predictions.len()],
            config,
            answer,
            features,
            second: 0,
        };
        for (tag, value) in
            [("FI-101", 140.0), ("TI-101", 114.0), ("TI-102", 110.0), ("TI-103", 116.0), ("QY-101", 4000.0)]
        {
            bench.set(tag, value);
        }
        bench
    }

    fn tag(&self, name: &str) -> usize {
        self.config.tag_named(name).expect("a tag of the example").index()
    }

    fn set(&mut self, tag: &str, value: f64) {
        let at = self.tag(tag);
        let now = Timestamp(self.second * 1_000_000_000);
        self.readings[at] = Sample::new(value, Status::Good, now, now);
    }

    /// A result of the analyser, taken at this second.
    fn analyse(&mut self, value: f64, taken: u64) {
        let at = self.tag("AI-101");
        let now = Timestamp(self.second * 1_000_000_000);
        self.readings[at] = Sample::new(value, Status::Good, Timestamp(taken * 1_000_000_000), now);
    }

    fn answer(&self, raw: f64) {
        self.answer.store(raw.to_bits(), Ordering::Relaxed);
    }

    /// Scans for so many seconds, every reading alive.
    fn pass(&mut self, seconds: u64) -> Prediction {
        for _ in 0..seconds {
            self.second += 1;
            let now = Timestamp(self.second * 1_000_000_000);
            self.readings.iter_mut().filter(|r| r.value.is_some()).for_each(|r| r.alive = now);
            self.conditioner.run(now, &self.readings, &mut self.tags);
            let period = Duration::from_secs(1);
            let cycle = ScanCycle { number: self.second, scheduled: now, now, period, missed: 0 };
            self.bank.run(&cycle, &self.readings, &self.tags, &mut self.predictions);
        }
        self.predictions[0]
    }

    /// Long enough for windows and steadiness.
    fn started() -> Self {
        let mut bench = Self::new();
        bench.pass(600);
        bench
    }
}

fn state(p: &Prediction) -> (Status, PredictionReason) {
    (p.status.code(), p.reason)
}

#[test]
fn good_with_value_interval_and_domain() {
    let mut b = Bench::new();
    assert_eq!(state(&b.pass(100)), (Status::BadWaitingForInitialData, PredictionReason::Waiting));
    let p = b.pass(500);
    assert_eq!((state(&p), p.get()), ((Status::Good, PredictionReason::None), Some(1.1)));
    assert!(p.in_domain && p.in_range);
    let (lower, upper) = p.interval().expect("the file gives quantiles");
    assert!((lower - 1.09).abs() < 1e-9 && (upper - 1.11).abs() < 1e-9, "{lower} to {upper}");
    let d = p.domain.expect("the file gives a domain");
    assert!(d.t2 < 1e-6 && d.spe < 1e-6 && (d.t2_limit, d.spe_limit) == (16.0, 2.0), "{d:?}");
    assert_eq!(p.late.coverage_aimed, Some(0.9));
}

#[test]
fn outside_the_domain_is_uncertain_and_far_outside_bad_and_both_name_the_input() {
    let mut b = Bench::started();
    // Five standard deviations: T2 of 25 is beyond 99 % (16) and inside 99.9 % (49). TI-103 passes a first-order filter.
    b.set("TI-103", 116.0 * 1.05);
    let p = b.pass(300);
    assert_eq!(
        state(&p),
        (Status::UncertainSensorNotAccurate, PredictionReason::OutsideDomain(Statistic::T2, 5)),
        "{:?}",
        p.domain
    );
    assert!(p.get().is_some() && !p.in_domain && p.in_range && p.interval().is_some());
    // Eight: beyond 99.9 %, and still in the training range.
    b.set("TI-103", 116.0 * 1.08);
    let p = b.pass(300);
    let far = PredictionReason::FarOutsideDomain(Statistic::T2, 5);
    assert_eq!((state(&p), p.get(), p.interval()), ((Status::BadSensorFailure, far), None, None));
    b.set("TI-103", 116.0);
    assert_eq!(state(&b.pass(300)), (Status::Good, PredictionReason::None), "and back");
}

#[test]
fn the_domain_is_judged_before_inputs_are_limited_to_the_training_range() {
    let mut b = Bench::with(|c| c.models[0].trust.bad_at = None);
    b.pass(600);
    b.set("TI-101", 114.0 * 1.15);
    let p = b.pass(100);
    assert_eq!(state(&p), (Status::UncertainSensorNotAccurate, PredictionReason::OutsideTraining(3)));
    assert!(!p.in_range && !p.in_domain);
    let t2 = p.domain.expect("domain").t2;
    assert!((t2 - 225.0).abs() < 0.1, "15 standard deviations, not the 10 that the model saw: {t2}");
    let fed = f64::from_bits(b.features[3].load(Ordering::Relaxed));
    assert!((fed - 114.0 * 1.1).abs() < 1e-9, "the model sees the end of its range: {fed}");
}

#[test]
fn held_inputs_are_subnormal_and_bad_ones_end_the_prediction() {
    let mut b = Bench::started();
    let at = b.tag("TI-102");
    b.readings[at] = Sample::bad(Status::BadTimeout, Timestamp(600_000_000_000));
    let p = b.pass(8);
    assert_eq!(state(&p), (Status::UncertainSubNormal, PredictionReason::InputUncertain(4)));
    let p = b.pass(60);
    assert_eq!((state(&p), p.get()), ((Status::BadNoCommunication, PredictionReason::InputBad(4)), None));
    assert_eq!((p.interval(), p.domain), (None, None));
}

#[test]
fn outputs_are_limited_rejected_or_no_number() {
    let mut b = Bench::started();
    b.answer(1.35);
    let p = b.pass(5);
    assert_eq!(state(&p), (Status::UncertainEngineeringUnitsExceeded, PredictionReason::OutputLimited));
    assert_eq!(
        (p.get(), p.status),
        (Some(1.3), Status::UncertainEngineeringUnitsExceeded.with_limit(Status::LIMIT_HIGH))
    );
    b.answer(1.7);
    assert_eq!(state(&b.pass(5)), (Status::BadSensorFailure, PredictionReason::OutputRejected));
    b.answer(f64::NAN);
    assert_eq!(state(&b.pass(5)), (Status::BadSensorFailure, PredictionReason::ModelFault));
}

#[test]
fn bias_first_and_interval_second() {
    let mut b = Bench::started();
    b.analyse(1.109, 590);
    b.pass(1);
    let p = b.pass(5);
    assert!((p.bias - 0.0027).abs() < 1e-12 && (p.get().expect("good") - 1.1027).abs() < 1e-12, "{p:?}");
    let (lower, upper) = p.interval().expect("interval");
    assert!(((lower + upper) / 2.0 - 1.1027).abs() < 1e-9, "about the corrected value: {lower} to {upper}");
    assert_eq!(p.late.last, Some((Timestamp(590_000_000_000), SampleVerdict::Accepted)));
    assert_eq!((p.late.last_value, p.late.coverage), (Some(1.109), Some((1.0, 1))));
    let mut samples = Samples::new();
    b.bank.take_samples(&mut samples);
    assert_eq!(samples.len(), 1);
    let s = samples[0];
    assert_eq!(
        (s.output, s.verdict, s.value, s.covered),
        (PredictionId(0), SampleVerdict::Accepted, Some(1.109), Some(true))
    );
    b.bank.take_samples(&mut samples);
    assert!(samples.is_empty(), "each is told once");
}

#[test]
fn an_interval_that_is_too_wide_is_uncertain_and_may_become_narrow_again() {
    let mut b = Bench::with(|c| {
        let output = &mut c.models[0].outputs[0];
        output.too_wide = Some(0.03);
        output.bias.as_mut().expect("bias").confirm = flyball_config::Confirm::Never;
    });
    b.pass(600);
    let mut widest = 0.0_f64;
    // Errors of twice the usual size, to both sides: no bias follows them, the interval does.
    for i in 0..60 {
        b.analyse(1.1 + if i % 2 == 0 { 0.02 } else { -0.02 }, b.second - 10);
        let p = b.pass(15);
        widest = widest.max(p.half_width.unwrap_or(0.0));
        assert!(!p.status.is_bad());
    }
    let p = b.pass(5);
    assert_eq!(
        state(&p),
        (Status::UncertainSensorNotAccurate, PredictionReason::IntervalTooWide),
        "{:?}",
        p.half_width
    );
    assert!(widest > 0.018, "{widest}");
    let last = b.predictions[0].late;
    assert_eq!(last.refused_in_all(), 0, "a wide interval refuses no sample: {last:?}");
    for _ in 0..120 {
        let value = b.predictions[0].get().expect("not Bad") + 0.001;
        b.analyse(value, b.second - 10);
        b.pass(15);
    }
    assert_eq!(state(&b.pass(5)), (Status::Good, PredictionReason::None));
}

#[test]
fn a_bias_at_its_total_calls_for_maintenance() {
    let mut b = Bench::with(|c| c.models[0].outputs[0].too_wide = None);
    b.pass(600);
    for _ in 0..20 {
        b.analyse(1.3, b.second - 10);
        b.pass(15);
    }
    let p = b.pass(5);
    assert_eq!(state(&p), (Status::UncertainSensorNotAccurate, PredictionReason::BiasAtTotal));
    assert!(p.late.needs_maintenance && (p.bias - 0.1).abs() < 1e-12);
    assert!(b.bank.reset_bias(ModelId(0)));
    let p = b.pass(5);
    assert_eq!((p.bias, p.late.needs_maintenance, state(&p).0), (0.0, false, Status::Good));
}

#[test]
fn an_expired_bias_is_uncertain_and_the_next_sample_mends_it() {
    let mut b = Bench::with(|c| c.models[0].outputs[0].bias.as_mut().expect("bias").expires = Duration::from_secs(900));
    b.pass(600);
    let p = b.pass(700);
    assert_eq!(state(&p), (Status::UncertainSensorNotAccurate, PredictionReason::BiasExpired));
    b.analyse(1.1, b.second - 10);
    b.pass(1);
    assert_eq!(state(&b.pass(5)), (Status::Good, PredictionReason::None));
}

#[test]
fn samples_of_an_unsteady_or_doubted_time_are_refused() {
    let mut b = Bench::started();
    b.set("TI-101", 112.5);
    b.pass(20);
    b.analyse(1.1, b.second - 2);
    b.pass(1);
    assert_eq!(b.predictions[0].late.last.map(|l| l.1), Some(SampleVerdict::NotSteady));
    b.pass(400);
    b.set("TI-103", 116.0 * 1.05);
    b.pass(300);
    b.analyse(1.1, b.second - 2);
    b.pass(1);
    assert_eq!(b.predictions[0].late.last.map(|l| l.1), Some(SampleVerdict::ModelNotGood));
    assert_eq!((b.predictions[0].late.refused_in_all(), b.predictions[0].bias), (2, 0.0));
}

#[test]
fn results_that_the_analyser_calls_bad_count_once_and_a_dead_link_never() {
    let mut b = Bench::started();
    let at = b.tag("AI-101");
    let taken = Timestamp(590_000_000_000);
    // The valid bit is off: no number, but a result of its own time.
    b.readings[at] =
        Sample { value: None, status: Status::BadSensorFailure, source_time: taken, alive: Timestamp(600_000_000_000) };
    b.pass(50);
    let late = b.predictions[0].late;
    assert_eq!((late.last, late.refused_in_all()), (Some((taken, SampleVerdict::NotUsable)), 1));
    // Outside the tag's own range.
    b.analyse(1.7, 640);
    b.pass(50);
    assert_eq!(b.predictions[0].late.last.map(|l| l.1), Some(SampleVerdict::Implausible));
    for _ in 0..50 {
        b.readings[at] = Sample::bad(Status::BadTimeout, Timestamp(b.second * 1_000_000_000));
        b.pass(1);
    }
    assert_eq!(b.predictions[0].late.refused_in_all(), 2, "a link that is down has no results");
}

#[test]
fn without_data_in_the_file_there_is_no_doubt_to_show() {
    struct Bare(Fake);
    impl Predictor for Bare {
        fn inputs(&self) -> usize {
            self.0.inputs()
        }
        fn outputs(&self) -> usize {
            self.0.outputs()
        }
        fn input_range(&self, input: usize) -> (f64, f64) {
            self.0.input_range(input)
        }
        fn predict(&mut self, features: &[f64], out: &mut [f64]) -> Result<(), PredictFault> {
            self.0.predict(features, out)
        }
    }
    let mut b = Bench::new();
    let (answer, features) = (Arc::clone(&b.answer), Arc::clone(&b.features));
    let bare = |_| -> Box<dyn Predictor> {
        Box::new(Bare(Fake { answer: Arc::clone(&answer), features: Arc::clone(&features) }))
    };
    b.bank = SensorBank::new(&b.config, bare, |_| None);
    let p = b.pass(600);
    assert_eq!((state(&p).0, p.interval(), p.domain, p.in_domain), (Status::Good, None, None, true));
    assert_eq!((p.late.coverage_aimed, p.late.coverage), (None, None));
}

/// The fake, with one operating mode: its inputs, and intervals `factor` times as wide.
struct Moded(Fake, f64);

impl Predictor for Moded {
    fn inputs(&self) -> usize {
        self.0.inputs()
    }
    fn outputs(&self) -> usize {
        self.0.outputs()
    }
    fn input_range(&self, input: usize) -> (f64, f64) {
        self.0.input_range(input)
    }
    fn predict(&mut self, features: &[f64], out: &mut [f64]) -> Result<(), PredictFault> {
        self.0.predict(features, out)
    }
    fn trust(&self) -> TrustData {
        self.0.trust()
    }
    fn basis(&self) -> Basis {
        let mode = ModeBasis { name: "here".into(), centroid: vec![0.0; 7], radius: 1.0, factors: vec![self.1] };
        let (mean, std) = (HERE.to_vec(), HERE.map(|x| 0.01 * x).to_vec());
        Basis { modes: Some(ModeSet { mean, std, modes: vec![mode] }), ..Basis::default() }
    }
}

#[test]
fn an_operating_mode_with_larger_errors_widens_the_interval_and_what_is_learnt_in_it_counts_in_its_width() {
    let widths = |factor: f64, error: f64| {
        let mut b = Bench::new();
        let (answer, features) = (Arc::clone(&b.answer), Arc::clone(&b.features));
        let moded = |_| -> Box<dyn Predictor> {
            Box::new(Moded(Fake { answer: Arc::clone(&answer), features: Arc::clone(&features) }, factor))
        };
        b.bank = SensorBank::new(&b.config, moded, |_| None);
        let before = b.pass(900).half_width.expect("an interval");
        let taken = b.second - 200;
        b.analyse(1.1 + error, taken);
        let after = b.pass(10);
        assert_eq!(after.late.last.map(|l| l.1), Some(SampleVerdict::Accepted));
        (before, after.half_width.expect("an interval"))
    };
    let (one, two) = (widths(1.0, 0.006), widths(2.0, 0.012));
    assert!((two.0 - 2.0 * one.0).abs() < 1e-12, "{one:?} {two:?}");
    assert!((two.1 - 2.0 * one.1).abs() < 1e-9 && one.1 != one.0, "{one:?} {two:?}");
}
