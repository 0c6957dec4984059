//! Why: the promises of the two processes, with the real child: it comes back with every value, it never makes control wait, and it
//! is given no secret.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use flyball::clock::SystemClock;
use flyball::service::channel::{Hello, ServerSettings};
use flyball::service::supervisor::{Options, ServiceStatus, Supervisor};
use flyball_config::Security;
use flyball_core::link::{LinkPlan, link_pair};
use flyball_core::outside::{Change, Directory, NodeKind, NodeSpec, NodeValue};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const NODES: u32 = 3_000;

/// A supervisor of the real program; the folder holds the server's keys.
fn start(folder: &tempfile::TempDir, change: impl FnOnce(&mut Options)) -> Supervisor {
    let nodes = (0..NODES).map(|i| NodeSpec {
        path: format!("Inputs/T{i}"),
        text: String::new(),
        kind: NodeKind::Number,
        written_by: None,
    });
    let directory = Directory { application: "TEST".into(), nodes: nodes.collect(), ..Directory::default() };
    let server = ServerSettings {
        endpoint: "opc.tcp://127.0.0.1:0/test".into(),
        security: vec![Security::NONE],
        anonymous_read: true,
        users: Vec::new(),
        pki: folder.path().to_path_buf(),
        trust_any_client: true,
    };
    let mut options = Options::new(Hello { directory, server }).expect("own path");
    options.program = env!("CARGO_BIN_EXE_flyball").into();
    change(&mut options);
    Supervisor::start(options).expect("thread")
}

fn all(value: f64) -> Vec<Change> {
    let change = |node| Change { node, value: Some(NodeValue::Number(value)), status: 0, source_time: 0 };
    (0..NODES).map(change).collect()
}

/// Waits for a state; how long it may take is not what is tested, so the limit is only there to end a broken test.
fn wait_for(supervisor: &Supervisor, what: &str, reached: impl Fn(&ServiceStatus) -> bool) -> ServiceStatus {
    for _ in 0..1_200 {
        let status = supervisor.status();
        if reached(&status) {
            return status;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("never {what}: {:?}", supervisor.status());
}

/// Reads one node as any client would, with the field link of a second configuration.
fn read_over_opcua(endpoint: &str, folder: &tempfile::TempDir, node: u32) -> f64 {
    let text = format!(
        "schema = 1\n[app]\nname = \"READER\"\ndescription = \"reads\"\narea = \"test\"\nowner = \"test\"\n\
         start_mode = \"advisory\"\nhighest_mode = \"advisory\"\n[timing]\ncycle = \"1 s\"\ndeadline = \"500 ms\"\n\
         [connection.out]\nprotocol = \"opcua\"\nendpoint = \"{endpoint}\"\nsecurity = \"None\"\n\
         lab_switch_no_security = true\nread_by = \"cyclic\"\nevery = \"100 ms\"\ntimeout = \"5 s\"\npki = \"reader\"\n\
         [tag.T]\ntext = \"node\"\nat = \"out: nsu=urn:flyball:TEST;s=TEST/Inputs/T{node}\"\nunit = \"1\"\nrange = [0, 100]\n"
    );
    let loaded = flyball_config::load_text(&folder.path().join("reader.toml"), &text);
    let config = loaded.config.unwrap_or_else(|| panic!("{}", loaded.diagnostics.lines()));
    let clock = SystemClock::start(1);
    let (utc, stop) = (clock.utc(), Arc::new(AtomicBool::new(false)));
    let (bell, button) = flyball_opcua::doorbell();
    let plan = LinkPlan::all(&config).remove(0);
    let (seat, mut door) = link_pair(plan, button.clone(), Arc::clone(&stop), Arc::new(clock), utc, 1);
    let identity = flyball_opcua::ClientIdentity {
        application: "READER".into(),
        application_uri: "urn:test:reader".into(),
        password: None,
        trust_server: true,
    };
    let link = thread::spawn(move || flyball_opcua::run(seat, bell, identity));
    let value = (0..600).find_map(|_| {
        thread::sleep(Duration::from_millis(100));
        door.images.newest().and_then(|image| image.samples[0].value)
    });
    stop.store(true, Ordering::Relaxed);
    button();
    link.join().expect("link");
    value.expect("the node has a value").get()
}

fn signal(status: &ServiceStatus, signal: Signal) {
    let pid = i32::try_from(status.pid.expect("a child runs")).expect("pid");
    kill(Pid::from_raw(pid), signal).expect("our own child");
}

#[test]
fn after_kill_9_it_comes_back_with_every_value() {
    let folder = tempfile::tempdir().expect("folder");
    let supervisor = start(&folder, |_| {});
    supervisor.publish(&all(42.5));
    let first = wait_for(&supervisor, "served", |s| s.address.is_some() && s.nodes_served == NODES);
    assert_eq!(first.restarts, 0);
    signal(&first, Signal::SIGKILL);
    // Nothing is published again: what comes back comes from the supervisor's memory.
    let second =
        wait_for(&supervisor, "back", |s| s.pid != first.pid && s.address.is_some() && s.nodes_served == NODES);
    assert_eq!(second.restarts, 1);
    assert!(second.last_end.as_deref().is_some_and(|t| t.contains("signal: 9")), "{second:?}");
    let endpoint = second.address.as_deref().expect("served");
    assert!((read_over_opcua(endpoint, &folder, NODES - 1) - 42.5).abs() < 1e-9);
    let pid = second.pid.expect("runs");
    supervisor.stop();
    assert!(fs::metadata(format!("/proc/{pid}")).is_err(), "the child ended with its supervisor");
}

#[test]
fn a_stopped_child_blocks_no_publisher_and_is_replaced() {
    let folder = tempfile::tempdir().expect("folder");
    let supervisor = start(&folder, |o| o.answer_within = Duration::from_secs(3));
    let first = wait_for(&supervisor, "ready", |s| s.address.is_some());
    signal(&first, Signal::SIGSTOP);
    // Much more than a pipe holds (64 KiB): a publisher that wrote into the pipe would hang here for good.
    let supervisor = Arc::new(supervisor);
    let (done, is_done) = mpsc::sync_channel(1);
    let publisher = Arc::clone(&supervisor);
    thread::spawn(move || {
        for round in 0..200 {
            publisher.publish(&all(f64::from(round)));
        }
        done.send(()).expect("test waits");
    });
    is_done.recv_timeout(Duration::from_secs(60)).expect("publish never waits for the child");
    let second = wait_for(&supervisor, "replaced", |s| s.pid != first.pid && s.nodes_served == NODES);
    assert!(second.last_end.as_deref().is_some_and(|t| t.contains("did not answer")), "{second:?}");
}

#[test]
fn the_environment_of_the_child_holds_no_secret() {
    // Whatever this test was started with stands for a PLC password: nothing of it may arrive.
    let own: BTreeSet<String> = std::env::vars().map(|(name, _)| name).collect();
    assert!(own.contains("CARGO_MANIFEST_DIR"), "there is something that could leak");
    let folder = tempfile::tempdir().expect("folder");
    let supervisor = start(&folder, |_| {});
    let status = wait_for(&supervisor, "ready", |s| s.address.is_some());
    let environ = fs::read(format!("/proc/{}/environ", status.pid.expect("runs"))).expect("readable");
    let names: BTreeSet<String> = environ
        .split(|b| *b == 0)
        .filter(|entry| !entry.is_empty())
        .map(|entry| String::from_utf8_lossy(entry).split('=').next().unwrap_or("").to_owned())
        .collect();
    let allowed: BTreeSet<String> = ["PATH", "FLYBALL_LOG"].map(str::to_owned).into();
    assert!(names.is_subset(&allowed), "{names:?}");
    let limits = fs::read_to_string(format!("/proc/{}/limits", status.pid.expect("runs"))).expect("readable");
    let files = limits.lines().find(|l| l.starts_with("Max open files")).expect("line");
    assert!(files.contains(" 512 "), "{files}");
}

#[test]
fn a_child_that_grows_too_large_is_replaced() {
    let folder = tempfile::tempdir().expect("folder");
    // No process fits into 64 KiB, so every child is too large at its first look.
    let supervisor = start(&folder, |o| o.resident_max = 64 << 10);
    let status = wait_for(&supervisor, "replaced", |s| s.restarts >= 1 && s.last_end.is_some());
    assert!(status.last_end.as_deref().is_some_and(|t| t.contains("grew to")), "{status:?}");
}

#[test]
fn a_program_that_is_no_service_is_retried_and_its_babble_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let supervisor = start(&folder, |o| {
        o.program = "/bin/echo".into();
        o.arguments = vec!["x".repeat(100).into()];
    });
    let status = wait_for(&supervisor, "retried", |s| s.restarts >= 1);
    assert!(status.last_end.as_deref().is_some_and(|t| t.contains("2021161080 bytes")), "{status:?}");
    assert_eq!(status.address, None);
}
