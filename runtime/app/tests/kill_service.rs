//! Why: the loop does not need the process that talks to the outside: after kill -9 of it in closed loop no heartbeat is missed, and the
//! server comes back by itself.

mod common;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::{Plant, Seen, acknowledges, beats, lives, send, wait_until};
use flyball_rig::plc::PlcOptions;
use nix::sys::signal::Signal;

/// Seconds of process time, heartbeats in it, longest gap between two. One heartbeat belongs to each second.
fn pulse(name: &str, seen: &[Seen]) -> (u64, u64, Duration) {
    let (times, by_one) = beats(seen);
    assert!(by_one, "{name}: the heartbeat counts completed scans, one by one");
    let (first, last) = (*times.first().expect("beats"), *times.last().expect("beats"));
    let gap = times.windows(2).map(|w| w[1] - w[0]).max().expect("beats");
    let (seconds, count) = ((last - first + Duration::from_millis(500)).as_secs(), times.len() as u64 - 1);
    println!("{name}: {count} heartbeats in {seconds} s of process time, longest gap {gap:?}");
    (seconds, count, gap)
}

#[test]
fn the_loop_goes_on_and_the_server_comes_back() {
    let plant = Plant::start(PlcOptions::default());
    let timeout = Duration::from_millis(u64::from(PlcOptions::default().gate.link.hb_timeout_ms));
    let program = plant.run(&[]);
    let address = SocketAddr::from(([127, 0, 0, 1], plant.port));
    let first = program.service(1);
    plant.close_the_loop(&program);
    wait_until("the server answers", || acknowledges(address));

    let quiet_from = plant.truth().time;
    plant.pass(Duration::from_secs(60));
    let killed_at = plant.truth().time;
    let killed = Instant::now();
    send(first, Signal::SIGKILL);
    wait_until("the old service process is gone", || !lives(first));
    assert!(!acknowledges(address), "nobody listens any more");
    program.wait("the server is back", || acknowledges(address));
    println!("the server accepted a connection again {:?} after kill -9; promised: 5 s", killed.elapsed());
    let second = program.service(2);
    assert_ne!(first, second);
    plant.pass(Duration::from_secs(60));

    let all = plant.watch.since(quiet_from);
    let (before, after): (Vec<_>, Vec<_>) = all.iter().partition(|s| s.time < killed_at);
    let (_, _, quiet_gap) = pulse("before the kill", &before);
    let (seconds, count, gap) = pulse("from the kill on ", &after);
    assert_eq!(count, seconds, "one heartbeat per cycle, none missed; log:\n{}", program.log());
    assert!(gap < timeout / 2, "gap {gap:?} against {quiet_gap:?} before; the PLC waits {timeout:?}");
    assert!(after.iter().all(|s| s.closed && s.mode == 2), "closed all the time");
    assert!(!program.log().contains("left CLOSED LOOP"), "{}", program.log());
    let why = program.said(&["service process ended by itself"]);
    assert!(why.contains("signal: 9") && why.contains("the loop goes on"), "{why}");
}
