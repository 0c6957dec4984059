//! Why: the promise that counts most: when the control process dies in closed loop, the PLC goes on alone, without a bump, and nobody but
//! the operator closes the loop again.
//!
//! The PLC is set to return by itself (`xReturn`), which is the harder case: after the restart it asks for CLOSED LOOP all the time, and
//! the program must not take that as a wish of the operator.

mod common;

use std::time::Duration;

use common::{Plant, beats, lives, wait_until};
use flyball_rig::gate::link::shed;
use flyball_rig::plc::PlcOptions;

#[test]
fn the_plc_sheds_and_holds_and_the_restarted_program_stays_in_advisory() {
    let mut options = PlcOptions::default();
    options.gate.link.x_return = true;
    let scan = options.scan;
    let timeout = Duration::from_millis(u64::from(options.gate.link.hb_timeout_ms));
    let rates = options.gate.mvs.map(|mv| mv.r_rate_up.max(mv.r_rate_dn));
    let plant = Plant::start(options);

    let mut program = plant.run(&[]);
    let service = program.service(1);
    plant.close_the_loop(&program);
    program.kill();
    println!("killed the control process {} at process time {:?}", program.id(), plant.truth().time);

    // The PLC sheds by its own clock.
    wait_until("the PLC sheds", || !plant.truth().link.x_closed_loop);
    let seen = plant.watch.since(Duration::ZERO);
    let last_beat = *beats(&seen).0.last().expect("there were beats");
    let open = seen.iter().find(|s| s.time > last_beat && !s.closed).expect("just seen");
    let took = open.time - last_beat;
    println!("shed {took:?} of process time after the last heartbeat; time-out {timeout:?}, scan {scan:?}");
    assert_eq!(open.shed_reason, shed::HEARTBEAT, "shed because the heartbeat stopped");
    assert!(took >= timeout - scan && took <= timeout + 2 * scan, "{took:?}");

    // The service does not outlive it.
    wait_until("the service process ends with the control process", || !lives(service));

    // Hold: from the shed on not a bit changes; and no step of the whole run was larger than the rate allows.
    plant.pass(Duration::from_secs(60));
    let after = plant.watch.since(open.time);
    assert!(after.iter().all(|s| s.setpoints == open.setpoints), "held at {:?}", open.setpoints);
    let seen = plant.watch.since(Duration::ZERO);
    for (i, (rate, unit)) in rates.into_iter().zip(["l/h", "degC"]).enumerate() {
        let limit = rate * scan.as_secs_f32();
        let step = seen.windows(2).map(|w| (w[1].setpoints[i] - w[0].setpoints[i]).abs()).fold(0.0f32, f32::max);
        let moved = (open.setpoints[i] - seen[0].setpoints[i]).abs();
        println!("largest step {step:.5} {unit} per scan, allowed {limit:.5}; moved {moved:.3} {unit} in all");
        assert!(step <= limit * 1.001, "a bump of {step} {unit}");
        assert!(i > 0 || moved > 0.0, "the loop had moved the feed, or there is nothing to see");
    }

    // The restarted program: everything is ready, the PLC asks for CLOSED LOOP, and still it waits.
    let restarted = plant.truth().time;
    let program = plant.run(&[]);
    program.said(&["PLC heartbeat is alive"]);
    program.said(&["model cB.cB is usable"]);
    plant.pass(Duration::from_secs(60));
    let truth = plant.truth();
    assert!(truth.link.x_link_ok, "the PLC hears the new program");
    assert_eq!(truth.link.i_mode_req, 2, "the PLC asks for CLOSED LOOP");
    assert_eq!(truth.app.i_mode, 1, "ADVISORY is announced");
    let seen = plant.watch.since(restarted);
    let running = seen.iter().skip_while(|s| s.heartbeat == seen[0].heartbeat).count();
    assert!(running > 100, "the new program was seen for {running} scans");
    assert!(seen.iter().skip_while(|s| s.heartbeat == seen[0].heartbeat).all(|s| s.mode == 1 && !s.closed));
    println!(
        "restarted: ADVISORY for {:?} of process time while the PLC asked for CLOSED LOOP",
        truth.time - restarted
    );

    // And it was really ready: the operator's switch closes the loop.
    plant.switch(false);
    plant.pass(Duration::from_secs(10));
    plant.switch(true);
    program.said(&["mode ADVISORY -> CLOSED LOOP"]);
}
