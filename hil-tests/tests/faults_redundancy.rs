//! Promise: of two flyballs beside one PLC exactly one speaks; the other takes over when the first one dies, and closes nothing by itself.
//!
//! Two shipped controllers from the same file, with different instance numbers, against one simulated PLC on the virtual clock.

use std::sync::{Arc, Mutex};

use flyball::clock::VirtualClock;
use flyball_config::{Config, OutputId, Role, load_text};
use flyball_core::command::{Action, Command};
use flyball_core::controller::Controller;
use flyball_core::exchange::{Taker, exchange};
use flyball_core::executive::Executive;
use flyball_core::handshake::LeaseState;
use flyball_core::image::{InputImage, OutputImage};
use flyball_core::mode::{Blocker, Mode};
use flyball_core::ports::{FieldInput, FieldOutput};
use flyball_core::record::ScanRecord;
use flyball_core::time::ScanCycle;
use flyball_hil_tests::campaign::Row;
use flyball_hil_tests::{engines, repository};
use flyball_rig::plc::{PlcOptions, SimPlc};
use flyball_rig::virtual_rig::{VirtualOptions, VirtualRig};

/// R-101 with the two keys of the lease.
fn with_lease(instance: u32) -> Config {
    let file = repository().join("config/examples/r101.toml");
    let keys = r#"[handshake]
owner_write = 'plc1: nsu=s7;s="R101"."APC"."FromApp"."udiOwnerReq"'
owner_read  = 'plc1: nsu=s7;s="R101"."APC"."ToApp"."udiOwner"'"#;
    let text = std::fs::read_to_string(&file).expect("the example is there").replacen("[handshake]", keys, 1);
    let loaded = load_text(&file, &text);
    let config = loaded.config.unwrap_or_else(|| panic!("refused:\n{}", loaded.diagnostics.lines()));
    Config { instance, ..config }
}

/// The rig as one of two clients sees it.
struct Seat {
    rig: VirtualRig,
    command: Arc<Mutex<Option<Command>>>,
}

impl FieldInput for Seat {
    fn freeze(&mut self, cycle: &ScanCycle, image: &mut InputImage) {
        self.rig.freeze(cycle, image);
        if let Some(command) = self.command.lock().expect("not poisoned").take() {
            image.commands.push(command).expect("one at a time");
        }
    }
}

impl FieldOutput for Seat {
    fn flush(&mut self, cycle: &ScanCycle, image: &OutputImage) {
        self.rig.flush(cycle, image);
    }
}

struct Instance {
    config: Config,
    executive: Executive<Seat>,
    records: Taker<ScanRecord>,
    command: Arc<Mutex<Option<Command>>>,
    last: ScanRecord,
}

impl Instance {
    fn new(config: Config, rig: &VirtualRig, clock: &Arc<VirtualClock>) -> Self {
        let command = Arc::new(Mutex::new(None));
        let (giver, records) = exchange(4, || ScanRecord::new(&config), Arc::new(|| {}));
        let controller = Controller::new(&config, engines(&config).engines, false);
        let seat = Seat { rig: rig.clone(), command: Arc::clone(&command) };
        let executive = Executive::new(&config, controller, seat, clock.clone(), giver);
        let last = ScanRecord::new(&config);
        Self { config, executive, records, command, last }
    }

    fn scan(&mut self) -> &ScanRecord {
        self.executive.scan();
        self.last.clone_from(self.records.newest().expect("every scan leaves a record"));
        &self.last
    }

    fn ask_for_closed_loop(&self) {
        let command = Command { id: 1, role: Role::Operator, action: Action::SetMode(Mode::ClosedLoop) };
        *self.command.lock().expect("not poisoned") = Some(command);
    }

    fn cells_written(&self) -> usize {
        (0..self.config.outputs.len() as u32).filter(|i| self.last.outputs.cell(OutputId(*i)).is_some()).count()
    }

    fn closed(&self) -> bool {
        self.last.mode.actual == Mode::ClosedLoop
    }
}

/// Scans both until something holds; scans that it took. Whatever happens, they never speak both.
fn until(what: &str, most: u32, sides: &mut [&mut Instance], holds: impl Fn(&[&mut Instance]) -> bool) -> u32 {
    for scans in 1..=most {
        for side in sides.iter_mut() {
            side.scan();
        }
        let speaking = sides.iter().filter(|s| s.last.plc.lease.speaks() && s.cells_written() > 0).count();
        assert!(speaking <= 1, "{what}: both speak");
        assert!(sides.iter().filter(|s| s.closed()).count() <= 1, "{what}: two owners of the setpoint");
        if holds(sides) {
            return scans;
        }
    }
    panic!(
        "{what}: not within {most} scans; blocker {:?}",
        sides.iter().map(|s| s.last.mode.blocker).collect::<Vec<_>>()
    );
}

#[test]
fn r1_second_instance() {
    let (config, clock) = (with_lease(1_001), Arc::new(VirtualClock::new()));
    let plc = SimPlc::new(PlcOptions::default());
    let rig = VirtualRig::new(&config, plc, VirtualOptions::default()).unwrap_or_else(|e| panic!("{}", e.join("\n")));
    let mut a = Instance::new(config, &rig, &clock);

    // The first one closes the loop, as it would alone.
    until("the lease", 60, &mut [&mut a], |s| s[0].last.plc.lease == LeaseState::Ours);
    for _ in 0..120 {
        a.scan();
    }
    rig.with_plc(|plc| plc.panel.enable = true);
    until("closing", 3_000, &mut [&mut a], |s| s[0].closed());

    // A second one is started from the same file, and its operator asks. It gets nothing and disturbs nothing.
    let mut b = Instance::new(with_lease(2_002), &rig, &clock);
    b.ask_for_closed_loop();
    for _ in 0..600 {
        until("beside", 1, &mut [&mut a, &mut b], |_| true);
        assert!(a.closed(), "the owner is not disturbed: {:?}", a.last.mode.shed);
        assert_eq!(b.cells_written(), 0, "no heartbeat, no mode, no request");
        assert_eq!(b.last.plc.lease, LeaseState::Other(1_001));
    }
    assert_eq!(b.last.mode.blocker, Blocker::NoLease);

    // The first one dies: the PLC sheds, latches, and gives the lease to the second one, which stays in ADVISORY.
    let taken = until("taking over", 60, &mut [&mut b], |s| s[0].last.plc.lease == LeaseState::Ours);
    rig.with_plc(|plc| assert!(plc.truth().latched && !plc.truth().link.x_closed_loop, "the gate is open"));
    for _ in 0..300 {
        until("waiting", 1, &mut [&mut b], |_| true);
        assert!(!b.closed(), "nobody asked since the PLC shed");
    }

    // The first one comes back as if it had only slept: it finds the lease gone, leaves CLOSED LOOP and says nothing.
    a.scan();
    assert_eq!((a.closed(), a.last.plc.lease), (false, LeaseState::Other(2_002)));
    assert!(a.last.mode.shed.is_some());
    rig.with_plc(|plc| plc.panel.enable = false);
    for _ in 0..30 {
        until("off", 1, &mut [&mut a, &mut b], |_| true);
    }
    rig.with_plc(|plc| plc.panel.enable = true);
    until("closing again", 1_000, &mut [&mut a, &mut b], |s| s[1].closed());
    assert_eq!(a.cells_written(), 0);

    Row {
        id: "R1",
        fault: "second instance started on the same PLC",
        expected: "does not get the lease, writes nothing; takes over when the first one dies, closes only when asked",
        observed: format!(
            "600 scans beside the owner: 0 cells written, loop stays closed; lease taken {taken} s after the owner's last scan; 300 s in ADVISORY until \
             the operator switched; the first one, back, sheds in its first scan"
        ),
    }
    .lay();
}
