//! Why: `flyball demo turbine`: real measurements of a gas turbine pass as live Modbus registers; TEY, CO and NOx are predicted beside
//! them, published over OPC UA, and scored against what was measured.
//!
//! The example `config/examples/turbine.toml` runs as it stands, with `turbine_demo.toml` added: row number and late TEY for the score,
//! and ridge regression as a second model of the same scan. Both configurations and both models are part of the program.
//!
//! Words: a *row* is one hour of the plant; *real* time is what a watch shows. A row lasts two scans, so that every row is read whole
//! however the two processes fall into step.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flyball_config::{Config, ModbusTransport, Protocol, Secret};
use flyball_core::ports::Clock;
use flyball_rig::turbine::{LATE_ROWS, Turbine, TurbineOptions, TurbineServer};

use super::folder::{PrivateFolder, random_text};
use super::{exit_code, gone, open};
use crate::application::{Application, Options};
use crate::cli::Demo;
use crate::clock::SystemClock;
use crate::keeper::Observer;
use crate::logging::LogRing;
use crate::signals::Stop;
use crate::view::Screen;

mod board;
mod picture;
mod score;

pub use board::{Board, Method, Rows, TARGETS};
pub use score::Score;

use picture::Picture;

/// The example, and what the demonstration adds to it.
const CONFIGURATION: [&str; 2] =
    [include_str!("../../../../config/examples/turbine.toml"), include_str!("turbine_demo.toml")];
/// The models by their paths beside the example's folder.
const MODELS: [(&str, &[u8]); 2] = [
    ("models/examples/turbine.onnx", include_bytes!("../../../../models/examples/turbine.onnx")),
    ("models/examples/turbine_ridge.onnx", include_bytes!("../../../../models/examples/turbine_ridge.onnx")),
];
/// Real time per row.
const ROW: Duration = Duration::from_millis(10);
/// Scans per row.
const SCANS_PER_ROW: u32 = 2;
/// Shortest run: as many rows with a late value as without.
const ROWS_MIN: usize = 2 * LATE_ROWS;
/// Real time between two looks at screen, keyboard and end.
const LOOK: Duration = Duration::from_millis(100);
/// Looks until the first row and the OPC UA server must be there: a minute, because the first start makes a 2048-bit key.
const LOOKS_TO_START: u32 = 600;
/// Looks after the last row began.
const LOOKS_AT_END: u32 = 5;

/// Runs the demonstration. 0: everything required was reached; 1: it was not; 2: it could not run.
#[must_use]
pub fn run(options: &Demo, stop: Stop) -> u8 {
    exit_code("turbine", play(options, &stop))
}

fn play(options: &Demo, stop: &Stop) -> Result<bool, String> {
    let (mut screen, ring) = open(options.plain)?;
    let data = Turbine::year_2013();
    let rows = rows_in(options.seconds, data.rows());
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let turbine = TurbineServer::hold(data.clone(), TurbineOptions { address, first: 0, rows, period: ROW })?;

    let folder = PrivateFolder::new()?;
    let password = random_text()?;
    let (config, scale) = configuration(&folder, &password, turbine.address())?;
    let board = Board::new(&config, data, 0, rows, "ROW", ["TEY_LATE", "CO", "NOX"])?;
    let shared = Arc::new(Mutex::new(Shown { picture: Picture::new(&config, scale, ROW), board }));
    let application = Application::start(
        &config,
        Options {
            // There is no cell to write; but a read-only scan would judge no deadlines.
            read_only: false,
            time_scale: scale,
            observer: Some(observer(Arc::clone(&shared))),
            trust_servers: false,
            recorder: None,
        },
    )
    .map_err(|e| e.0)?;

    let run = Run { application, turbine, shared, clock: SystemClock::start(1), stop, rows };
    if let Some(endpoint) = run.begin()? {
        let user = config.server.iter().flat_map(|s| &s.users).map(|u| u.name.as_str()).next().unwrap_or("-");
        let client = [format!("OPC UA server: {endpoint}, user {user}"), format!("password {password}")];
        if !screen.is_live() {
            println!("{}, any client certificate", client.join(", "));
            let hours = Duration::from_secs(1).as_millis() / ROW.as_millis();
            println!("{rows} rows at {} ms each: a second here is {hours} hours of the plant", ROW.as_millis());
        }
        run.turbine.play();
        run.watch(&mut screen, &ring, &client)?;
    }
    run.application.stop();
    drop(screen);
    let shown = lock(&run.shared);
    println!("{}", shown.board.table());
    Ok(shown.board.met())
}

/// What the keeper's thread fills and the main thread shows.
struct Shown {
    board: Board,
    picture: Picture,
}

/// A panic of the other side leaves whole numbers behind.
fn lock(shared: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Called with each record, in the keeper's thread.
fn observer(shared: Arc<Mutex<Shown>>) -> Observer {
    Box::new(move |record, timing| {
        let mut shown = lock(&shared);
        shown.board.take(record);
        let rows = shown.board.rows();
        shown.picture.take(record, timing, rows);
    })
}

/// Rows that fit into the wanted real time.
fn rows_in(seconds: Option<u32>, all: usize) -> usize {
    let fit = seconds.map_or(all, |s| (Duration::from_secs(s.into()).as_millis() / ROW.as_millis()) as usize);
    fit.clamp(ROWS_MIN.min(all), all)
}

/// Everything that runs.
struct Run<'a> {
    application: Application,
    turbine: TurbineServer,
    shared: Arc<Mutex<Shown>>,
    clock: SystemClock,
    stop: &'a Stop,
    rows: usize,
}

impl Run<'_> {
    /// Waits until the first row was read and clients can connect; the endpoint, or None when the end was asked for before.
    fn begin(&self) -> Result<Option<String>, String> {
        for _ in 0..LOOKS_TO_START {
            if self.stop.asked() {
                return Ok(None);
            }
            let endpoint = self.application.service().and_then(|s| s.address);
            if endpoint.is_some() && lock(&self.shared).board.rows().newest.is_some() {
                return Ok(endpoint);
            }
            self.clock.wait_until(self.clock.now().after(LOOK));
        }
        let end = self.application.service().and_then(|s| s.last_end);
        Err(format!(
            "after {} s the first row was not read or the OPC UA server was not up (its last end: {}); \
             run it again with FLYBALL_LOG=debug",
            (LOOK * LOOKS_TO_START).as_secs(),
            end.unwrap_or_else(|| "none".into())
        ))
    }

    /// Shows what happens until the last row was read or the end is asked for. `client` tells how to connect.
    fn watch(&self, screen: &mut Screen, ring: &LogRing, client: &[String]) -> Result<(), String> {
        let mut looks_at_end = 0;
        while self.application.running() && !self.stop.asked() && !screen.end_asked().map_err(|e| gone(&e))? {
            let served = self.application.service().is_some_and(|s| s.address.is_some());
            let messages = ring.newest(2).into_iter().chain(client.iter().cloned()).collect();
            let state = {
                let mut shown = lock(&self.shared);
                let (done, scores) = (self.turbine.row() as f64 / self.rows as f64, score_words(&shown.board));
                if shown.board.finished() {
                    looks_at_end = LOOKS_AT_END;
                }
                shown.picture.surround(done, scores, messages, served);
                shown.picture.state().clone()
            };
            screen.show(&state, self.clock.now()).map_err(|e| gone(&e))?;
            if self.turbine.row() + 1 >= self.rows {
                looks_at_end += 1;
            }
            if looks_at_end > LOOKS_AT_END {
                break;
            }
            self.clock.wait_until(self.clock.now().after(LOOK));
        }
        Ok(())
    }
}

/// R2 of the network so far.
fn score_words(board: &Board) -> String {
    let rows = board.rows();
    let newest = rows.newest.map_or(0, |r| r + 1);
    let mut text = format!("row {newest}, R2");
    for (i, (name, _)) in TARGETS.iter().enumerate() {
        let r2 = board.score(i, Method::Network).r2();
        text += &r2.map_or_else(|| format!(" {name} -"), |r| format!(" {name} {r:.3}"));
    }
    text
}

/// The example's configuration with the demonstration's additions, and how many of its seconds pass in a real one.
///
/// # Errors
/// A sentence: a file cannot be written, or the configuration has errors.
fn configuration(folder: &PrivateFolder, password: &str, turbine: SocketAddr) -> Result<(Config, u32), String> {
    for (name, bytes) in MODELS {
        folder.write(name, bytes)?;
    }
    let password = folder.write("password", password.as_bytes())?;
    let text = CONFIGURATION.join("\n");
    // The models are found by their paths relative to this file, as in the project.
    let file = folder.write("config/examples/turbine.toml", text.as_bytes())?;
    let loaded = flyball_config::load_text(&file, &text);
    let mut config = loaded.config.ok_or_else(|| loaded.diagnostics.lines())?;
    let scale = config.timing.cycle.as_nanos() / (ROW / SCANS_PER_ROW).as_nanos();
    let scale = u32::try_from(scale).unwrap_or(u32::MAX).max(1);
    // Time-outs and patience stay real: the network and this machine do not run faster because the plant does.
    for connection in &mut config.connections {
        connection.timeout = connection.timeout.saturating_mul(scale);
        connection.reconnect.first = connection.reconnect.first.saturating_mul(scale);
        connection.reconnect.longest = connection.reconnect.longest.saturating_mul(scale);
        if let Protocol::Modbus(settings) = &mut connection.protocol {
            let (host, port) = (turbine.ip().to_string(), turbine.port());
            settings.transport = ModbusTransport::Tcp { host, port };
        }
    }
    for tag in &mut config.tags {
        tag.stale_after = tag.stale_after.saturating_mul(scale);
        tag.hold = tag.hold.saturating_mul(scale);
    }
    if let Some(server) = &mut config.server {
        server.endpoint = "opc.tcp://127.0.0.1:0/turbine".into();
        server.pki = folder.path().join("pki");
        // Loopback, and gone in two minutes: who tries it out shall not have to exchange certificates first.
        server.trust_any_client = true;
        for user in &mut server.users {
            user.password = Secret::File(password.clone());
        }
    }
    Ok((config, scale))
}
