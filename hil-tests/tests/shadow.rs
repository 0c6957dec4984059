//! Promise: promoting a shadow in CLOSED LOOP leaves the loop bumpless, allocates nothing, and only an operator closes it again.
//!
//! R-101 on the virtual clock. The candidate is the shipped soft sensor plus a constant, so that it can be told apart; its bias rule sees
//! the same analyser samples.

use std::sync::{Arc, Mutex, PoisonError};

use flyball_config::{Config, ModelId, Role, ShadowFile};
use flyball_core::command::{Action, Command, Outcome};
use flyball_core::image::InputImage;
use flyball_core::mode::{Mode, ShedCause};
use flyball_core::ports::{PredictFault, Predictor};
use flyball_core::record::{Event, ScanRecord};
use flyball_core::shadow::{COMPARED_SAMPLES, SwapRefusal};
use flyball_core::time::ScanCycle;
use flyball_hil_tests::{VirtualRun, engines, example};
use flyball_rig::scenario::{Disturbance, Plan};

/// What the candidate says more than the model, mol/l.
const MORE: f64 = 0.01;
/// The soft sensor of the example.
const CB: ModelId = ModelId(0);

/// A model that says `MORE`.
struct Shifted(Box<dyn Predictor>);

impl Predictor for Shifted {
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
        self.0.predict(features, out)?;
        out[0] += MORE;
        Ok(())
    }
}

struct Stage {
    config: Config,
    run: VirtualRun,
    commands: Arc<Mutex<Vec<Command>>>,
    next: u32,
}

impl Stage {
    fn new() -> Self {
        let mut config = example("r101.toml");
        let model = &config.models[CB.index()];
        config.models[CB.index()].shadow = Some(ShadowFile { file: model.file.clone(), sha256: model.sha256.clone() });
        let mut engines = engines(&config).engines;
        let candidate = engines.shadows[CB.index()].take().expect("the shadow was loaded");
        engines.shadows[CB.index()] = Some(Box::new(Shifted(candidate)));
        let commands: Arc<Mutex<Vec<Command>>> = Arc::default();
        let queue = Arc::clone(&commands);
        let spoil = Box::new(move |_: &ScanCycle, image: &mut InputImage| {
            let mut waiting = queue.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some(command) = waiting.pop() {
                image.commands.push(command).expect("the test sends one at a time");
            }
        });
        let end_after = std::time::Duration::from_secs(1_000_000);
        let plan = Plan { disturbance: Disturbance::None, end_after, ..Plan::STEP };
        Self { run: VirtualRun::with(&config, plan, 5, engines, spoil), config, commands, next: 0 }
    }

    /// Sends a command with the next scan; its answer, and the record of that scan.
    fn ask(&mut self, role: Role, action: Action) -> (Outcome, ScanRecord) {
        self.next += 1;
        self.commands.lock().expect("not poisoned").push(Command { id: self.next, role, action });
        let record = self.run.scan().clone();
        let answer = record.answers.iter().find(|a| a.id == self.next).expect("answered in its scan");
        (answer.outcome, record)
    }

    /// Scans until something holds; the record of that scan.
    fn until(&mut self, what: &str, scans: u32, holds: impl Fn(&ScanRecord) -> bool) -> ScanRecord {
        for _ in 0..scans {
            let record = self.run.scan();
            if holds(record) {
                return record.clone();
            }
        }
        panic!("{what}: not within {scans} scans");
    }

    fn operator_switch(&self, on: bool) {
        self.run.rig.with_plc(|plc| plc.panel.enable = on);
    }

    fn close_again(&mut self) -> ScanRecord {
        self.operator_switch(false);
        for _ in 0..30 {
            self.run.scan();
        }
        self.operator_switch(true);
        self.until("closing again", 1_000, |r| r.mode.actual == Mode::ClosedLoop)
    }

    /// After a swap: ADVISORY, nothing written, setpoints stand, and nothing closes the loop by itself.
    fn stays_open(&mut self, at_swap: &ScanRecord) {
        let setpoints: Vec<_> = at_swap.mvs.iter().map(|m| m.readback).collect();
        for _ in 0..900 {
            let record = self.run.scan();
            assert_eq!((record.mode.actual, record.mode.requested), (Mode::Advisory, Mode::Advisory));
            for (i, mv) in self.config.mvs.iter().enumerate() {
                assert_eq!(record.outputs.cell(mv.write), None, "{} is written in ADVISORY", mv.name);
                let (before, now) = (setpoints[i].expect("readable"), record.mvs[i].readback.expect("readable"));
                assert!((now - before).abs() <= mv.limits.span() * 1e-3, "{}: {before} -> {now}", mv.name);
            }
        }
    }
}

fn samples(record: &ScanRecord) -> u32 {
    record.models[CB.index()].shadow.as_ref().map_or(0, |s| s.compared[0].samples)
}

#[test]
fn promote_in_closed_loop_goes_to_advisory_and_rolls_back_at_once() {
    let mut stage = Stage::new();
    stage.until("closing", 3_000, |r| r.mode.actual == Mode::ClosedLoop);

    // Who and when.
    assert_eq!(stage.ask(Role::Operator, Action::SwapModel(CB, true)).0, Outcome::RoleTooLow(Role::Engineer));
    assert_eq!(
        stage.ask(Role::Engineer, Action::SwapModel(ModelId(1), true)).0,
        Outcome::NotSwapped(SwapRefusal::NoShadow)
    );
    assert_eq!(
        stage.ask(Role::Engineer, Action::SwapModel(ModelId(99), true)).0,
        Outcome::NotSwapped(SwapRefusal::NoShadow)
    );
    let nothing = Outcome::NotSwapped(SwapRefusal::NothingToRollBack);
    assert_eq!(stage.ask(Role::Engineer, Action::SwapModel(CB, false)).0, nothing);
    let (early, record) = stage.ask(Role::Engineer, Action::SwapModel(CB, true));
    assert!(matches!(early, Outcome::NotSwapped(SwapRefusal::TooEarly(n, _)) if n < COMPARED_SAMPLES), "{early:?}");
    assert_eq!(record.mode.actual, Mode::ClosedLoop, "a refused command changes nothing");

    // Enough samples: both saw the same ones, and the report says what the shadow is.
    let record = stage.until("samples", 30_000, |r| samples(r) >= COMPARED_SAMPLES);
    assert_eq!(record.mode.actual, Mode::ClosedLoop);
    let shadow = record.models[CB.index()].shadow.as_ref().expect("configured");
    println!("{}", flyball::words::watch::comparison(&stage.config.models[CB.index()], shadow));
    let (active_raw, bias) = (record.predictions[0].raw, shadow.biases[0]);
    let shadow_raw = shadow.values[0].expect("usable") - bias;
    assert!((shadow_raw - active_raw - MORE).abs() < 1e-9, "same inputs: {active_raw} and {shadow_raw}");
    assert_eq!(shadow.watch.outputs[0].accepted, record.models[CB.index()].watch.outputs[0].accepted);

    // Promotion, and what it costs.
    stage.next += 1;
    let command = Command { id: stage.next, role: Role::Engineer, action: Action::SwapModel(CB, true) };
    stage.commands.lock().expect("not poisoned").push(command);
    let allocations = allocation_counter::measure(|| stage.run.executive.scan()).count_total;
    assert_eq!(allocations, 0, "a swap of what is there");
    let record = stage.run.newest().clone();
    assert_eq!(record.answers.first().map(|a| a.outcome), Some(Outcome::Done));
    assert_eq!((record.mode.actual, record.mode.shed), (Mode::Advisory, Some(ShedCause::ModelSwapped(CB))));
    assert!(record.events.contains(&Event::ModelSwapped(0, true)), "{:?}", record.events);
    assert!(record.events.contains(&Event::Shed(ShedCause::ModelSwapped(CB))));
    let report = &record.models[CB.index()];
    assert_eq!((report.watch.outputs[0].accepted, samples(&record)), (0, 0), "watch and comparison begin anew");
    assert!(report.shadow.as_ref().is_some_and(|s| s.promoted && s.biases == [0.0]));
    stage.stays_open(&record);

    // The candidate predicts now, the original model beside it.
    let record = stage.run.scan().clone();
    let shadow = record.models[CB.index()].shadow.as_ref().expect("configured");
    let original = shadow.values[0].expect("usable") - shadow.biases[0];
    assert!((record.predictions[0].raw - original - MORE).abs() < 1e-9);

    // Closed again, by the operator; then back at once, without new samples to compare.
    let closed = stage.close_again();
    assert!(closed.models[CB.index()].shadow.as_ref().is_some_and(|s| s.promoted));
    let first = stage.until("a setpoint", 600, |r| r.mvs.iter().any(|m| m.guard.written.is_some()));
    for (m, mv) in first.mvs.iter().zip(&stage.config.mvs) {
        let (Some(written), Some(now)) = (m.guard.written, m.readback) else { continue };
        assert!((written - now).abs() <= mv.move_up.max(mv.move_down), "{}: {now} -> {written}", mv.name);
    }
    let twice = Outcome::NotSwapped(SwapRefusal::AlreadyPromoted);
    assert_eq!(stage.ask(Role::Engineer, Action::SwapModel(CB, true)).0, twice);
    let (back, record) = stage.ask(Role::Engineer, Action::SwapModel(CB, false));
    assert_eq!(back, Outcome::Done);
    assert_eq!((record.mode.actual, record.mode.shed), (Mode::Advisory, Some(ShedCause::ModelSwapped(CB))));
    stage.stays_open(&record);
    let record = stage.run.scan();
    let shadow = record.models[CB.index()].shadow.as_ref().expect("configured");
    assert!(!shadow.promoted);
    let candidate = shadow.values[0].expect("usable") - shadow.biases[0];
    assert!((candidate - record.predictions[0].raw - MORE).abs() < 1e-9);
}
