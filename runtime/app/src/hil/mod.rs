//! Why: `flyball hil FILE --scenario S --report DIR`: who owns a rig, simulated or made of hardware, plays the same scenarios against it, and
//! gets a verdict, a page with plots, and a protocol to sign.
//!
//! `scenario` is the data, `seen` what one scan shows, `play` walks through the steps, `stage` is the application with what is on its other
//! end, `paper` makes the report of it all.

mod paper;
pub mod play;
pub mod scenario;
pub mod seen;
mod stage;

use std::fs;
use std::path::Path;

use flyball_config::{Config, load};

use crate::cli::{Hil, Plant};
use crate::clock::SystemClock;
use crate::logging::{self, LogForm};
use crate::signals::Stop;
use scenario::{BYTES_MAX, Scenario};
use stage::Stage;

/// The scenarios that come with the program.
const BUILT_IN: [(&str, &str); 6] = [
    ("close_and_climb", include_str!("../../../../config/examples/scenarios/close_and_climb.toml")),
    ("shed_and_return", include_str!("../../../../config/examples/scenarios/shed_and_return.toml")),
    ("heartbeat_loss", include_str!("../../../../config/examples/scenarios/heartbeat_loss.toml")),
    ("operator_limits", include_str!("../../../../config/examples/scenarios/operator_limits.toml")),
    ("write_ignored", include_str!("../../../../config/examples/scenarios/write_ignored.toml")),
    ("feed_step", include_str!("../../../../config/examples/scenarios/feed_step.toml")),
];

/// Runs the command. 0: everything was as expected; 1: it was not; 2: it could not be played.
#[must_use]
pub fn run(arguments: &Hil, stop: &Stop) -> u8 {
    let loaded = load(&arguments.file);
    let problems = loaded.diagnostics.render(false);
    if !problems.is_empty() {
        eprintln!("{}", problems.trim_end());
    }
    let Some(config) = loaded.config else { return 2 };
    let done = if arguments.list { list(&config) } else { play(arguments, config, stop) };
    match done {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(sentence) => {
            eprintln!("flyball hil: {sentence}");
            2
        }
    }
}

/// Name and heading of every built-in scenario that fits the configuration.
fn list(config: &Config) -> Result<bool, String> {
    for (name, text) in BUILT_IN {
        match Scenario::read(text, config) {
            Ok(scenario) => println!("{name:<18} {}", scenario.title),
            Err(why) => println!("{name:<18} does not fit this configuration: {}", why.lines().next().unwrap_or("")),
        }
    }
    Ok(true)
}

/// A built-in name, or a file.
fn find(name: &str, config: &Config) -> Result<Scenario, String> {
    let known = || BUILT_IN.map(|(name, _)| name).join(", ");
    let built_in = BUILT_IN.iter().find(|(n, _)| *n == name).map(|(_, text)| (*text).to_owned());
    let text = match built_in {
        Some(text) => text,
        None => read(Path::new(name))
            .map_err(|e| format!("there is no scenario {name}: {e}. Built in: {}; or give a file", known()))?,
    };
    Scenario::read(&text, config).map_err(|mistakes| format!("scenario {name} cannot be played:\n{mistakes}"))
}

fn read(path: &Path) -> Result<String, String> {
    let meta = fs::metadata(path).map_err(|e| e.to_string())?;
    if meta.len() > BYTES_MAX {
        return Err(format!("it has {} bytes, more than {BYTES_MAX}", meta.len()));
    }
    fs::read_to_string(path).map_err(|e| e.to_string())
}

fn play(arguments: &Hil, config: Config, stop: &Stop) -> Result<bool, String> {
    let name = arguments.scenario.as_deref().ok_or("which scenario? Give --scenario NAME; --list shows them")?;
    let folder = arguments.report.as_deref().ok_or("where shall the report go? Give --report DIR")?;
    logging::to_stderr(LogForm::Text)?;
    let scenario = find(name, &config)?;
    let begun = SystemClock::start(1);
    let facts = paper::facts(&config, &scenario, arguments.plant);
    let scale = if arguments.plant == Plant::Scripted { arguments.time_scale } else { 1 };
    println!("{}: {}", scenario.name, scenario.title);
    let stage = Stage::start(config, &scenario, arguments.plant, scale)?;
    let outcome = stage.play(stop)?;
    let report = paper::report(&scenario, facts, outcome, &begun);
    report.write(folder)?;
    for row in &report.rows {
        println!("{:<8} {:<22} {}; observed {}", row.outcome.word(), row.id, row.expected, row.observed);
    }
    println!("{}; report in {}", if report.passed() { "PASSED" } else { "FAILED" }, folder.display());
    Ok(report.passed())
}
