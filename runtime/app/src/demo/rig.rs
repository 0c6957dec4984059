//! Why: `flyball rig`: the simulated plant alone, on fixed ports, to try a configuration against as if it were a PLC.

use std::net::SocketAddr;

use flyball_core::ports::Clock;
use flyball_rig::servers::{RigOptions, RigPlc};

use crate::cli::Rig;
use crate::clock::SystemClock;
use crate::demo::r101::LOOK;
use crate::logging::{self, LogForm};
use crate::signals::Stop;

/// Runs the rig until it is told to end. 0: ended as asked; 2: it could not start.
#[must_use]
pub fn run(arguments: &Rig, stop: &Stop) -> u8 {
    match serve(arguments, stop) {
        Ok(()) => 0,
        Err(sentence) => {
            eprintln!("flyball rig: {sentence}");
            2
        }
    }
}

fn serve(arguments: &Rig, stop: &Stop) -> Result<(), String> {
    logging::to_stderr(LogForm::Text)?;
    let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let rig = RigPlc::start(RigOptions {
        time_scale: arguments.time_scale,
        opcua_port: arguments.ports,
        modbus: local(arguments.ports + 100),
        analyser: local(arguments.ports.saturating_sub(48_401).saturating_add(15_020)),
        ..RigOptions::new(&arguments.password, arguments.pki.clone())
    })?;
    println!("simulated PLC of R-101, {} s of process time per second", arguments.time_scale);
    println!("OPC UA      {} user apc_r101 password {}", rig.opcua_url(), arguments.password);
    println!("Modbus      {} unit 1 (the same signals)", rig.modbus());
    println!("AI-101      {} unit 1 (chromatograph)", rig.analyser());
    println!("certificate folder {}", arguments.pki.display());
    println!("the operator switches APC on after {} s of process time; Ctrl-C ends the rig", arguments.enable_after);
    let mut left = u64::from(arguments.enable_after) * 1_000_000_000;
    let clock = SystemClock::start(arguments.time_scale);
    while !stop.asked() {
        if clock.now().0 >= left {
            left = u64::MAX;
            rig.with_plc(|plc| plc.panel.enable = true);
            println!("the operator has switched APC on");
        }
        clock.wait_until(clock.now().after(LOOK * arguments.time_scale));
    }
    rig.stop_servers();
    rig.shutdown();
    Ok(())
}
