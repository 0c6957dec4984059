//! te4 on the virtual clock: the shipped executive, controller and models against the simulated PLC of the second plant.

use std::sync::{Arc, Mutex, PoisonError};

use flyball::clock::VirtualClock;
use flyball_config::Config;
use flyball_core::controller::Controller;
use flyball_core::exchange::{Taker, exchange};
use flyball_core::executive::Executive;
use flyball_core::record::ScanRecord;
use flyball_rig::te4::plc::{Te4Options, Te4Plc, Te4Truth};
use flyball_rig::te4::score::Score;
use flyball_rig::virtual_rig::{VirtualOptions, VirtualRig};

use crate::engines;

/// A run of te4: hundreds of plant hours in seconds, the same bits every run.
pub struct Te4Run {
    /// The rig, for operator actions and truth.
    pub rig: VirtualRig<Te4Plc>,
    executive: Executive<VirtualRig<Te4Plc>>,
    records: Taker<ScanRecord>,
    score: Arc<Mutex<Score>>,
}

impl Te4Run {
    /// A run from cold start, APC switched off.
    ///
    /// # Panics
    /// When an address of the configuration does not exist on the rig, or a model is refused.
    #[must_use]
    pub fn new(config: &Config, options: Te4Options) -> Self {
        let plc = Te4Plc::new(options);
        let rig =
            VirtualRig::new(config, plc, VirtualOptions::default()).unwrap_or_else(|e| panic!("{}", e.join("\n")));
        let score = Arc::new(Mutex::new(Score::default()));
        let observer = Arc::clone(&score);
        rig.set_script(Box::new(move |plc| {
            observer.lock().unwrap_or_else(PoisonError::into_inner).observe(&plc.truth());
        }));
        let (records, taker) = exchange(4, || ScanRecord::new(config), Arc::new(|| {}));
        let controller = Controller::new(config, engines(config).engines, false);
        let executive = Executive::new(config, controller, rig.clone(), Arc::new(VirtualClock::new()), records);
        Self { rig, executive, records: taker, score }
    }

    /// One scan and its record.
    ///
    /// # Panics
    /// When the scan left no record.
    pub fn scan(&mut self) -> &ScanRecord {
        self.executive.scan();
        self.records.newest().expect("every scan leaves a record")
    }

    /// Truth now.
    #[must_use]
    pub fn truth(&self) -> Te4Truth {
        self.rig.with_plc(|plc| plc.truth())
    }

    /// Plant hours since the start.
    #[must_use]
    pub fn hours(&self) -> f64 {
        self.truth().time.as_secs_f64() / 3600.0
    }

    /// Looks at the score or resets its extremes.
    pub fn with_score<R>(&self, act: impl FnOnce(&mut Score) -> R) -> R {
        act(&mut self.score.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
