//! The rig on real loopback sockets: Modbus by hand-made frames, OPC UA by the project's own link with Basic256Sha256 and password.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flyball_config::{Config, Protocol};
use flyball_core::image::LinkState;
use flyball_core::link::{LinkDoor, LinkPlan, link_pair};
use flyball_core::ports::Clock;
use flyball_core::time::Timestamp;
use flyball_core::value::Value;
use flyball_opcua::{ClientIdentity, doorbell};

use crate::gc;
use crate::plc::WriteFault;
use crate::servers::{PLC_UNIT, RigOptions, RigPlc};
use crate::signals::{PlcValue, Signal};
use crate::wire_test::{read_holding, write_holding};

/// No test here asserts a maximum duration; this only ends a hang with a message.
const PATIENCE: Duration = Duration::from_secs(120);

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}: not seen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn start(folder: &tempfile::TempDir, time_scale: u32) -> RigPlc {
    RigPlc::start(RigOptions { time_scale, ..RigOptions::new("secret-101", folder.path().join("server")) })
        .expect("starts")
}

#[test]
fn modbus_blocks_and_the_analyser() {
    let folder = tempfile::tempdir().expect("folder");
    let rig = start(&folder, 20);
    let words = read_holding(rig.modbus(), PLC_UNIT, 100, 52);
    let real = |w: &[u16]| f32::from_bits((u32::from(w[0]) << 16) | u32::from(w[1]));
    assert!((real(&words[38..]) - 140.0).abs() < 2.0, "FI-101: {}", real(&words[38..]));
    eventually("PLC heartbeat", || read_holding(rig.modbus(), PLC_UNIT, 100, 1)[0] != words[0]);

    // One frame: status, mode, setpoint with both registers, heartbeat last.
    let bits = 141.5f32.to_bits();
    let mut block = vec![0u16; 14];
    (block[1], block[3], block[6], block[7], block[11], block[13]) = (1, 1, (bits >> 16) as u16, bits as u16, 5, 77);
    assert_eq!(write_holding(rig.modbus(), PLC_UNIT, 0, &block), None);
    assert_eq!(rig.with_plc(|p| p.read(Signal::FeedSp)), PlcValue::Real(141.5));
    assert_eq!(rig.with_plc(|p| p.read(Signal::AppHb)), PlcValue::UInt(77));
    assert_eq!(read_holding(rig.modbus(), PLC_UNIT, 6, 2), block[6..8]);
    // One register of a setpoint changes only that half.
    assert_eq!(write_holding(rig.modbus(), PLC_UNIT, 7, &[0]), None);
    assert_eq!(rig.with_plc(|p| p.read(Signal::FeedSp)), PlcValue::Real(f32::from_bits(bits & 0xFFFF_0000)));

    assert_eq!(write_holding(rig.modbus(), PLC_UNIT, 106, &[1, 2]), Some(2), "read-only");
    assert_eq!(write_holding(rig.modbus(), PLC_UNIT, 15, &[1, 2]), Some(2), "behind the write area");
    rig.with_plc(|p| p.set_write_fault(Signal::AppMode, Some(WriteFault::Refuse)));
    assert_eq!(write_holding(rig.modbus(), PLC_UNIT, 1, &[2]), Some(2));

    let gc = read_holding(rig.analyser(), gc::UNIT, 100, 10);
    let result = f32::from_bits((u32::from(gc[1]) << 16) | u32::from(gc[0]));
    assert!((result - 1.09).abs() < 0.02, "{result}");
    assert_eq!(gc[9], 1 << gc::VALID_BIT);
    assert_eq!(write_holding(rig.analyser(), gc::UNIT, 100, &[1]), Some(2));
    rig.shutdown();
}

#[test]
fn the_plant_keeps_its_scale() {
    let folder = tempfile::tempdir().expect("folder");
    let rig = start(&folder, 50);
    let (before, at) = (rig.truth().time, Instant::now());
    eventually("plant time passes", || rig.truth().time >= before + Duration::from_secs(20));
    let real = at.elapsed();
    assert!(real >= Duration::from_millis(390), "20 s of process at scale 50 cannot take {real:?}");
}

struct Wall(Instant);

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.elapsed().as_nanos() as u64)
    }

    fn wait_until(&self, at: Timestamp) {
        std::thread::sleep(at.since(self.now()));
    }
}

struct Link {
    door: LinkDoor,
    stop: Arc<AtomicBool>,
    clock: Arc<Wall>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("link ends");
        }
    }
}

fn link(config: &Config, rig: &RigPlc, password: &str) -> Link {
    let plan = LinkPlan::all(config).swap_remove(0);
    let (bell, ring) = doorbell();
    let stop = Arc::new(AtomicBool::new(false));
    let clock = Arc::new(Wall(Instant::now()));
    let (seat, door) = link_pair(plan, ring, Arc::clone(&stop), Arc::clone(&clock) as Arc<_>, rig.utc(), 1);
    let identity = ClientIdentity {
        application: "rig-test".into(),
        application_uri: "urn:flyball:rig-test".into(),
        password: Some(password.into()),
        trust_server: true,
    };
    let thread = Some(std::thread::spawn(move || flyball_opcua::run(seat, bell, identity)));
    Link { door, stop, clock, thread }
}

fn config(rig: &RigPlc, folder: &tempfile::TempDir) -> Config {
    let mut config = crate::virtual_rig::tests::config();
    let Protocol::OpcUa(opcua) = &mut config.connections[0].protocol else { panic!("plc1 is OPC UA") };
    opcua.endpoint = rig.opcua_url().to_owned();
    opcua.pki = folder.path().join("client");
    config
}

#[test]
fn opcua_reads_writes_and_survives_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let mut rig = start(&folder, 1);
    let config = config(&rig, &folder);
    let mut link = link(&config, &rig, "secret-101");
    let mut state = LinkState::Starting;
    let mut all_good = false;
    let mut look = |link: &mut Link| {
        if let Some(image) = link.door.images.newest() {
            state = image.state;
            all_good = image.samples.iter().all(|s| s.status.is_good());
        }
        (state, all_good)
    };
    eventually("every tag of the configuration is read, Good", || look(&mut link) == (LinkState::Up, true));

    let heartbeat = config.handshake.as_ref().expect("handshake").heartbeat_out;
    let at = link.door.writes.iter().position(|o| *o == heartbeat).expect("written here");
    let mut number = 0u16;
    let mut beat = |link: &mut Link, rig: &RigPlc| {
        number += 1;
        let not_after = link.clock.now().after(Duration::from_secs(1));
        link.door.batches.give(|batch| {
            batch.cycle = u64::from(number);
            batch.not_after = not_after;
            batch.cells.fill(None);
            batch.cells[at] = Value::new(f64::from(number));
        });
        std::thread::sleep(Duration::from_millis(50));
        rig.with_plc(|p| p.read(Signal::AppHb)) == PlcValue::UInt(number)
    };
    eventually("heartbeat arrives", || beat(&mut link, &rig));

    let port = rig.opcua_port();
    rig.stop_servers();
    eventually("link goes down", || look(&mut link).0 == LinkState::Down);
    rig.start_servers().expect("same port");
    assert_eq!(rig.opcua_port(), port);
    eventually("link comes back", || look(&mut link) == (LinkState::Up, true));
    eventually("heartbeat arrives again", || beat(&mut link, &rig));
}

#[test]
fn a_wrong_password_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let rig = start(&folder, 1);
    let config = config(&rig, &folder);
    let mut link = link(&config, &rig, "guess");
    eventually("refused", || link.door.images.newest().is_some_and(|i| i.state == LinkState::Refused));
}

#[test]
fn a_used_port_is_said_in_words() {
    let folder = tempfile::tempdir().expect("folder");
    let rig = start(&folder, 1);
    let options = RigOptions { modbus: rig.modbus(), ..RigOptions::new("x", folder.path().join("second")) };
    let Err(said) = RigPlc::start(options) else { panic!("two servers on one port") };
    assert!(said.contains(&rig.modbus().to_string()) && said.contains("choose another"), "{said}");
}
