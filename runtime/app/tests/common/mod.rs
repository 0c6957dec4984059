//! What the promises' tests share: the real program as a process beside a simulated plant on real sockets, and an eye on both.
//!
//! Words: *program* is `flyball run` in a process of its own; *plant* is the simulated PLC of R-101 in the test's process, its time running
//! `SCALE` times as fast as the clock; *watch* is what the plant noted after each scan of its PLC.
#![allow(dead_code, reason = "each test file uses its own part")]

/// A plant behind a line that can be spoilt.
pub mod network;
/// Rude peers are the OPC UA adapter's: one set of hand-made frames for both.
#[path = "../../../../adapters/opcua/tests/common/rude.rs"]
pub mod rude;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use flyball_opcua::pki::Pki;
use flyball_rig::plc::{PlcOptions, Truth};
use flyball_rig::servers::{RigOptions, RigPlc};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Process seconds per real second.
pub const SCALE: u32 = 10;
/// Only a hang is longer than this.
pub const HANG: Duration = Duration::from_secs(120);
/// What the simulated PLC wants to hear, and the users of the program's own server.
pub const SECRETS: [(&str, &str); 4] = [
    ("R101_PLC_PASSWORD", "plc-secret"),
    ("R101_HMI_PASSWORD", "hmi-secret"),
    ("R101_HISTORIAN_PASSWORD", "historian-secret"),
    ("R101_ENGINEER_PASSWORD", "engineer-secret"),
];

/// What the plant noted after one scan of its PLC.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Process time.
    pub time: Duration,
    /// Heartbeat that the program has written.
    pub heartbeat: u16,
    /// Mode that the program has written (`iMode`).
    pub mode: i16,
    /// The gate uses recommendations.
    pub closed: bool,
    /// Why it shed last.
    pub shed_reason: i16,
    /// Mode that the PLC asks for.
    pub wanted: i16,
    /// Active setpoints: l/h, degC.
    pub setpoints: [f32; 2],
}

/// Everything that the plant has noted.
#[derive(Debug, Clone, Default)]
pub struct Watch(Arc<Mutex<Vec<Seen>>>);

impl Watch {
    /// All notes since `from`, process time.
    pub fn since(&self, from: Duration) -> Vec<Seen> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|s| s.time >= from).copied().collect()
    }
}

/// Times at which the heartbeat changed, and whether every change was by one.
pub fn beats(seen: &[Seen]) -> (Vec<Duration>, bool) {
    let changes: Vec<_> = seen.windows(2).filter(|w| w[0].heartbeat != w[1].heartbeat).collect();
    let by_one = changes.iter().all(|w| w[1].heartbeat == w[0].heartbeat.wrapping_add(1));
    (changes.iter().map(|w| w[1].time).collect(), by_one)
}

/// The simulated plant, and a folder with a configuration that fits it.
pub struct Plant {
    pub rig: RigPlc,
    pub watch: Watch,
    pub folder: tempfile::TempDir,
    pub config: PathBuf,
    /// Port of the program's own OPC UA server.
    pub port: u16,
}

impl Plant {
    /// R-101 at its base case; the program trusts the PLC's certificate and finds its passwords in the environment.
    pub fn start(plc: PlcOptions) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let options =
            RigOptions { plc, time_scale: SCALE, ..RigOptions::new(SECRETS[0].1, folder.path().join("plc-pki")) };
        let rig = RigPlc::start(options).expect("the plant starts");
        let watch = Watch::default();
        let notes = watch.clone();
        rig.set_script(Box::new(move |plc| {
            let truth = plc.truth();
            notes.0.lock().unwrap_or_else(PoisonError::into_inner).push(Seen {
                time: truth.time,
                heartbeat: truth.app.ui_hb,
                mode: truth.app.i_mode,
                closed: truth.link.x_closed_loop,
                shed_reason: truth.link.i_shed_reason,
                wanted: truth.link.i_mode_req,
                setpoints: truth.mvs.map(|mv| mv.gate.r_sp_out),
            });
        }));
        let port = free_port();
        let config = folder.path().join("r101.toml");
        let text = r101(rig.opcua_port(), rig.analyser().port(), port);
        fs::write(&config, text).expect("configuration");
        let plant = Self { rig, watch, folder, config, port };
        plant.trust_the_plc();
        plant
    }

    /// What an engineer does after the first connection: the PLC's certificate goes into the trusted folder.
    fn trust_the_plc(&self) {
        let pki = Pki { folder: self.folder.path().join("pki/client") };
        for sub in [pki.trusted(), pki.rejected()] {
            fs::create_dir_all(sub).expect("folder");
        }
        pki.trust(&self.folder.path().join("plc-pki").join(Pki::CERTIFICATE)).expect("the PLC's certificate");
    }

    /// Starts the program beside the plant.
    pub fn run(&self, extra: &[&str]) -> Program {
        Program::start(&self.config, &[&["--time-scale", "10"], extra].concat())
    }

    /// Truth of the plant now.
    pub fn truth(&self) -> Truth {
        self.rig.truth()
    }

    /// Lets this much process time pass.
    pub fn pass(&self, process: Duration) {
        let until = self.truth().time + process;
        wait_until("process time passes", || self.truth().time >= until);
    }

    /// The operator's switch.
    pub fn switch(&self, on: bool) {
        self.rig.with_plc(|plc| plc.panel.enable = on);
    }

    /// From ADVISORY to a closed loop whose setpoints have moved; the operator switches on once the program is ready.
    pub fn close_the_loop(&self, program: &Program) {
        program.said(&["model cB.cB is usable"]);
        self.operate_until_it_moves(program);
    }

    /// The operator switches on, and off and on again whenever the loop has been open for a minute: a busy machine misses deadlines of its
    /// own. Ends after three more setpoints.
    pub fn operate_until_it_moves(&self, program: &Program) {
        let off = Duration::from_secs(10);
        let (mut open_since, mut on) = (self.truth().time, true);
        self.switch(true);
        let offers = self.truth().mvs[0].offers;
        program.wait("the loop moves", || {
            let truth = self.truth();
            if truth.link.x_closed_loop {
                open_since = truth.time;
                return truth.mvs[0].offers >= offers + 3;
            }
            let patience = if on { Duration::from_secs(60) } else { off };
            if truth.time > open_since + patience {
                (open_since, on) = (truth.time, !on);
                self.switch(on);
            }
            false
        });
    }
}

/// The worked example with the plant's ports, and models by their full path.
///
/// Deadline and timeouts are longer than in the example because ten process seconds pass in one real second here: 200 ms would be 20 ms.
pub fn r101(plc: u16, analyser: u16, server: u16) -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let examples = here.join("../../config/examples");
    let mut text = fs::read_to_string(examples.join("r101.toml")).expect("the example");
    text = text.replace("\"../../models/", &format!("\"{}/", here.join("../../models").display()));
    for (old, new) in [
        ("deadline     = ", "deadline     = \"950 ms\""),
        ("arm_after    = ", "arm_after    = \"10 s\""),
        ("arm_cycles   = ", "arm_cycles   = 10"),
        ("endpoint   = \"opc.tcp://", &format!("endpoint   = \"opc.tcp://127.0.0.1:{plc}\"")),
        ("timeout    = \"200 ms\"", "timeout    = \"900 ms\""),
        ("reconnect  = ", "reconnect  = { first = \"1 s\", longest = \"5 s\" }"),
        ("port       = ", &format!("port       = {analyser}")),
        ("timeout    = \"150 ms\"", "timeout    = \"2 s\""),
        ("endpoint  = \"opc.tcp://", &format!("trust_any_client = true\nendpoint  = \"opc.tcp://127.0.0.1:{server}\"")),
    ] {
        text = with_line(&text, old, new);
    }
    text
}

/// The text with the line that begins with `start` replaced; exactly one line must.
pub fn with_line(text: &str, start: &str, new: &str) -> String {
    let found = text.lines().filter(|l| l.starts_with(start)).count();
    assert_eq!(found, 1, "lines that begin with {start:?}");
    text.lines().map(|l| if l.starts_with(start) { format!("{new}\n") } else { format!("{l}\n") }).collect()
}

/// A port that nobody uses now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port()
}

/// The running program. Dropping it ends it by its id.
pub struct Program {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Program {
    /// `flyball run CONFIG EXTRA` with all secrets in the environment.
    pub fn start(config: &Path, extra: &[&str]) -> Self {
        Self::spawn(command(config, extra))
    }

    /// Any command; both its outputs are collected line by line.
    pub fn spawn(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (out, err) = (child.stdout.take().expect("pipe"), child.stderr.take().expect("pipe"));
        collect(out, &lines);
        collect(err, &lines);
        Self { child, lines }
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Everything it has said, without the lines of single scans.
    pub fn log(&self) -> String {
        self.lines().iter().filter(|l| !l.contains("TRACE")).map(|l| format!("{l}\n")).collect()
    }

    /// Waits for a condition; the program's log is shown when it never comes.
    pub fn wait(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        while !holds() {
            let late = start.elapsed() > HANG;
            assert!(
                !late && lives(self.id()),
                "{}: {what}\n{}",
                if late { "never" } else { "ended before" },
                self.log()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for a line that contains all parts.
    pub fn said(&self, parts: &[&str]) -> String {
        let find = || self.lines().into_iter().find(|l| parts.iter().all(|p| l.contains(p)));
        self.wait(&format!("a line with {parts:?}"), || find().is_some());
        find().expect("just seen")
    }

    /// Process ids of its service processes so far, oldest first.
    pub fn services(&self) -> Vec<u32> {
        let lines = self.lines();
        let after = lines.iter().filter_map(|l| l.split_once("service process ")?.1.split_once(" serves "));
        after.filter_map(|(pid, _)| pid.parse().ok()).collect()
    }

    /// Waits for its n-th service process (from 1).
    pub fn service(&self, n: usize) -> u32 {
        self.wait(&format!("service process {n} serves"), || self.services().len() >= n);
        self.services()[n - 1]
    }

    /// Sends a signal to the program itself.
    pub fn signal(&self, signal: Signal) {
        send(self.id(), signal);
    }

    /// Waits for its end.
    pub fn end(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                // The pipes may hold some lines yet.
                thread::sleep(Duration::from_millis(100));
                return status;
            }
            assert!(start.elapsed() < HANG, "it does not end\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// kill -9, and the end that came of it.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        assert_eq!(self.end().signal(), Some(9));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both are errors when it has ended already, which is just what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `flyball run CONFIG EXTRA` with all secrets in the environment.
pub fn command(config: &Path, extra: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flyball"));
    command.arg("run").arg(config).args(extra).envs(SECRETS).env_remove("FLYBALL_LOG").env("NO_COLOR", "1");
    command
}

fn collect(from: impl Read + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) {
    let lines = Arc::clone(lines);
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
}

/// Sends a signal to a process that we or our program have started.
pub fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).expect("a process id")), signal).expect("it runs");
}

/// The process is there and no zombie.
pub fn lives(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|s| !s.contains("State:\tZ"))
}

/// Waits for something; the limit only ends a broken test.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < HANG, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// An OPC UA server answers HELLO with ACK here.
pub fn acknowledges(address: SocketAddr) -> bool {
    let hello = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(&rude::hello())?;
        let mut kind = [0; 3];
        stream.read_exact(&mut kind)?;
        Ok(&kind == b"ACK")
    };
    hello().unwrap_or(false)
}
