//! The stage of the fault campaign: R-101 in CLOSED LOOP on the virtual clock, a fault laid on PLC, plant or readings, and the time until
//! something is seen. The observer watches every scan of every test.
//!
//! Words: *after* counts seconds of process time from the scan before the fault to the scan that shows the reaction.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flyball::clock::VirtualClock;
use flyball::words::Words;
use flyball_config::{Config, MvId, Role, TagId};
use flyball_core::command::{Action, Command};
use flyball_core::controller::Engines;
use flyball_core::image::{InputImage, Sample};
use flyball_core::mode::Mode;
use flyball_core::record::ScanRecord;
use flyball_core::status::Status;
use flyball_core::time::ScanCycle;
use flyball_rig::panel::MvName;
use flyball_rig::plc::SimPlc;
use flyball_rig::scenario::{Disturbance, Plan};

use crate::observer::Observer;
use crate::{Spoil, VirtualRun, engines, example};

/// Climbing from the base case to the optimum takes 15 min; the analyser has agreed by then.
pub const CLIMB_S: u64 = 1_500;

/// What stands between PLC and runtime.
struct Hook {
    commands: Vec<Command>,
    spoil: Spoil,
}

/// R-101 with its operator, and whoever lays faults on it.
pub struct Stage {
    /// The configuration that runs.
    pub config: Config,
    /// Texts of the configuration.
    pub words: Words,
    /// Runtime and rig.
    pub run: VirtualRun,
    /// The process clock, for faults that take time.
    pub clock: Arc<VirtualClock>,
    /// Judges every scan.
    pub observer: Observer,
    /// Prints the events of each scan.
    pub talks: bool,
    hook: Arc<Mutex<Hook>>,
    now: u64,
    since: u64,
    next: u32,
}

/// A reaction.
pub struct Seen {
    /// Seconds after the fault.
    pub after: u64,
    /// The scan that showed it.
    pub record: ScanRecord,
}

impl Stage {
    /// From cold start: the operator switches on after 30 s, and nothing else happens by itself.
    #[must_use]
    pub fn cold(config: Config, engines: Engines, clock: VirtualClock, seed: u64) -> Self {
        Self::on(config, engines, Arc::new(clock), seed)
    }

    /// The same on a clock that engines share.
    #[must_use]
    pub fn on(config: Config, engines: Engines, clock: Arc<VirtualClock>, seed: u64) -> Self {
        let for_ever = Duration::from_secs(1_000_000_000);
        let plan = Plan { disturbance: Disturbance::None, end_after: for_ever, give_up_at: for_ever, ..Plan::STEP };
        let hook = Arc::new(Mutex::new(Hook { commands: Vec::new(), spoil: Box::new(|_, _| {}) }));
        let shared = Arc::clone(&hook);
        let spoil = Box::new(move |cycle: &ScanCycle, image: &mut InputImage| {
            let mut hook = shared.lock().unwrap_or_else(PoisonError::into_inner);
            while let (false, Some(command)) = (image.commands.is_full(), hook.commands.pop()) {
                let _ = image.commands.push(command);
            }
            (hook.spoil)(cycle, image);
        });
        let run = VirtualRun::on_clock(&config, plan, seed, engines, spoil, Arc::clone(&clock));
        let (words, observer) = (Words::new(&config), Observer::new(&config));
        let now = flyball_core::ports::Clock::now(&*clock).0 / 1_000_000_000;
        Self { config, words, run, clock, observer, talks: true, hook, now, since: now, next: 0 }
    }

    /// The example from cold start.
    #[must_use]
    pub fn example(seed: u64) -> Self {
        let config = example("r101.toml");
        let engines = engines(&config).engines;
        Self::cold(config, engines, VirtualClock::new(), seed)
    }

    /// The example, closed this long ago.
    #[must_use]
    pub fn closed(seed: u64, ago_s: u64) -> Self {
        let mut stage = Self::example(seed);
        stage.close(ago_s);
        stage
    }

    /// The example at its optimum.
    #[must_use]
    pub fn at_optimum(seed: u64) -> Self {
        Self::closed(seed, CLIMB_S)
    }

    /// Waits until the loop is closed, and then some.
    pub fn close(&mut self, ago_s: u64) {
        self.until("closing", 900, |r| r.mode.actual == Mode::ClosedLoop);
        self.pass(ago_s);
    }

    /// One scan under the observer's eyes.
    ///
    /// # Panics
    /// When an invariant is broken.
    pub fn scan(&mut self) -> &ScanRecord {
        let record = self.run.scan();
        self.now = record.cycle.scheduled.0 / 1_000_000_000;
        if self.talks {
            for event in &record.events {
                println!("{:>7} s  {}", self.now, self.words.event(event));
            }
        }
        let judged = self.observer.see(record);
        assert!(judged.is_ok(), "scan {}: {judged:?}", record.cycle.number);
        record
    }

    /// Scans for this long.
    pub fn pass(&mut self, seconds: u64) {
        self.watch(seconds, |_| {});
    }

    /// Scans for this long, looking at each.
    pub fn watch(&mut self, seconds: u64, mut look: impl FnMut(&ScanRecord)) {
        let end = self.now + seconds;
        while self.now < end {
            look(self.scan());
        }
    }

    /// Scans until something holds.
    ///
    /// # Panics
    /// When it does not within this time.
    pub fn until(&mut self, what: &str, within_s: u64, holds: impl Fn(&ScanRecord) -> bool) -> Seen {
        let end = self.now + within_s;
        while self.now < end {
            let record = self.scan();
            if holds(record) {
                let record = record.clone();
                return Seen { after: self.now - self.since, record };
            }
        }
        panic!("{what}: not within {within_s} s")
    }

    /// Lays a fault on PLC or plant, or an operator's hand; times count from here.
    pub fn inject<R>(&mut self, act: impl FnOnce(&mut SimPlc) -> R) -> R {
        self.since = self.now;
        self.run.rig.with_plc(act)
    }

    /// Spoils what is read from now on; times count from here.
    pub fn spoil(&mut self, spoil: impl FnMut(&ScanCycle, &mut InputImage) + Send + 'static) {
        self.since = self.now;
        self.hook().spoil = Box::new(spoil);
    }

    /// Readings arrive as they are again; times count from here.
    pub fn heal(&mut self) {
        self.spoil(|_, _| {});
    }

    /// Another reading of a tag from now on: what a transmitter or converter makes of it.
    pub fn bend(&mut self, tag: &str, bend: impl Fn(f64) -> f64 + Send + 'static) {
        let tag = self.tag(tag).index();
        self.spoil(move |_, image| {
            let s = image.samples[tag];
            if let Some(x) = s.value {
                image.samples[tag] = Sample::new(bend(x.get()), s.status, s.source_time, s.alive);
            }
        });
    }

    /// Another status of a tag from now on.
    pub fn status(&mut self, tag: &str, status: Status) {
        let tag = self.tag(tag).index();
        self.spoil(move |_, image| {
            let s = image.samples[tag];
            let raw = s.value.map_or(f64::NAN, flyball_core::value::Value::get);
            image.samples[tag] = Sample::new(raw, status, s.source_time, s.alive);
        });
    }

    /// Sends a command with the next scan.
    pub fn command(&mut self, role: Role, action: Action) {
        self.next += 1;
        let id = self.next;
        self.hook().commands.push(Command { id, role, action });
    }

    /// The operator switches APC off, waits, and on again.
    pub fn re_enable(&mut self) {
        self.inject(|plc| plc.panel.enable = false);
        self.pass(30);
        self.inject(|plc| plc.panel.enable = true);
    }

    /// Nothing is written to any MV for this long, and the mode is not CLOSED LOOP.
    ///
    /// # Panics
    /// When it is.
    pub fn stays_open(&mut self, seconds: u64) {
        let cells: Vec<_> = self.config.mvs.iter().map(|mv| mv.write).collect();
        self.watch(seconds, |r| {
            assert_ne!(r.mode.actual, Mode::ClosedLoop, "scan {}: closed by itself", r.cycle.number);
            assert!(cells.iter().all(|c| r.outputs.cell(*c).is_none()), "scan {}: written", r.cycle.number);
        });
    }

    /// Scans for this long; the largest step from one scan to the next of the setpoint that the loop uses, EU.
    pub fn largest_step(&mut self, mv: MvName, seconds: u64) -> f64 {
        let id = MvId(mv.index() as u32);
        let (mut last, mut largest) = (None::<f64>, 0.0_f64);
        self.watch(seconds, |r| {
            let Some(now) = r.mvs[id.index()].readback else { return };
            largest = largest.max(last.map_or(0.0, |last| (now - last).abs()));
            last = Some(now);
        });
        largest
    }

    /// A tag by name.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn tag(&self, name: &str) -> TagId {
        self.config.tag_named(name).unwrap_or_else(|| panic!("no tag {name}"))
    }

    /// Process time of the last scan, s.
    #[must_use]
    pub const fn seconds(&self) -> u64 {
        self.now
    }

    fn hook(&self) -> std::sync::MutexGuard<'_, Hook> {
        self.hook.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loop was left in this scan, and why.
#[must_use]
pub fn left(record: &ScanRecord) -> bool {
    record.mode.actual != Mode::ClosedLoop && record.mode.shed.is_some()
}
