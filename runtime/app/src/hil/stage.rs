//! The stage: the shipped application on real sockets, and on its other end the scripted plant or the owner's own.

use std::collections::VecDeque;
use std::io::BufRead as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flyball_config::{Config, MvId};
use flyball_core::command::Action as Order;
use flyball_core::ports::Clock;
use flyball_report::Row;
use flyball_rig::panel::MvName;
use flyball_rig::plc::{PlcOptions, SimPlc, WriteFault};
use flyball_rig::servers::{RigOptions, RigPlc};
use flyball_rig::signals::Signal;

use super::play::{NO_COMMAND, Player};
use super::scenario::{Action, KeySwitch, Scenario, Step};
use super::seen::Seen;
use crate::application::{Application, Options};
use crate::beside::{Secrets, be_patient, playable, point_at};
use crate::cli::Plant;
use crate::clock::SystemClock;
use crate::demo::folder::PrivateFolder;
use crate::run::lock;
use crate::signals::Stop;
use crate::timing::Timing;
use crate::words::Words;

/// Real time between two looks at the scans.
const LOOK: Duration = Duration::from_millis(20);
/// Scans that may wait to be looked at while a person reads a question: two and a half hours at one second.
const WAITING_MAX: usize = 10_000;
/// Scans kept for the trends: a day at one second.
const KEPT_MAX: usize = 86_400;
/// Process time until links are up and models ready.
const READY_WITHIN: Duration = Duration::from_secs(20 * 60);

/// What came of it.
pub struct Outcome {
    /// Expectations.
    pub rows: Vec<Row>,
    /// Step begins.
    pub marks: Vec<(f64, String)>,
    /// Every scan.
    pub seen: Vec<Seen>,
    /// Statistics of the stages.
    pub timing: Option<Timing>,
    /// For names and units.
    pub config: Config,
    /// What the scan thread got.
    pub scheduling: String,
}

/// Scans on their way from the keeper's thread.
#[derive(Default)]
struct Inbox {
    seen: VecDeque<Seen>,
    timing: Option<Timing>,
}

/// Everything that runs.
pub struct Stage {
    application: Application,
    rig: Option<RigPlc>,
    inbox: Arc<Mutex<Inbox>>,
    config: Config,
    scenario: Scenario,
    scale: u32,
    // Secrets and certificates of the run; removed when dropped, last.
    _folder: Option<PrivateFolder>,
}

impl Stage {
    /// Starts rig and application.
    pub fn start(mut config: Config, scenario: &Scenario, plant: Plant, scale: u32) -> Result<Self, String> {
        let (mut rig, mut folder) = (None, None);
        if plant == Plant::Scripted {
            playable(&config)?;
            let made = PrivateFolder::new()?;
            let secrets = Secrets::new(&made)?;
            let mut plc = PlcOptions { seed: scenario.seed, ..PlcOptions::default() };
            // A stalled machine of one real second is no dead runtime: at this time scale it is so many process seconds.
            plc.gate.link.hb_timeout_ms = plc.gate.link.hb_timeout_ms.max(1_000 * scale);
            let options =
                RigOptions { plc, time_scale: scale, ..RigOptions::new(&secrets.plc, made.path().join("pki-plc")) };
            let started = RigPlc::start(options)?;
            if scale > 1 {
                be_patient(&mut config, scale);
            }
            point_at(&mut config, &started, made.path(), &secrets);
            // Scenarios are about behaviour; what a certificate says of this machine is not their matter.
            config.timing.certificate = None;
            (rig, folder) = (Some(started), Some(made));
        }
        let inbox = Arc::new(Mutex::new(Inbox::default()));
        let (shared, words) = (Arc::clone(&inbox), Words::new(&config));
        let observer = move |record: &_, timing: &Timing| {
            let mut inbox = lock(&shared);
            if inbox.seen.len() == WAITING_MAX {
                inbox.seen.pop_front();
            }
            inbox.seen.push_back(Seen::of(&words, record));
            // A copy of the statistics costs; the last one is what counts.
            if inbox.timing.is_none() {
                inbox.timing = Some(timing.clone());
            }
        };
        let options = Options {
            read_only: false,
            time_scale: scale,
            observer: Some(Box::new(observer)),
            trust_servers: rig.is_some(),
            recorder: None,
        };
        let application = Application::start(&config, options).map_err(|e| e.0)?;
        Ok(Self { application, rig, inbox, config, scenario: scenario.clone(), scale, _folder: folder })
    }

    /// Plays to the end.
    pub fn play(self, stop: &Stop) -> Result<Outcome, String> {
        let clock = SystemClock::start(1);
        let mut player = Player::new(&self.config, &self.scenario);
        let mut kept: Vec<Seen> = Vec::new();
        let (mut ready, give_up) = (false, clock.now().after(READY_WITHIN / self.scale));
        let mut reason = "";
        while !player.over() {
            if stop.asked() {
                reason = "ended by hand";
                break;
            }
            if !self.application.running() {
                return Err("the scan ended by itself; see the log above".into());
            }
            if ready && let Some(step) = player.due() {
                let command = self.act(&self.scenario.step[step])?;
                player.done(command);
            }
            while let Some(seen) = self.next() {
                ready |= seen.ready;
                // Before that there is nothing to compare, and no rule to break.
                if ready {
                    player.take(&seen);
                }
                if kept.len() < KEPT_MAX {
                    kept.push(seen);
                }
                if player.due().is_some() {
                    break;
                }
            }
            if !ready && clock.now() > give_up {
                let why = kept.last().map_or_else(|| "no scan".to_owned(), |s| s.reason.clone());
                return Err(format!(
                    "links and models did not get ready in {} min: {why}",
                    READY_WITHIN.as_secs() / 60
                ));
            }
            clock.wait_until(clock.now().after(LOOK));
        }
        lock(&self.inbox).timing = None;
        let end = clock.now().after(Duration::from_secs(5));
        while lock(&self.inbox).timing.is_none() && clock.now() < end && self.application.running() {
            clock.wait_until(clock.now().after(LOOK));
        }
        let timing = lock(&self.inbox).timing.take();
        let scheduling = self.application.granted().to_string();
        let marks = player.marks.clone();
        let Self { application, rig, config, .. } = self;
        application.stop();
        drop(rig);
        Ok(Outcome { rows: player.finish(reason), marks, seen: kept, timing, config, scheduling })
    }

    /// Does the action of a step; answers the number of the command, if it was one.
    fn act(&self, step: &Step) -> Result<u32, String> {
        tracing::info!("step {}: {}", step.id, step.text);
        let Some(action) = &step.action else { return Ok(NO_COMMAND) };
        match (order(&self.config, action), &self.rig) {
            (Some(order), _) => {
                return self.application.ask(order).ok_or_else(|| "the application takes no more commands".into());
            }
            (None, Some(rig)) => rig.with_plc(|plc| on_the_rig(plc, action)),
            (None, None) => ask(step),
        }
        Ok(NO_COMMAND)
    }

    fn next(&self) -> Option<Seen> {
        lock(&self.inbox).seen.pop_front()
    }
}

/// The command that an action is; None when it is done on the plant.
fn order(config: &Config, action: &Action) -> Option<Order> {
    let known = "names are checked when the scenario is read";
    Some(match action {
        Action::Mode(mode) => Order::SetMode((*mode).into()),
        Action::Hold(on) => Order::Hold(*on),
        Action::Service { mv, on } => {
            let at = config.mvs.iter().position(|m| m.name == *mv).expect(known);
            Order::MvService(MvId(at as u32), *on)
        }
        Action::Price { name, value } => {
            let mut prices = config.optimiser.iter().flat_map(|o| &o.prices);
            Order::SetPrice(prices.position(|p| p.name == *name).expect(known) as u32, *value)
        }
        _ => return None,
    })
}

/// A person does it, and says so by Enter; without a terminal it is taken as done.
fn ask(step: &Step) {
    println!(">> {}   [Enter when done]", step.ask.as_deref().unwrap_or(&step.text));
    // The end of the input is an answer too.
    let _ = std::io::stdin().lock().read_line(&mut String::new());
}

fn on_the_rig(plc: &mut SimPlc, action: &Action) {
    let named = |name: &str| if name == "temp" { MvName::Temp } else { MvName::Feed };
    match action {
        Action::Apc(on) => plc.panel.enable = *on,
        Action::OperatorLimits { mv, low, high } => {
            let panel = plc.panel.mv(named(mv));
            (panel.low, panel.high) = (*low, *high);
        }
        Action::IgnoreWrites { mv, on } => {
            let signal = if named(mv) == MvName::Temp { Signal::TempSp } else { Signal::FeedSp };
            plc.set_write_fault(signal, on.then_some(WriteFault::Ignore));
        }
        Action::FeedTemperature(celsius) => plc.process.feed.t0 = *celsius,
        Action::Plc(KeySwitch::Stop) => plc.stop(),
        Action::Plc(KeySwitch::Run) => plc.run(),
        Action::Mode(_) | Action::Hold(_) | Action::Price { .. } | Action::Service { .. } => {}
    }
}
