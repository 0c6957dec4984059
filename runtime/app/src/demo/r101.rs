//! Why: `flyball demo`: the worked example R-101 as two halves that talk only over loopback sockets. The simulated PLC with its reactor on
//! one side (OPC UA; the chromatograph over Modbus), the shipped runtime in its two processes on the other.
//!
//! The story: ADVISORY, the operator switches APC on, the loop closes, climbs to the optimum; then the feed gets warmer and cooling limits.
//! The closing table stands beside the oracle; what was not met makes the exit code 1.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use flyball_config::Config;
use flyball_core::ports::Clock;
use flyball_rig::plc::PlcOptions;
use flyball_rig::scenario::{Plan, Scenario};
use flyball_rig::servers::{RigOptions, RigPlc};

use super::folder::PrivateFolder;
use super::{exit_code, gone, open};
use crate::application::{Application, Options};
use crate::beside::{Secrets, point_at};
use crate::cli::Demo;
use crate::clock::SystemClock;
use crate::logging::LogRing;
use crate::run::lock;
use crate::signals::Stop;
use crate::view::{Faceplate, Screen};

/// Process seconds per real second: forty process minutes in a little more than two real ones.
const TIME_SCALE: u32 = 20;
/// Real time between two looks at screen, keyboard and end.
pub(crate) const LOOK: Duration = Duration::from_millis(100);
/// The story: climb for 20 min, then the step, then 18 min.
const PLAN: Plan =
    Plan { disturb_after: Duration::from_secs(20 * 60), end_after: Duration::from_secs(38 * 60), ..Plan::STEP };
/// The example and its models, as they stand in the repository.
const EXAMPLE: &str = include_str!("../../../../config/examples/r101.toml");
const MODELS: [(&str, &[u8]); 2] = [
    ("models/examples/r101_cb.onnx", include_bytes!("../../../../models/examples/r101_cb.onnx")),
    ("models/examples/r101_ss.onnx", include_bytes!("../../../../models/examples/r101_ss.onnx")),
];

/// Runs the demonstration. 0: everything required was reached; 1: it was not; 2: it could not run.
#[must_use]
pub fn run(options: &Demo, stop: &Stop) -> u8 {
    exit_code("r101", play(options, stop))
}

fn play(options: &Demo, stop: &Stop) -> Result<bool, String> {
    let (mut screen, ring) = open(options.plain)?;
    let folder = PrivateFolder::new()?;
    let secrets = Secrets::new(&folder)?;
    let mut plc = PlcOptions::default();
    // A stalled machine of one real second is no dead runtime: at this time scale it is twenty process seconds.
    plc.gate.link.hb_timeout_ms = 1_000 * TIME_SCALE;
    let rig = RigPlc::start(RigOptions {
        plc,
        time_scale: TIME_SCALE,
        ..RigOptions::new(&secrets.plc, folder.path().join("pki-plc"))
    })?;
    let config = configuration(&folder, &secrets, &rig)?;

    let faceplate = Arc::new(Mutex::new(Faceplate::new(&config, TIME_SCALE)));
    let observed = Arc::clone(&faceplate);
    let observer = move |record: &_, timing: &_| lock(&observed).take(record, timing);
    let application = Application::start(
        &config,
        Options {
            read_only: false,
            time_scale: TIME_SCALE,
            observer: Some(Box::new(observer)),
            trust_servers: true,
            recorder: options.record.as_ref().map(|folder| flyball_config::Recorder::new(folder.clone())),
        },
    )
    .map_err(|e| e.0)?;
    let scenario = Arc::new(Mutex::new(Scenario::new(PLAN)));
    let story = Arc::clone(&scenario);
    rig.set_script(Box::new(move |plc| {
        lock(&story).step(plc);
    }));
    if !screen.is_live() {
        println!(
            "R-101 at {TIME_SCALE} process seconds per real second: a cycle of 1 s takes {} ms here",
            1000 / TIME_SCALE
        );
        println!("Modbus {} unit 1: the simulated PLC; {} unit 1: its chromatograph", rig.modbus(), rig.analyser());
    }
    let mut scene = Scene { application, rig, scenario, faceplate, clock: SystemClock::start(1), announced: false };
    scene.watch(stop, &mut screen, &ring, options, &secrets.hmi)?;
    drop(screen);
    let passed = scene.table();
    if options.hold && !stop.asked() {
        println!("holding; SIGTERM or Ctrl-C ends it");
        while !stop.asked() && scene.application.running() {
            scene.clock.wait_until(scene.clock.now().after(LOOK));
        }
    }
    let Scene { application, rig, .. } = scene;
    application.stop();
    rig.stop_servers();
    rig.shutdown();
    Ok(passed)
}

/// Everything that runs.
struct Scene {
    application: Application,
    rig: RigPlc,
    scenario: Arc<Mutex<Scenario>>,
    faceplate: Arc<Mutex<Faceplate>>,
    clock: SystemClock,
    announced: bool,
}

impl Scene {
    /// Shows what happens until the story is over or the end is asked for.
    fn watch(
        &mut self,
        stop: &Stop,
        screen: &mut Screen,
        ring: &LogRing,
        options: &Demo,
        password: &str,
    ) -> Result<(), String> {
        let end = options.seconds.map(|s| self.clock.now().after(Duration::from_secs(s.into())));
        while !stop.asked() && !lock(&self.scenario).over() && end.is_none_or(|end| self.clock.now() < end) {
            if !self.application.running() {
                return Err("the scan ended by itself".into());
            }
            if screen.end_asked().map_err(|e| gone(&e))? {
                stop.ask();
            }
            let address = self.application.service().and_then(|s| s.address);
            let client = address.as_ref().map(|a| format!("OPC UA {a} user hmi_r101 password {password}"));
            if let (Some(client), false, false) = (&client, self.announced, screen.is_live()) {
                println!("{client}");
                self.announced = true;
            }
            let truth = self.rig.truth();
            let (progress, chapter) = {
                let story = lock(&self.scenario);
                (story.progress(truth.time), story.chapter())
            };
            let mut shown = lock(&self.faceplate);
            let picture = shown.picture();
            picture.progress = Some((progress, chapter.text().into()));
            picture.messages = ring.newest(4);
            picture.messages.push(format!(
                "true plant: profit {:.2} EUR/h, B {:.4} mol/l, duty {:.0} kJ/h, feed temperature {:.1} degC",
                truth.profit, truth.reactor.c_b, truth.duty, truth.feed.t0
            ));
            picture.messages.extend(client);
            screen.show(picture, self.clock.now()).map_err(|e| gone(&e))?;
            drop(shown);
            self.clock.wait_until(self.clock.now().after(LOOK));
        }
        Ok(())
    }

    /// The closing table beside the oracle; true when every line was met.
    fn table(&self) -> bool {
        let verdict = lock(&self.scenario).score().verdict();
        println!("\nR-101, measured on the true plant, beside the oracle (brute force on the plant's equations)");
        println!("{:<36} {:>30} {:>36}", "", "required", "got");
        for row in &verdict.rows {
            let mark = if row.passed { "met" } else { "NOT MET" };
            println!("{:<36} {:>30} {:>36}  {mark}", row.what, row.required, row.got);
        }
        let passed = verdict.passed() && lock(&self.scenario).over();
        println!("{}", if passed { "all met" } else { "not all met" });
        passed
    }
}

/// The example with more patience. Network and machine do not run faster because the plant does: what is patience stays real, as far as the cycle
/// allows.
fn patient(example: &str) -> String {
    let lines = example.lines().map(|line| {
        let (key, rest) = line.split_once('=').unwrap_or((line, ""));
        match (key.trim(), rest.trim_start()) {
            ("deadline", _) => format!("{key}= \"950 ms\"\n"),
            ("shed_after", _) => format!("{key}= 10\n"),
            ("stage_budget", rest) => {
                let rest = rest.replace("predict = \"25 ms\"", "predict = \"300 ms\"");
                format!("{key}= {}\n", rest.replace("optimise = \"150 ms\"", "optimise = \"300 ms\""))
            }
            ("lost_after", _) => format!("{key}= \"{TIME_SCALE} s\"\n"),
            ("stale_after", rest) if rest.starts_with("\"5 s\"") => format!("{key}= \"{TIME_SCALE} s\"\n"),
            ("hold", rest) if rest.starts_with("\"10 s\"") => format!("{key}= \"{TIME_SCALE} s\"\n"),
            _ => format!("{line}\n"),
        }
    });
    lines.collect()
}

/// The example's configuration, pointed at the rig, with limits of patience that fit an accelerated plant.
fn configuration(folder: &PrivateFolder, secrets: &Secrets, rig: &RigPlc) -> Result<Config, String> {
    for (name, bytes) in MODELS {
        folder.write(name, bytes)?;
    }
    let file = folder.write("config/examples/r101.toml", patient(EXAMPLE).as_bytes())?;
    let loaded = flyball_config::load(&file);
    let mut config = loaded.config.ok_or_else(|| loaded.diagnostics.lines())?;
    // What follows is about links only: a recording of the demonstration replays from the text above.
    point_at(&mut config, rig, folder.path(), secrets);
    for connection in &mut config.connections {
        connection.timeout = Duration::from_millis(500) * TIME_SCALE;
    }
    Ok(config)
}
