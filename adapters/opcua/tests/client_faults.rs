//! The field link against real servers: each test is named after the fault that it contains.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::*;
use flyball_core::config::{MvId, OutputKind, ReadBy, Role, Scaling, Security, WritePhase};
use flyball_core::image::LinkState;
use flyball_core::status::Status;
use flyball_core::time::Timestamp;
use flyball_opcua::Scalar;
use flyball_opcua::server::variables::VariableChange;
use flyball_opcua::server::{ServerHost, ServerUser, VariableBank, VariableSpec};

const PV: &str = "\"R101\".\"TIC101\".\"PV\"";

fn change(index: usize, value: Scalar, status: Status) -> VariableChange {
    VariableChange { index, value, status, source_time: unix_nanos() }
}

#[test]
fn subscription_lives_again_after_a_server_restart() {
    let dir = tempfile::tempdir().expect("folder");
    let (host, _bank, _) = serve(lab(dir.path(), 0), vec![spec(PV, Scalar::Float(1.0))]);
    let port = host.address().port();
    let mut link = LinkSettings::new("restart", host.url(), dir.path()).start(vec![tag("TI-101", address(PV))], vec![]);
    link.wait_value(0, 1.0);
    host.shutdown();
    let down = link.wait("down", |i| i.state == LinkState::Down);
    assert_eq!(number(&down.samples[0]), None, "a lost link shows no number");
    assert_eq!(down.samples[0].status, Status::BadNoCommunication);
    let (host, bank, _) = serve(lab(dir.path(), port), vec![spec(PV, Scalar::Float(2.0))]);
    link.wait_value(0, 2.0);
    for x in [3.0, 4.0, 5.0] {
        bank.set(&host, &[change(0, Scalar::Float(x), Status::Good)]).expect("set");
        link.wait_value(0, f64::from(x));
    }
}

#[test]
fn namespace_order_changed_after_restart_still_finds_nodes() {
    let dir = tempfile::tempdir().expect("folder");
    let other = |x| VariableSpec { namespace: "urn:other".into(), ..spec(PV, Scalar::Float(x)) };
    let start = |order: &[&str], port, x: f32| {
        let (seen, hook) = recording();
        let bank = VariableBank::new("PLC", order, vec![spec(PV, Scalar::Float(x)), other(99.0)], hook);
        (ServerHost::start(lab(dir.path(), port), bank).expect("server"), seen)
    };
    let (host, _) = start(&[PLC, "urn:other"], 0, 1.0);
    let port = host.address().port();
    let outputs = vec![output("m.write", PV, OutputKind::Setpoint(MvId(0)), WritePhase::Value)];
    let mut link = LinkSettings::new("order", host.url(), dir.path()).start(vec![tag("TI-101", address(PV))], outputs);
    link.wait_value(0, 1.0);
    host.shutdown();
    link.wait("down", |i| i.state == LinkState::Down);
    let (_host, seen) = start(&["urn:other", PLC], port, 2.0);
    link.wait_value(0, 2.0);
    assert_eq!(link.write(1, link.soon(), &[Some(7.5)]).status, Status::Good);
    assert_eq!(*seen.lock().expect("seen"), vec![(0, Scalar::Float(7.5))], "the write went to our namespace");
}

#[test]
fn unknown_node_is_named_and_the_others_go_on() {
    let dir = tempfile::tempdir().expect("folder");
    let (host, _bank, _) = serve(lab(dir.path(), 0), vec![spec(PV, Scalar::Float(1.0))]);
    let tags = vec![tag("AI-999", address("\"gone\"")), tag("TI-101", address(PV))];
    let mut link = LinkSettings::new("unknown", host.url(), dir.path()).start(tags, vec![]);
    link.wait_value(1, 1.0);
    let image = link.wait("up", |i| i.state == LinkState::Up);
    assert_eq!((image.samples[0].value, image.samples[0].status), (None, Status::BadNodeIdUnknown));
    wait_said(&["AI-999", "nsu=urn:test:plc;s=", "gone", "correct its address"]);
}

#[test]
fn status_and_source_time_arrive_as_they_were_sent_and_scaling_is_applied() {
    let dir = tempfile::tempdir().expect("folder");
    let (host, bank, _) = serve(lab(dir.path(), 0), vec![spec(PV, Scalar::Int16(100)), spec("ok", Scalar::Bool(true))]);
    let mut scaled = tag("TI-101", address(PV));
    scaled.scaling = Scaling::Linear { factor: 0.1, offset: -5.0 };
    scaled.invalid_marks = vec![-32_768.0];
    scaled.good_when = Some(flyball_core::config::GoodWhen { address: address("ok"), equals: 1.0 });
    let mut link = LinkSettings::new("status", host.url(), dir.path()).start(vec![scaled], vec![]);
    link.wait_value(0, 5.0);
    let limited = Status::UncertainSubNormal.with_limit(Status::LIMIT_HIGH);
    let sent = unix_nanos() / 100 * 100;
    let high = VariableChange { index: 0, value: Scalar::Int16(200), status: limited, source_time: sent };
    bank.set(&host, &[high]).expect("set");
    let sample = link.wait_value(0, 15.0);
    assert_eq!(sample.status, limited, "code and limit bits 1:1");
    assert!(sample.source_time <= sample.alive.after(Duration::from_secs(1)), "{sample:?}");
    assert!(sample.source_time > Timestamp::ZERO);
    bank.set(&host, &[change(0, Scalar::Int16(-32_768), Status::Good)]).expect("set");
    link.wait("mark", |i| i.samples[0].status == Status::BadSensorFailure);
    bank.set(&host, &[change(0, Scalar::Int16(300), Status::Good)]).expect("set");
    link.wait_value(0, 25.0);
    bank.set(&host, &[change(1, Scalar::Bool(false), Status::Good)]).expect("set");
    link.wait("validity bit", |i| i.samples[0].status == Status::BadSensorFailure);
    bank.set(
        &host,
        &[change(1, Scalar::Bool(true), Status::Good), change(0, Scalar::Int16(0), Status::BadDeviceFailure)],
    )
    .expect("set");
    link.wait("device failure", |i| i.samples[0].status == Status::BadDeviceFailure && i.samples[0].value.is_none());
}

#[test]
fn a_value_that_stands_still_stays_alive_by_keep_alives() {
    let dir = tempfile::tempdir().expect("folder");
    let (host, _bank, _) = serve(lab(dir.path(), 0), vec![spec(PV, Scalar::Float(1.0))]);
    let mut link = LinkSettings::new("still", host.url(), dir.path()).start(vec![tag("TI-101", address(PV))], vec![]);
    let first = link.wait_value(0, 1.0);
    let later = link.wait("later proof of life", |i| i.samples[0].alive > first.alive.after(Duration::from_secs(1)));
    assert_eq!(later.samples[0].source_time, first.source_time, "the value itself did not change");
}

/// Setpoint, sequence and heartbeat as a PLC has them.
fn plc_specs() -> Vec<VariableSpec> {
    vec![
        spec("sp", Scalar::Float(0.0)),
        spec("seq", Scalar::UInt16(0)),
        spec("hb", Scalar::UInt16(0)),
        spec("small", Scalar::Int16(0)),
        spec("text", Scalar::Text("x".into())),
        VariableSpec { writable: false, ..spec("locked", Scalar::Float(0.0)) },
    ]
}

#[test]
fn commits_follow_values_and_every_write_has_the_nodes_own_type() {
    let dir = tempfile::tempdir().expect("folder");
    let (host, _bank, seen) = serve(lab(dir.path(), 0), plc_specs());
    // Commits first in the list: the order must come from the phase.
    let outputs = vec![
        output("m.seq", "seq", OutputKind::Sequence(MvId(0)), WritePhase::Commit),
        output("handshake.hb", "hb", OutputKind::Heartbeat, WritePhase::Commit),
        output("m.write", "sp", OutputKind::Setpoint(MvId(0)), WritePhase::Value),
        output("handshake.mode", "small", OutputKind::Mode, WritePhase::Value),
    ];
    let mut link = LinkSettings::new("commit", host.url(), dir.path()).start(vec![], outputs);
    link.wait("up", |i| i.state == LinkState::Up);
    let outcome = link.write(5, link.soon(), &[Some(8.0), Some(65_537.0), Some(12.5), Some(2.0)]);
    assert_eq!((outcome.status, outcome.discarded), (Status::Good, false), "the server takes values only");
    let expected =
        vec![(0, Scalar::Float(12.5)), (3, Scalar::Int16(2)), (1, Scalar::UInt16(8)), (2, Scalar::UInt16(1))];
    assert_eq!(*seen.lock().expect("seen"), expected);
}

#[test]
fn a_value_of_the_wrong_type_or_range_is_never_sent() {
    let dir = tempfile::tempdir().expect("folder");
    let (host, _bank, seen) = serve(lab(dir.path(), 0), plc_specs());
    let outputs = vec![
        output("a.write", "text", OutputKind::Setpoint(MvId(0)), WritePhase::Value),
        output("b.write", "small", OutputKind::Setpoint(MvId(1)), WritePhase::Value),
        output("b.seq", "seq", OutputKind::Sequence(MvId(1)), WritePhase::Commit),
        output("handshake.hb", "hb", OutputKind::Heartbeat, WritePhase::Commit),
        output("c.write", "locked", OutputKind::Setpoint(MvId(2)), WritePhase::Value),
    ];
    let mut link = LinkSettings::new("types", host.url(), dir.path()).start(vec![], outputs);
    link.wait("up", |i| i.state == LinkState::Up);
    let text = link.write(1, link.soon(), &[Some(1.0), None, None, None, None]);
    assert_eq!(text.status, Status::BadTypeMismatch);
    let range = link.write(2, link.soon(), &[None, Some(40_000.0), Some(9.0), Some(3.0), None]);
    assert_eq!(range.status, Status::BadOutOfRange);
    let locked = link.write(3, link.soon(), &[None, None, None, None, Some(1.0)]);
    assert_eq!(locked.status, Status::BadNotWritable, "the server's own answer arrives");
    let only_heartbeat = vec![(2, Scalar::UInt16(3))];
    assert_eq!(*seen.lock().expect("seen"), only_heartbeat, "no value, and no sequence number of a refused value");
}

#[test]
fn a_late_batch_is_discarded() {
    let dir = tempfile::tempdir().expect("folder");
    let (host, _bank, seen) = serve(lab(dir.path(), 0), plc_specs());
    let outputs = vec![output("m.write", "sp", OutputKind::Setpoint(MvId(0)), WritePhase::Value)];
    let mut link = LinkSettings::new("late", host.url(), dir.path()).start(vec![], outputs);
    link.wait("up", |i| i.state == LinkState::Up);
    let outcome = link.write(1, Timestamp(1), &[Some(5.0)]);
    assert!(outcome.discarded && outcome.status == Status::BadTimeout, "{outcome:?}");
    assert_eq!(link.write(2, link.soon(), &[Some(6.0)]).status, Status::Good);
    assert_eq!(*seen.lock().expect("seen"), vec![(0, Scalar::Float(6.0))]);
}

#[test]
fn no_write_from_before_an_outage_is_sent_after_it() {
    let dir = tempfile::tempdir().expect("folder");
    let (host, _bank, _) = serve(lab(dir.path(), 0), plc_specs());
    let port = host.address().port();
    let outputs = vec![output("m.write", "sp", OutputKind::Setpoint(MvId(0)), WritePhase::Value)];
    let mut link = LinkSettings::new("outage", host.url(), dir.path()).start(vec![tag("X", address("sp"))], outputs);
    link.wait_value(0, 0.0);
    host.shutdown();
    link.wait("down", |i| i.state == LinkState::Down);
    let outcome = link.write(1, link.soon(), &[Some(5.0)]);
    assert!(outcome.discarded && outcome.status == Status::BadNotConnected, "{outcome:?}");
    link.post(2, link.soon(), &[Some(6.0)]);
    let (_host, _bank, seen) = serve(lab(dir.path(), port), plc_specs());
    link.wait_value(0, 0.0);
    assert_eq!(link.write(3, link.soon(), &[Some(7.0)]).status, Status::Good);
    assert_eq!(*seen.lock().expect("seen"), vec![(0, Scalar::Float(7.0))]);
}

#[test]
fn reads_and_monitored_items_are_split_at_the_servers_limits() {
    const TAGS: usize = 1_500;
    let dir = tempfile::tempdir().expect("folder");
    let mut settings = lab(dir.path(), 0);
    settings.nodes_per_call = 400;
    let specs = (0..TAGS).map(|i| spec(&format!("t{i}"), Scalar::Double(i as f64))).collect();
    let (host, _bank, _) = serve(settings, specs);
    let tags = || (0..TAGS).map(|i| tag(&format!("T{i}"), address(&format!("t{i}")))).collect::<Vec<_>>();
    for (name, read_by) in [
        ("split-cyclic", ReadBy::Cyclic { every: Duration::from_millis(100) }),
        ("split-subscription", ReadBy::Subscription { publishing: Duration::from_millis(50) }),
    ] {
        let mut settings = LinkSettings::new(name, host.url(), dir.path());
        settings.read_by = read_by;
        let mut link = settings.start(tags(), vec![]);
        let all = |i: &flyball_core::link::LinkImage| (0..TAGS).all(|t| number(&i.samples[t]) == Some(t as f64));
        link.wait("all values", |i| i.state == LinkState::Up && all(i));
    }
}

/// A server with Basic256Sha256 and one user.
fn secure(dir: &std::path::Path) -> ServerHost {
    let mut settings = lab(dir, 0);
    settings.security = vec![SECURE];
    settings.anonymous = false;
    settings.trust_any_client = true;
    settings.users = vec![ServerUser { name: "flyball".into(), password: "right".into(), role: Role::Operator }];
    serve(settings, vec![spec(PV, Scalar::Float(4.5))]).0
}

#[test]
fn user_and_password_over_basic256sha256_with_a_certificate_that_must_be_trusted_first() {
    let dir = tempfile::tempdir().expect("folder");
    let host = secure(dir.path());
    let mut settings = LinkSettings::new("secure", host.url(), dir.path());
    settings.security = SECURE;
    settings.user = Some(("flyball", "right"));
    let pki = settings.pki.clone();
    let mut link = settings.start(vec![tag("TI-101", address(PV))], vec![]);
    link.wait("refused", |i| i.state == LinkState::Refused);
    let line = wait_said(&["link=\"secure\"", "not trusted", "trust list"]);
    let rejected: Vec<_> = std::fs::read_dir(pki.join("rejected")).expect("folder").flatten().collect();
    assert_eq!(rejected.len(), 1);
    let file = rejected[0].path();
    assert!(line.contains(&file.display().to_string()), "{line} does not name {}", file.display());
    assert!(line.contains(&pki.join("trusted").display().to_string()), "{line} does not name the folder");
    // What the message says is what helps, without a restart.
    std::fs::rename(&file, pki.join("trusted").join(rejected[0].file_name())).expect("move");
    link.wait_value(0, 4.5);
    let key = std::fs::metadata(pki.join("private/private.pem")).expect("key").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key) & 0o777, 0o600);
}

#[test]
fn wrong_password_is_refused_with_a_clear_text() {
    let dir = tempfile::tempdir().expect("folder");
    let host = secure(dir.path());
    let mut settings = LinkSettings::new("password", host.url(), dir.path());
    (settings.security, settings.user, settings.trust_server) = (SECURE, Some(("flyball", "wrong")), true);
    let mut link = settings.start(vec![tag("TI-101", address(PV))], vec![]);
    link.wait("refused", |i| i.state == LinkState::Refused);
    let line = wait_said(&["link=\"password\"", "flyball", "name or password is wrong"]);
    assert!(!line.contains("right") && !line.contains("\"wrong\""), "no password in a log: {line}");
}

#[test]
fn none_is_refused_unless_offered_and_no_password_goes_over_it() {
    let dir = tempfile::tempdir().expect("folder");
    let host = secure(dir.path());
    let mut link = LinkSettings::new("none", host.url(), dir.path()).start(vec![tag("TI-101", address(PV))], vec![]);
    link.wait("refused", |i| i.state == LinkState::Refused);
    wait_said(&["link=\"none\"", "does not offer None None", "Basic256Sha256 SignAndEncrypt"]);
    let mut settings = LinkSettings::new("clear", host.url(), dir.path());
    settings.user = Some(("flyball", "right"));
    assert_eq!(settings.security, Security::NONE);
    let mut link = settings.start(vec![], vec![]);
    link.wait("refused", |i| i.state == LinkState::Refused);
    wait_said(&["link=\"clear\"", "clear text"]);
}

#[test]
fn a_peer_that_accepts_and_says_nothing_does_not_hold_the_link() {
    let dir = tempfile::tempdir().expect("folder");
    let silent = TcpListener::bind("127.0.0.1:0").expect("listener");
    let url = format!("opc.tcp://{}/", silent.local_addr().expect("address"));
    let mut link = LinkSettings::new("silent", &url, dir.path()).start(vec![tag("TI-101", address(PV))], vec![]);
    link.wait("down", |i| i.state == LinkState::Down);
    wait_said(&["link=\"silent\"", "no answer"]);
    // Dropping the link ends its thread while a further try is under way.
}

/// Forwards bytes until it is frozen; then keeps every connection open and moves nothing.
fn freezing_proxy(to: std::net::SocketAddr) -> (String, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
    let url = format!("opc.tcp://{}/", listener.local_addr().expect("address"));
    let frozen = Arc::new(AtomicBool::new(false));
    let ice = Arc::clone(&frozen);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(to) else { continue };
            let pairs = [(client.try_clone(), server.try_clone()), (Ok(server), Ok(client))];
            for (from, into) in pairs {
                let (Ok(mut from), Ok(mut into), ice) = (from, into, Arc::clone(&ice)) else { continue };
                std::thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(n @ 1..) = from.read(&mut bytes) {
                        while ice.load(Ordering::Relaxed) {
                            std::thread::sleep(Duration::from_millis(5));
                        }
                        if into.write_all(&bytes[..n]).is_err() {
                            break;
                        }
                    }
                });
            }
        }
    });
    (url, frozen)
}

#[test]
fn a_frozen_server_is_noticed_and_a_write_to_it_ends_by_its_time_limit() {
    let dir = tempfile::tempdir().expect("folder");
    let (host, _bank, seen) = serve(lab(dir.path(), 0), plc_specs());
    let (url, frozen) = freezing_proxy(host.address());
    let outputs = vec![output("m.write", "sp", OutputKind::Setpoint(MvId(0)), WritePhase::Value)];
    let mut link = LinkSettings::new("frozen", &url, dir.path()).start(vec![tag("X", address("sp"))], outputs);
    link.wait_value(0, 0.0);
    frozen.store(true, Ordering::Relaxed);
    let outcome = link.write(1, link.soon(), &[Some(5.0)]);
    assert_eq!(outcome.status, Status::BadTimeout);
    link.wait("down", |i| i.state == LinkState::Down);
    seen.lock().expect("seen").clear();
    frozen.store(false, Ordering::Relaxed);
    link.wait("up again", |i| i.state == LinkState::Up);
    frozen.store(true, Ordering::Relaxed);
    let start = Instant::now();
    link.wait("silence noticed without a write", |i| i.state == LinkState::Down);
    println!("silence noticed after {:?}", start.elapsed());
    frozen.store(false, Ordering::Relaxed);
    link.wait("up at last", |i| i.state == LinkState::Up);
}
