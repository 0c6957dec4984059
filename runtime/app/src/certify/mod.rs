//! Why: `flyball certify FILE`: bounded latency is a promise about cycles that nobody has seen yet. The whole loop runs on this machine under
//! stress for a stated time; what it took, and what that says about the rarest cycles, becomes a certificate that a configuration can demand.
//!
//! `measure` takes the times from the records, `stress` keeps the machine busy, the far end is estimated in `flyball_machine::extreme`,
//! `verdict` judges, `certificate` writes and reads the file, `identity` says what it was made for, `demand` looks at it when an application
//! starts. Against the rig the pace is the fastest at which the deadline still fits into a cycle; every time limit stays the real one.

pub mod certificate;
pub mod demand;
pub mod identity;
pub mod measure;
pub mod stress;
pub mod verdict;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flyball_config::{Config, HighestMode, load};
use flyball_core::command::Action;
use flyball_core::mode::Mode;
use flyball_core::ports::Clock;
use flyball_machine::extreme::{BLOCKS_MIN, Estimate, estimate};
use flyball_rig::plc::PlcOptions;
use flyball_rig::servers::{RigOptions, RigPlc};

use crate::application::{Application, Options};
use crate::beside::{Secrets, keep_real_time, playable, point_at};
use crate::cli::{Against, Certify};
use crate::clock::SystemClock;
use crate::demo::folder::PrivateFolder;
use crate::logging::{self, LogForm};
use crate::realtime;
use crate::run::lock;
use crate::signals::Stop;
use crate::timing::Nanos;
use crate::words::Words;
use certificate::Certificate;
use identity::{MadeFor, MadeOn};
use measure::Collector;
use verdict::{Run, Verdict, Word, judge};

/// Fewest cycles in a block: shorter ones do not separate a burst from its neighbours.
const BLOCK_MIN: usize = 20;
/// Blocks beyond this many become longer instead.
const BLOCKS_MAX: usize = 200;
/// Fastest pace against the rig.
const PACE_MAX: u32 = 10;
/// Process time after which the rig's operator switches APC on.
const ENABLE_AT: Duration = Duration::from_secs(30);
/// Longest warm-up, process time: the loop of R-101 closes within five minutes.
const WARM_UP_MAX: Duration = Duration::from_secs(30 * 60);
/// Cycles after the loop has closed that do not count yet.
const SETTLE_CYCLES: u32 = 30;
/// Seed of the bootstrap.
const SEED: u64 = 1;
/// Between two looks, and between two lines of progress.
const LOOK: Duration = Duration::from_millis(100);
const PROGRESS: Duration = Duration::from_secs(60);

/// Runs the command. 0: pass; 1: fail or inconclusive; 2: it could not be done.
#[must_use]
pub fn run(arguments: &Certify, stop: &Stop) -> u8 {
    let loaded = load(&arguments.file);
    let problems = loaded.diagnostics.render(false);
    if !problems.is_empty() {
        eprintln!("{}", problems.trim_end());
    }
    let Some(config) = loaded.config else { return 2 };
    match certify(arguments, config, stop) {
        Ok(Word::Pass) => 0,
        Ok(Word::Fail | Word::Inconclusive) => 1,
        Err(sentence) => {
            eprintln!("flyball certify: {sentence}");
            2
        }
    }
}

fn certify(arguments: &Certify, mut config: Config, stop: &Stop) -> Result<Word, String> {
    logging::to_stderr(LogForm::Text)?;
    let machine = realtime::machine();
    let stress = arguments.stress.unwrap_or(machine.cores as u32);
    let (made_for, deadline) = (MadeFor::of(&config), config.timing.deadline);
    let demanded = config.timing.certificate.take();
    let out = arguments.out.clone().or(demanded.map(|d| d.file)).unwrap_or_else(|| beside(&arguments.file));
    let longest = (config.models.iter().map(|m| m.every)).chain(config.optimiser.iter().map(|o| o.every)).max();
    let in_cycles = |d: Duration| (d.as_nanos() / config.timing.cycle.as_nanos().max(1)) as usize;
    let block_min = longest.map_or(0, in_cycles).max(BLOCK_MIN);
    let pace = match arguments.against {
        Against::Rig => in_cycles_of(config.timing.cycle, deadline).clamp(1, PACE_MAX),
        Against::Plant => 1,
    };
    let measured = Duration::from_secs_f64(arguments.minutes * 60.0);
    let planned = in_cycles(measured * pace);
    println!("{machine}");
    println!(
        "{} min of {} against the {}, {stress} stress worker(s), pace {pace}: about {planned} cycles",
        arguments.minutes,
        config.app.name,
        arguments.against.text()
    );
    if planned < BLOCKS_MIN * block_min {
        let needed = (config.timing.cycle * (BLOCKS_MIN * block_min) as u32).as_secs_f64() / 60.0 / f64::from(pace);
        println!(
            "that is too short for a verdict: {BLOCKS_MIN} blocks of {block_min} cycles need --minutes {:.0}",
            needed.ceil()
        );
    }
    let scene = Scene::start(arguments.against, config, pace)?;
    let collected = scene.measure(measured, stress, stop)?;
    let (made_on, c) = (MadeOn::of(&machine, scene.application.granted()), collected);
    let Scene { application, rig, .. } = scene;
    application.stop();
    drop(rig);
    let timing = c.timing.ok_or("the application left no statistics")?;
    let block = (c.latencies.len() / BLOCKS_MAX).max(block_min);
    let times: Vec<f64> = c.latencies.iter().map(|ns| *ns as f64).collect();
    let estimate = estimate(&times, block, &[arguments.exceedance, arguments.exceedance / 10.0], SEED);
    let run = Run {
        against: arguments.against,
        seconds: measured.as_secs(),
        stress,
        pace,
        cycles: c.latencies.len() as u64,
        closed: c.closed,
        missed: c.missed,
        deadline,
        limit: c.limit,
    };
    let verdict = judge(&run, &estimate);
    let created = SystemClock::start(1).utc().unix_nanos_at_zero / 1_000_000_000;
    let application = &c.application;
    let certificate = Certificate {
        application,
        created,
        made_for: &made_for,
        made_on: &made_on,
        run: &run,
        timing: &timing,
        estimate: &estimate,
        verdict: &verdict,
    };
    println!("scan thread: {}\n\n{timing}\n\n{}", made_on.scheduling, report(&estimate, &verdict));
    write(&out, &certificate.text())?;
    println!("certificate: {}", out.display());
    Ok(verdict.word)
}

/// How often `part` fits into `whole`.
fn in_cycles_of(whole: Duration, part: Duration) -> u32 {
    u32::try_from(whole.as_nanos() / part.as_nanos().max(1)).unwrap_or(u32::MAX)
}

/// The certificate's usual place: r101.toml gives r101.cert.toml.
fn beside(file: &Path) -> PathBuf {
    file.with_extension("cert.toml")
}

/// All or nothing: a certificate that is cut short would be one that was tampered with.
fn write(path: &Path, text: &str) -> Result<(), String> {
    let part = path.with_extension("toml.part");
    let written = fs::write(&part, text).and_then(|()| fs::rename(&part, path));
    written.map_err(|e| format!("{} cannot be written ({e}); choose another place with --out", path.display()))
}

/// Estimate and verdict for people.
fn report(e: &Estimate, verdict: &Verdict) -> String {
    let nanos = |ns: f64| Nanos(if ns < 1e18 { ns as u64 } else { u64::MAX });
    let mut text = format!("block maxima: {} blocks of {} cycles\n", e.blocks, e.block);
    if let Some(fit) = e.fit {
        let (location, scale) = (nanos(fit.location), nanos(fit.scale));
        text += &format!("GEV: location {location}, scale {scale}, shape {:.3}; fit p {:.2}\n", fit.shape, e.fit_p);
    }
    for q in &e.quantiles {
        let (value, low, high) = (nanos(q.value), nanos(q.low), nanos(q.high));
        text += &format!("once in {:.0e} cycles: {value} (95 % interval {low} to {high})\n", 1.0 / q.exceedance);
    }
    text + &format!("\n{verdict}")
}

/// Everything that runs.
struct Scene {
    application: Application,
    rig: Option<RigPlc>,
    collector: Arc<Mutex<Collector>>,
    words: Words,
    closes: bool,
    cycle: Duration,
    limit: Duration,
    name: String,
    pace: u32,
    // Holds secrets and certificates of the run; removed when dropped, last.
    _folder: Option<PrivateFolder>,
}

/// What was measured.
struct Collected {
    latencies: Vec<u64>,
    missed: u64,
    closed: u64,
    timing: Option<crate::timing::Timing>,
    limit: Duration,
    application: String,
}

impl Scene {
    fn start(against: Against, mut config: Config, pace: u32) -> Result<Self, String> {
        let deadline = config.timing.deadline;
        let closes = config.app.highest_mode == HighestMode::ClosedLoop
            && config.optimiser.is_some()
            && config.handshake.is_some()
            && against == Against::Rig;
        let words = Words::new(&config);
        let (rig, folder, limit) = match against {
            Against::Plant => (None, None, deadline.saturating_sub(config.timing.stage_budget.write)),
            Against::Rig => {
                playable(&config)?;
                let folder = PrivateFolder::new()?;
                let secrets = Secrets::new(&folder)?;
                let mut plc = PlcOptions::default();
                plc.gate.link.hb_timeout_ms *= pace;
                let pki = folder.path().join("pki-plc");
                let rig = RigPlc::start(RigOptions { plc, time_scale: pace, ..RigOptions::new(&secrets.plc, pki) })?;
                rig.set_script(Box::new(|plc| plc.panel.enable = plc.time() >= ENABLE_AT));
                keep_real_time(&mut config, pace);
                point_at(&mut config, &rig, folder.path(), &secrets);
                (Some(rig), Some(folder), deadline)
            }
        };
        let read_only = against == Against::Plant;
        let collector = Arc::new(Mutex::new(Collector::new(pace, read_only, config.timing.deadline)));
        let shared = Arc::clone(&collector);
        let observer = move |record: &_, timing: &_| lock(&shared).take(record, timing);
        let options = Options {
            read_only,
            time_scale: pace,
            observer: Some(Box::new(observer)),
            trust_servers: rig.is_some(),
            recorder: None,
        };
        let application = Application::start(&config, options).map_err(|e| e.0)?;
        Ok(Self {
            application,
            rig,
            collector,
            words,
            closes,
            cycle: config.timing.cycle,
            limit,
            name: config.app.name.clone(),
            pace,
            _folder: folder,
        })
    }

    fn measure(&self, measured: Duration, stress: u32, stop: &Stop) -> Result<Collected, String> {
        let clock = SystemClock::start(1);
        let warm_up_end = clock.now().after(WARM_UP_MAX / self.pace);
        tracing::info!("warming up: links, models{}", if self.closes { ", the loop closes" } else { "" });
        self.wait(&clock, stop, || {
            let c = lock(&self.collector);
            let closed = c.mode.is_some_and(|m| m.actual == Mode::ClosedLoop);
            if c.ready >= SETTLE_CYCLES && (closed || !self.closes) {
                return Ok(true);
            }
            if clock.now() < warm_up_end {
                return Ok(false);
            }
            let why = c.mode.map_or_else(|| "no scan".into(), |m| self.words.mode_reason(&m));
            Err(format!(
                "the loop did not get ready in {} min: {why}",
                WARM_UP_MAX.as_secs() / 60 / u64::from(self.pace)
            ))
        })?;
        let workers = stress::Stress::start(stress, measured + WARM_UP_MAX)?;
        let ask = |action| self.application.ask(action).ok_or("the application takes no commands".to_owned());
        ask(Action::ResetTiming)?;
        self.pass(&clock, stop, self.cycle * SETTLE_CYCLES / self.pace)?;
        lock(&self.collector).begin();
        tracing::info!("measuring");
        let end = clock.now().after(measured);
        let mut told = clock.now().after(PROGRESS);
        self.wait(&clock, stop, || {
            if clock.now() >= told {
                told = told.after(PROGRESS);
                let c = lock(&self.collector);
                let longest = Nanos(c.latencies.iter().copied().max().unwrap_or(0));
                tracing::info!("{} cycles, longest {longest}, {} missed", c.latencies.len(), c.missed);
            }
            Ok(clock.now() >= end)
        })?;
        lock(&self.collector).end();
        self.wait(&clock, stop, || Ok(lock(&self.collector).timing.is_some()))?;
        let turns = workers.stop();
        tracing::debug!("stress made {turns} turns");
        let mut c = lock(&self.collector);
        Ok(Collected {
            latencies: std::mem::take(&mut c.latencies),
            missed: c.missed,
            closed: c.closed,
            timing: c.timing.take(),
            limit: self.limit,
            application: self.name.clone(),
        })
    }

    fn pass(&self, clock: &SystemClock, stop: &Stop, time: Duration) -> Result<(), String> {
        let end = clock.now().after(time);
        self.wait(clock, stop, || Ok(clock.now() >= end))
    }

    fn wait(
        &self,
        clock: &SystemClock,
        stop: &Stop,
        mut over: impl FnMut() -> Result<bool, String>,
    ) -> Result<(), String> {
        while !over()? {
            if stop.asked() {
                return Err("ended before the measurement was over; no certificate is written".into());
            }
            if !self.application.running() {
                return Err("the scan ended by itself; see the log above".into());
            }
            clock.wait_until(clock.now().after(LOOK));
        }
        Ok(())
    }
}
