//! Tests of the shadow: it compares over the same samples, refuses to be promoted too early, and a swap leaves nothing of the old role.

use super::*;
use crate::ports::{PredictFault, Predictor};
use crate::watch::basis::Basis;
use flyball_config::{Bias, EuRange, InputSource, ModelInput, ModelOutput, TagId};

const HOUR: u64 = 3_600_000_000_000;

/// Answers its input times a gain; `warm_up` runs before that counts.
struct Gain {
    gain: f64,
    warm_up: u32,
}

impl Predictor for Gain {
    fn inputs(&self) -> usize {
        1
    }
    fn outputs(&self) -> usize {
        1
    }
    fn input_range(&self, _input: usize) -> (f64, f64) {
        (0.0, 100.0)
    }
    fn predict(&mut self, features: &[f64], out: &mut [f64]) -> Result<(), PredictFault> {
        out[0] = self.gain * features[0];
        Ok(())
    }
    fn warm_up(&self) -> u32 {
        self.warm_up
    }
    fn basis(&self) -> Basis {
        Basis { rmsep: vec![Some(1.0)], ..Basis::default() }
    }
}

fn model() -> Model {
    let bias = Bias {
        with: TagId(1),
        take: 0.5,
        one_step: 100.0,
        total: 100.0,
        oldest: Duration::from_secs(48 * 3600),
        youngest: Duration::ZERO,
        confirm: flyball_config::Confirm::Never,
        only_when: Default::default(),
        expires: Duration::from_secs(1_000_000),
    };
    Model {
        name: "m".into(),
        text: String::new(),
        file: "m.onnx".into(),
        sha256: String::new(),
        shadow: None,
        role: ModelRole::SoftSensor,
        every: Duration::from_secs(3600),
        inputs: vec![ModelInput {
            name: "x".into(),
            source: InputSource::Tag(TagId(0)),
            filter: flyball_config::Filter::None,
            delay: Duration::ZERO,
        }],
        outputs: vec![ModelOutput {
            name: "y".into(),
            unit: flyball_config::Unit::named("1").expect("a unit"),
            range: EuRange { low: 0.0, high: 1000.0 },
            reject_outside: None,
            too_wide: None,
            bias: Some(bias),
            match_plant: None,
        }],
        trust: Default::default(),
    }
}

/// An active model of gain 2 and a shadow of gain 3, hour after hour; the truth is 3 x + 0.1, sampled at once.
struct Pair {
    model: Model,
    shadow: Shadow,
    active: RunningModel,
    shown: Vec<Prediction>,
    hour: u64,
}

impl Pair {
    fn new(warm_up: u32) -> Self {
        let model = model();
        let bind = |gain: f64, warm_up: u32| RunningModel::new(&model, Box::new(Gain { gain, warm_up }), &|_| None);
        Self {
            shadow: Shadow::new(&model, bind(3.0, warm_up)),
            active: bind(2.0, 1),
            shown: vec![Prediction::WAITING],
            hour: 0,
            model,
        }
    }

    fn run(&mut self, x: f64) {
        self.hour += 1;
        let (status, reason) = (Status::Good, PredictionReason::None);
        let (now, started) = (Timestamp(self.hour * HOUR), Timestamp(HOUR));
        let run = Run { now, started, inputs: &[x], status, reason, steady: &[true] };
        self.active.run(&self.model, &run, &mut self.shown);
        self.shadow.run(&self.model, &run);
    }

    fn hours(&mut self, n: u64) {
        for _ in 0..n {
            self.run(10.0);
            let now = Timestamp(self.hour * HOUR);
            let sample =
                self.active.offer(0, flyball_config::PredictionId(0), now, Some(30.1), now).expect("a new sample");
            self.shadow.late(0, now, &sample);
        }
    }

    fn swap(&mut self, promote: bool) -> Result<(), SwapRefusal> {
        self.shadow.swap(promote, &mut self.active)
    }

    fn bias(&self) -> Option<f64> {
        self.active.outputs[0].bias.as_ref().map(|b| b.bias)
    }

    fn compared(&self) -> Comparison {
        self.shadow.compared[0].report()
    }

    fn answer(&mut self) -> f64 {
        let mut out = [0.0];
        self.active.engine.predict(&[1.0], &mut out).expect("a gain never fails");
        out[0]
    }
}

#[test]
fn both_are_compared_over_the_same_samples() {
    let mut p = Pair::new(1);
    p.hours(1);
    let c = p.compared();
    assert_eq!(c.samples, 1);
    assert!((c.active.mean - 10.1).abs() < 1e-9 && (c.shadow.mean - 0.1).abs() < 1e-9, "{c:?}");
    p.hours(9);
    let c = p.compared();
    assert_eq!((c.samples, c.over), (10, Duration::from_secs(9 * 3600)));
    // The bias takes half of each error, so errors are 10.1, 5.05, ...: mean 10.1 (2 - 2^-9) / 10.
    assert!((c.active.mean - 10.1 * (2.0 - 0.5f64.powi(9)) / 10.0).abs() < 1e-9, "{c:?}");
    assert!(c.shadow.rmsep < c.active.rmsep / 50.0);
}

#[test]
fn a_sample_that_one_of_them_cannot_judge_is_in_neither_sum() {
    let mut p = Pair::new(4);
    p.hours(3);
    assert_eq!(p.compared().samples, 0, "the shadow's windows are not full");
    p.hours(2);
    assert_eq!(p.compared().samples, 2);
}

#[test]
fn promotion_needs_a_usable_shadow_and_enough_samples() {
    let mut p = Pair::new(40);
    assert_eq!(p.swap(true), Err(SwapRefusal::NotReady));
    p.hours(39);
    assert_eq!(p.swap(true), Err(SwapRefusal::NotReady));
    p.hours(29);
    assert_eq!(p.swap(true), Err(SwapRefusal::TooEarly(29, 28)));
    assert_eq!(p.answer(), 2.0, "nothing has changed");
    p.hours(1);
    assert_eq!(p.swap(true), Ok(()));
    assert_eq!(p.answer(), 3.0);
}

#[test]
fn two_weeks_do_as_well_as_thirty_samples() {
    let mut p = Pair::new(1);
    p.hours(1);
    p.hour += 14 * 24 - 1;
    p.hours(1);
    assert_eq!(p.compared().samples, 2);
    assert_eq!(p.swap(true), Ok(()));
}

#[test]
fn a_swap_starts_bias_watch_and_comparison_anew_and_can_be_taken_back_at_once() {
    let mut p = Pair::new(1);
    assert_eq!(p.swap(false), Err(SwapRefusal::NothingToRollBack));
    p.hours(30);
    assert!(p.bias().is_some_and(|b| b > 10.0));
    p.swap(true).expect("thirty samples");
    assert_eq!(p.bias(), Some(0.0));
    assert!(p.shadow.model.outputs[0].bias.as_ref().is_some_and(|b| b.bias == 0.0));
    let mut report = ShadowReport {
        values: vec![None],
        biases: vec![0.0],
        watch: WatchReport::new(1, 1),
        compared: vec![Comparison::default()],
        promoted: false,
    };
    p.shadow.report(&mut report);
    assert!(report.promoted && report.watch.outputs[0].accepted == 0 && report.compared[0].samples == 0);
    assert_eq!(p.swap(true), Err(SwapRefusal::AlreadyPromoted));
    assert_eq!(p.swap(false), Ok(()), "at once, without new samples");
    assert_eq!(p.answer(), 2.0);
    p.shadow.report(&mut report);
    assert!(!report.promoted);
}

#[test]
fn a_gap_empties_the_shadow_too() {
    let mut p = Pair::new(2);
    p.hours(35);
    p.shadow.gap(Timestamp(36 * HOUR));
    assert_eq!(p.swap(true), Err(SwapRefusal::NotReady));
}

#[test]
fn inputs_are_limited_to_the_shadows_own_training_range() {
    let mut p = Pair::new(1);
    p.run(500.0);
    assert_eq!(p.shadow.predictions[0].raw, 300.0);
    p.run(-500.0);
    assert_eq!(p.shadow.predictions[0].raw, 0.0);
}
