//! Why: SIGTERM ends the program in order: the heartbeat stops, the last state is said, the service process is gone, exit code 0.

mod common;

use std::time::Duration;

use common::{Plant, acknowledges, beats, lives, wait_until};
use flyball_rig::plc::PlcOptions;
use nix::sys::signal::Signal;

#[test]
fn sigterm_ends_everything_in_order() {
    let plant = Plant::start(PlcOptions::default());
    let mut program = plant.run(&[]);
    let service = program.service(1);
    program.said(&["PLC heartbeat is alive"]);
    wait_until("the server answers", || acknowledges(([127, 0, 0, 1], plant.port).into()));
    plant.pass(Duration::from_secs(10));
    assert!(plant.truth().link.x_link_ok, "the PLC hears the program");

    program.signal(Signal::SIGTERM);
    let status = program.end();
    let log = program.log();
    assert_eq!(status.code(), Some(0), "{log}");
    let ended = plant.truth().time;
    let last = log.lines().rfind(|l| l.contains("ended: the heartbeat has stopped")).expect("the last state is said");
    println!("{last}");
    assert!(!lives(service), "the service process is gone");
    assert!(!acknowledges(([127, 0, 0, 1], plant.port).into()), "its port is free");
    plant.pass(Duration::from_secs(20));
    assert_eq!(beats(&plant.watch.since(ended)).0, [], "no heartbeat after the end");
    assert!(!plant.truth().link.x_link_ok, "the PLC has noticed");
}
