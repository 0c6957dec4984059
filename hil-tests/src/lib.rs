//! What the promises' tests share: the worked example on the virtual clock.
//!
//! `VirtualRun` is the shipped executive, controller and models against the simulated PLC, without sockets: hours in seconds, the same
//! bits every run.

pub mod campaign;
pub mod fault;
pub mod observer;
pub mod te4;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flyball::clock::VirtualClock;
use flyball::engines::{LoadedEngines, SolveBudget, load_with};
use flyball_config::{Config, load};
use flyball_core::controller::{Controller, Engines};
use flyball_core::exchange::{Taker, exchange};
use flyball_core::executive::Executive;
use flyball_core::image::{InputImage, OutputImage};
use flyball_core::ports::{Clock, FieldInput, FieldOutput};
use flyball_core::record::ScanRecord;
use flyball_core::time::{ScanCycle, Timestamp};
use flyball_rig::plc::{PlcOptions, SimPlc, Truth};
use flyball_rig::scenario::{Plan, Scenario};
use flyball_rig::virtual_rig::{VirtualOptions, VirtualRig};

/// Iterations of one solve in tests: fixed, so that every machine computes the same bits.
pub const ITERATIONS: u32 = 60;

/// Folder of this repository.
#[must_use]
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("hil-tests lies in the repository").to_owned()
}

/// An example configuration, as a user would load it.
///
/// # Panics
/// When the example is refused; the diagnostics are in the message.
#[must_use]
pub fn example(name: &str) -> Config {
    let loaded = load(&repository().join("config/examples").join(name));
    loaded.config.unwrap_or_else(|| panic!("{name} is refused:\n{}", loaded.diagnostics.lines()))
}

/// Loads the models of a configuration with the tests' iteration budget.
///
/// # Panics
/// When a model is refused.
#[must_use]
pub fn engines(config: &Config) -> LoadedEngines {
    load_with(config, &VirtualClock::new(), SolveBudget::iterations(ITERATIONS))
        .unwrap_or_else(|e| panic!("models of {}: {e}", config.app.name))
}

/// May spoil what was read from the rig, for faults.
pub type Spoil = Box<dyn FnMut(&ScanCycle, &mut InputImage) + Send>;

/// The virtual rig with a hook between PLC and runtime, for faults.
pub struct Hooked {
    rig: VirtualRig,
    /// Process time at which the rig started: the rig's own time begins at zero.
    epoch: Duration,
    /// Called after each freeze; may spoil what was read.
    pub spoil: Spoil,
}

impl FieldInput for Hooked {
    fn freeze(&mut self, cycle: &ScanCycle, image: &mut InputImage) {
        // The rig stands for the world outside: what it allocates is not the scan's.
        allocation_counter::opt_out(|| self.rig.freeze(&self.rig_time(cycle), image));
        if !self.epoch.is_zero() {
            for sample in &mut image.samples {
                sample.source_time = sample.source_time.after(self.epoch);
                sample.alive = sample.alive.after(self.epoch);
            }
            for write in image.writes.iter_mut().flatten() {
                write.done = write.done.after(self.epoch);
            }
        }
        (self.spoil)(cycle, image);
    }
}

impl FieldOutput for Hooked {
    fn flush(&mut self, cycle: &ScanCycle, image: &OutputImage) {
        allocation_counter::opt_out(|| self.rig.flush(&self.rig_time(cycle), image));
    }
}

impl Hooked {
    fn rig_time(&self, cycle: &ScanCycle) -> ScanCycle {
        ScanCycle { now: cycle.now.before(self.epoch), ..*cycle }
    }
}

/// R-101 on the virtual clock.
pub struct VirtualRun {
    /// The shipped executive.
    pub executive: Executive<Hooked>,
    /// The rig, for operator actions and truth.
    pub rig: VirtualRig,
    /// The story and its score.
    pub scenario: Arc<Mutex<Scenario>>,
    records: Taker<ScanRecord>,
}

impl VirtualRun {
    /// A run from cold start with this story and seed.
    #[must_use]
    pub fn new(config: &Config, plan: Plan, seed: u64) -> Self {
        Self::with(config, plan, seed, engines(config).engines, Box::new(|_, _| {}))
    }

    /// The same with given engines and a hook that may spoil the inputs.
    ///
    /// # Panics
    /// When an address of the configuration does not exist on the rig.
    #[must_use]
    pub fn with(config: &Config, plan: Plan, seed: u64, engines: Engines, spoil: Spoil) -> Self {
        Self::on_clock(config, plan, seed, engines, spoil, Arc::new(VirtualClock::new()))
    }

    /// The same on a clock that the test holds, too: to be moved on by a fault, or to start late.
    ///
    /// # Panics
    /// When an address of the configuration does not exist on the rig.
    #[must_use]
    pub fn on_clock(
        config: &Config,
        plan: Plan,
        seed: u64,
        engines: Engines,
        spoil: Spoil,
        clock: Arc<VirtualClock>,
    ) -> Self {
        let scenario = Arc::new(Mutex::new(Scenario::new(plan)));
        let plc = SimPlc::new(PlcOptions { seed, ..PlcOptions::default() });
        let rig =
            VirtualRig::new(config, plc, VirtualOptions::default()).unwrap_or_else(|e| panic!("{}", e.join("\n")));
        let story = Arc::clone(&scenario);
        rig.set_script(Box::new(move |plc| {
            story.lock().unwrap_or_else(PoisonError::into_inner).step(plc);
        }));
        let (records, taker) = exchange(4, || ScanRecord::new(config), Arc::new(|| {}));
        let controller = Controller::new(config, engines, false);
        let field = Hooked { rig: rig.clone(), epoch: clock.now().since(Timestamp::ZERO), spoil };
        let executive = Executive::new(config, controller, field, clock, records);
        Self { executive, rig, scenario, records: taker }
    }

    /// One scan and its record.
    ///
    /// # Panics
    /// When the scan left no record.
    pub fn scan(&mut self) -> &ScanRecord {
        self.executive.scan();
        self.newest()
    }

    /// The record of the last scan; once per scan.
    ///
    /// # Panics
    /// When it was taken already.
    pub fn newest(&mut self) -> &ScanRecord {
        self.records.newest().expect("every scan leaves a record")
    }

    /// Truth of the plant now.
    #[must_use]
    pub fn truth(&self) -> Truth {
        self.rig.with_plc(|plc| plc.truth())
    }

    /// The story has ended.
    #[must_use]
    pub fn over(&self) -> bool {
        self.scenario.lock().unwrap_or_else(PoisonError::into_inner).over()
    }
}
