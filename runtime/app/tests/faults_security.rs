//! S1, S2: certificates that must not be believed, and strangers who try to get in or to be a burden. Why: a refusal is worth nothing when
//! nobody understands it, and a limit nothing when the scan pays for it.

#[path = "../../../hil-tests/src/campaign.rs"]
mod campaign;
mod common;

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use campaign::Row;
use common::rude::hello;
use common::{HANG, Plant, Program, SCALE, SECRETS, acknowledges, beats, free_port, r101, wait_until};
use flyball::clock::SystemClock;
use flyball_config::{Config, Protocol, load_text};
use flyball_core::image::LinkState;
use flyball_core::link::{LinkDoor, LinkPlan, link_pair};
use flyball_opcua::ClientIdentity;
use flyball_opcua::pki::Pki;
use flyball_rig::plc::PlcOptions;
use flyball_rig::servers::{RigOptions, RigPlc};

/// The repository's root, for the fault table.
fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn rig(folder: &Path) -> RigPlc {
    let options = RigOptions { time_scale: SCALE, ..RigOptions::new(SECRETS[0].1, folder.join("plc-pki")) };
    RigPlc::start(options).expect("the plant starts")
}

/// Writes other dates into a certificate (UTCTime, tag 23, 13 characters: the first begins it, the second ends it). Its signature is
/// wrong then, which nobody checks of a certificate that is trusted as a file.
fn redate(certificate: &Path, begins: &str, ends: &str) {
    let mut der = fs::read(certificate).expect("certificate");
    let at: Vec<usize> = der.windows(2).enumerate().filter(|(_, w)| *w == [23, 13]).map(|(i, _)| i + 2).collect();
    assert_eq!(at.len(), 2, "begin and end");
    for (at, time) in at.into_iter().zip([begins, ends]) {
        der[at..at + 13].copy_from_slice(time.as_bytes());
    }
    fs::write(certificate, der).expect("certificate");
}

/// Starts a PLC with a certificate that `prepare` has made, and the program beside it; every part must be said in one line.
fn refused(prepare: impl Fn(&Path), trusted: bool, parts: &[&str]) {
    let folder = tempfile::tempdir().expect("folder");
    let of_the_plc = folder.path().join("plc-pki").join(Pki::CERTIFICATE);
    prepare(folder.path());
    let plc = rig(folder.path());
    let client = Pki { folder: folder.path().join("pki/client") };
    for sub in [client.trusted(), client.rejected()] {
        fs::create_dir_all(sub).expect("folder");
    }
    if trusted {
        client.trust(&of_the_plc).expect("trusted");
    }
    let config = folder.path().join("r101.toml");
    fs::write(&config, r101(plc.opcua_port(), plc.analyser().port(), free_port())).expect("configuration");
    let program = Program::start(&config, &["--time-scale", "10"]);
    println!("{}", program.said(parts));
    program.said(&["connection plc1: refused"]);
    let from = plc.truth().time;
    wait_until("10 s of process time", || plc.truth().time >= from + Duration::from_secs(10));
    assert_eq!((plc.truth().app.ui_hb, plc.truth().app.i_mode), (0, 0), "nothing was written: {parts:?}");
}

/// A certificate of its own, as the PLC makes it at its first start.
fn made(folder: &Path) -> PathBuf {
    drop(rig(folder));
    folder.join("plc-pki").join(Pki::CERTIFICATE)
}

#[test]
fn s1_certificates() {
    thread::scope(|scope| {
        let cases = [
            scope.spawn(|| {
                refused(
                    |_| {},
                    false,
                    &["is not trusted", "check: trust list", "to trust it, move the file", "pki/client/trusted"],
                );
            }),
            scope.spawn(|| {
                refused(
                    |f| redate(&made(f), "200101000000Z", "210101000000Z"),
                    true,
                    &["trusted but not valid", "check: validity time", "compare the clocks, or renew it"],
                );
            }),
            scope.spawn(|| {
                refused(
                    |f| redate(&made(f), "480101000000Z", "490101000000Z"),
                    true,
                    &["trusted but not valid", "check: validity time", "begins later"],
                );
            }),
            scope.spawn(|| {
                let of_another = |f: &Path| {
                    Pki::open(&f.join("plc-pki"), "rig-plc", "urn:somebody:else", &[]).expect("pki");
                };
                refused(of_another, true, &["check: application URI", "needs a certificate of its own"]);
            }),
        ];
        for case in cases {
            case.join().expect("a case failed, see above");
        }
    });
    Row {
        id: "S1",
        fault: "server certificate untrusted, expired, not yet valid, of another application URI",
        expected: "refused, the message says which check failed and how to fix it",
        observed: "each refused before a session is made, check and next step named, nothing written to the PLC".into(),
    }
    .lay();
}

/// A stranger: the project's own field link, used against the program's server.
struct Stranger {
    door: LinkDoor,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    state: LinkState,
    items: usize,
}

impl Stranger {
    fn start(folder: &Path, port: u16, user: &str, password: &str, tags: usize) -> Self {
        let text = format!(
            "schema = 1\n[app]\nname = \"STRANGER\"\n[timing]\ncycle = \"1 s\"\ndeadline = \"500 ms\"\n[connection.out]\nprotocol = \"opcua\"\n\
             endpoint = \"opc.tcp://127.0.0.1:{port}/r101-opt\"\nsecurity = \"SignAndEncrypt / Basic256Sha256\"\nuser = \"{user}\"\n\
             password = \"env:NOT_USED\"\nread_by = \"subscription\"\npublishing = \"500 ms\"\ntimeout = \"20 s\"\n\
             reconnect = {{ first = \"100 ms\", longest = \"200 ms\" }}\n\
             [tag.T]\ntext = \"node\"\nat = \"out: nsu=urn:flyball:R101-OPT;s=R101-OPT/Status/Heartbeat\"\nunit = \"1\"\nrange = [0, 70000]\n"
        );
        let loaded = load_text(&folder.join("stranger.toml"), &text);
        let mut config: Config = loaded.config.unwrap_or_else(|| panic!("{}", loaded.diagnostics.lines()));
        if let Protocol::OpcUa(opcua) = &mut config.connections[0].protocol {
            opcua.pki = folder.join("stranger");
        }
        let mut plan = LinkPlan::all(&config).swap_remove(0);
        plan.reads = (0..tags).map(|_| plan.reads[0].clone()).collect();
        let (bell, ring) = flyball_opcua::doorbell();
        let stop = Arc::new(AtomicBool::new(false));
        let clock = SystemClock::start(1);
        let utc = clock.utc();
        let (seat, door) = link_pair(plan, ring, Arc::clone(&stop), Arc::new(clock), utc, 1);
        let identity = ClientIdentity {
            application: "stranger".into(),
            application_uri: "urn:test:stranger".into(),
            password: Some(password.into()),
            trust_server: true,
        };
        let thread = Some(thread::spawn(move || flyball_opcua::run(seat, bell, identity)));
        Self { door, stop, thread, state: LinkState::Starting, items: 0 }
    }

    fn look(&mut self) -> LinkState {
        if let Some(image) = self.door.images.newest() {
            self.state = image.state;
            self.items = image.samples.iter().filter(|s| s.value.is_some()).count();
        }
        self.state
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || thread::panicking(), "a link panicked");
        }
    }
}

#[test]
#[ignore = "its row is not laid yet: the machine was too busy; run it with --ignored and UPDATE_SNAPSHOTS=1"]
fn s2_strangers() {
    const GUESSERS: usize = 5;
    const CONNECTIONS: usize = 100;
    const ITEMS: usize = 10_000;
    // What the strangers' own links say, for whoever looks for the reason of a failure.
    flyball::logging::to_stderr(flyball::logging::LogForm::Text).expect("no filter is set");
    let plant = Plant::start(PlcOptions::default());
    let program = plant.run(&[]);
    program.service(1);
    wait_until("heartbeats", || beats(&plant.watch.since(Duration::ZERO)).0.len() > 5);
    let address = SocketAddr::from(([127, 0, 0, 1], plant.port));
    wait_until("the server answers", || acknowledges(address));
    let folders: Vec<_> = (0..=GUESSERS).map(|_| tempfile::tempdir().expect("folder")).collect();
    let from = plant.truth().time;

    // A user with the right to read, who wants far more than the server has.
    let mut greedy = Stranger::start(folders[0].path(), plant.port, "historian", SECRETS[2].1, ITEMS);
    program.wait("10 000 items are monitored", || {
        greedy.look();
        greedy.state == LinkState::Up && greedy.items == ITEMS
    });
    let mut guessers: Vec<Stranger> = folders[1..]
        .iter()
        .enumerate()
        .map(|(i, f)| Stranger::start(f.path(), plant.port, "mueller", &format!("guess {i}"), 1))
        .collect();
    let crowd: Vec<Option<TcpStream>> = (0..CONNECTIONS)
        .map(|_| {
            let mut stream = TcpStream::connect(address).ok()?;
            stream.write_all(&hello()).ok()?;
            Some(stream)
        })
        .collect();
    let refusals = || program.lines().iter().filter(|l| l.contains("OPC UA login refused")).count();
    program.wait("guesses are refused and said", || refusals() >= 4 * GUESSERS);
    for guesser in &mut guessers {
        assert_ne!(guesser.look(), LinkState::Up, "nobody gets in by guessing");
    }
    let (beats, _) = beats(&plant.watch.since(from));
    println!(
        "{} guesses refused, {} connections open, {} heartbeats meanwhile",
        refusals(),
        crowd.iter().flatten().count(),
        beats.len()
    );
    assert!(beats.len() > 10, "the scan goes on");
    drop((guessers, crowd));
    assert_eq!(greedy.look(), LinkState::Up, "who may read goes on reading");
    drop(greedy);

    let folder = tempfile::tempdir().expect("folder");
    let mut known = Stranger::start(folder.path(), plant.port, "mueller", SECRETS[3].1, 1);
    let start = std::time::Instant::now();
    while known.look() != LinkState::Up {
        assert!(start.elapsed() < HANG, "who knows the password gets in afterwards");
        thread::sleep(Duration::from_millis(10));
    }
    let seen = plant.watch.since(from);
    let back = seen.windows(2).filter(|w| (w[1].heartbeat.wrapping_sub(w[0].heartbeat) as i16) < 0).count();
    assert_eq!(back, 0);
    Row {
        id: "S2",
        fault: "guessed passwords, 100 connections and 10 000 monitored items at the server",
        expected: "limits hold, control cycle unaffected",
        observed: format!(
            "at least {} guesses refused and said, none gets in; heartbeats go on without a step back; afterwards the right password works",
            4 * GUESSERS
        ),
    }
    .lay();
}
