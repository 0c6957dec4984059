//! A controller made by hand, for tests only: heartbeat, mode and sequence numbers as the runtime writes them, and setpoints that go to a
//! stated target by the configured moves. It knows no model: it shows what the PLC and the plant do.

use std::time::Duration;

use crate::device::Device as _;
use crate::panel::MvName;
use crate::plc::SimPlc;
use crate::signals::{PlcValue, Signal};

/// Moves of R-101 in one optimiser period, up and down, by MV.
pub const MOVES: [(f64, f64); 2] = [(2.0, 4.0), (0.2, 0.5)];
/// Optimiser period.
pub const PERIOD: Duration = Duration::from_secs(30);

/// The hand-made controller.
pub struct Hand {
    /// Where each MV is to go, EU.
    pub targets: [f64; 2],
    /// The heartbeat and everything else stops when false.
    pub alive: bool,
    heartbeat: u16,
    sequences: [u16; 2],
    in_control: [bool; 2],
    setpoints: [f64; 2],
}

impl Hand {
    /// Goes to these targets as soon as the PLC gives control.
    pub fn to(targets: [f64; 2]) -> Self {
        Self { targets, alive: true, heartbeat: 0, sequences: [0; 2], in_control: [false; 2], setpoints: [0.0; 2] }
    }

    /// Call after every scan of the PLC; acts once a second of process time.
    pub fn act(&mut self, plc: &mut SimPlc) {
        let ms = plc.time().as_millis();
        if !self.alive || !ms.is_multiple_of(1_000) {
            return;
        }
        let move_now = ms.is_multiple_of(PERIOD.as_millis());
        for mv in MvName::ALL {
            let i = mv.index();
            let rows = mv.rows();
            let control = plc.value(rows.in_control) == PlcValue::Bool(true);
            if control && !self.in_control[i] {
                self.setpoints[i] = plc.value(rows.sp_act).number();
            } else if control && move_now {
                let (up, down) = MOVES[i];
                self.setpoints[i] += (self.targets[i] - self.setpoints[i]).clamp(-down, up);
            }
            self.in_control[i] = control;
            if control {
                self.sequences[i] = self.sequences[i].wrapping_add(1);
                plc.write_row(rows.sp, PlcValue::Real(self.setpoints[i] as f32));
                plc.write_row(rows.valid, PlcValue::Bool(true));
                plc.write_row(rows.seq, PlcValue::UInt(self.sequences[i]));
            }
        }
        self.heartbeat = self.heartbeat.wrapping_add(1);
        plc.write(Signal::AppMode, PlcValue::Int(2));
        plc.write(Signal::AppHb, PlcValue::UInt(self.heartbeat));
    }
}
