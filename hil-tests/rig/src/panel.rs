//! What the operator and the engineer of the PLC can set: switches, limits, setpoints, settings of the gate blocks.
//!
//! Words: *MV* is a manipulated variable, here the setpoint of FIC-101 (feed) or TIC-101 (temperature); *slave* is that controller.

use crate::gate::link::LinkSettings;
use crate::gate::setpoint::SpSettings;
use crate::plc::slot::MvRows;
use crate::r101::loops::SlaveMode;
use crate::signals::Signal;

/// The two MVs of R-101.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MvName {
    /// FIC-101.SP, l/h.
    Feed,
    /// TIC-101.SP, degC.
    Temp,
}

impl MvName {
    /// Both, in the order of every array by MV.
    pub const ALL: [Self; 2] = [Self::Feed, Self::Temp];

    /// Position in arrays by MV.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The rows of this MV's signals.
    #[must_use]
    pub const fn rows(self) -> &'static MvRows {
        match self {
            Self::Feed => &FEED,
            Self::Temp => &TEMP,
        }
    }
}

const FEED: MvRows = MvRows {
    sp: Signal::FeedSp as usize,
    seq: Signal::FeedSeq as usize,
    valid: Signal::FeedValid as usize,
    sp_act: Signal::FeedSpAct as usize,
    in_control: Signal::FeedInControl as usize,
    seq_ack: Signal::FeedSeqAck as usize,
    reject: Signal::FeedReject as usize,
    lim_hi: Signal::FeedLimHi as usize,
    lim_lo: Signal::FeedLimLo as usize,
    lo: Signal::FeedLo as usize,
    hi: Signal::FeedHi as usize,
    eng_lo: Signal::FeedEngLo as usize,
    eng_hi: Signal::FeedEngHi as usize,
    auto: Signal::FeedAuto as usize,
};

const TEMP: MvRows = MvRows {
    sp: Signal::TempSp as usize,
    seq: Signal::TempSeq as usize,
    valid: Signal::TempValid as usize,
    sp_act: Signal::TempSpAct as usize,
    in_control: Signal::TempInControl as usize,
    seq_ack: Signal::TempSeqAck as usize,
    reject: Signal::TempReject as usize,
    lim_hi: Signal::TempLimHi as usize,
    lim_lo: Signal::TempLimLo as usize,
    lo: Signal::TempLo as usize,
    hi: Signal::TempHi as usize,
    eng_lo: Signal::TempEngLo as usize,
    eng_hi: Signal::TempEngHi as usize,
    auto: Signal::TempAuto as usize,
};

/// The operator's side of one MV. Retained over a power cycle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MvPanel {
    /// This MV may be moved by the runtime.
    pub in_service: bool,
    /// Mode of the slave.
    pub slave: SlaveMode,
    /// Output in MANUAL (l/h or kJ/h); None keeps the output that the slave had.
    pub manual_output: Option<f64>,
    /// The operator's setpoint, EU. While the runtime is in control the PLC writes it.
    pub local_setpoint: f32,
    /// Operator limit, low, EU.
    pub low: f32,
    /// Operator limit, high, EU.
    pub high: f32,
}

/// The operator panel. Retained over a power cycle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Panel {
    /// Switch "APC ON" (`xOperEnable`).
    pub enable: bool,
    /// Interlocks permit (`xPermit`).
    pub permit: bool,
    /// Signature approved under management of change (`udiSigOk`), 0 = no check.
    pub approved_signature: u32,
    /// By MV.
    pub mvs: [MvPanel; 2],
}

impl Panel {
    /// Switched off, permitted, both slaves in AUTO at these setpoints (EU), limits as wide as the engineering limits.
    #[must_use]
    pub fn at(first: f64, second: f64, gate: &GateSettings) -> Self {
        let mv = |setpoint: f64, sp: &SpSettings| MvPanel {
            in_service: true,
            slave: SlaveMode::Auto,
            manual_output: None,
            local_setpoint: setpoint as f32,
            low: sp.r_eng_lo,
            high: sp.r_eng_hi,
        };
        let mvs = [mv(first, &gate.mvs[0]), mv(second, &gate.mvs[1])];
        Self { enable: false, permit: true, approved_signature: 0, mvs }
    }

    /// One MV.
    pub fn mv(&mut self, mv: MvName) -> &mut MvPanel {
        &mut self.mvs[mv.index()]
    }
}

/// The engineer's settings of the gate blocks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateSettings {
    /// FB_ApcLink.
    pub link: LinkSettings,
    /// FB_ApcSp by MV.
    pub mvs: [SpSettings; 2],
}

impl Default for GateSettings {
    /// engineering limits 80-200 l/h and 105-120 degC, ramps 1 l/h and 0.1 degC per s, jumps 10 l/h and 2 degC.
    ///
    /// The PLC ramps are faster than the runtime's moves (2 l/h and 0.2 degC in 30 s): they are the net below, not the plan.
    fn default() -> Self {
        let sp = |low, high, rate, jump| SpSettings {
            r_eng_lo: low,
            r_eng_hi: high,
            r_rate_up: rate,
            r_rate_dn: rate,
            r_max_jump: jump,
            data_timeout_ms: 60_000,
            x_shed_to_fb: false,
            r_sp_fallback: low,
        };
        Self {
            link: LinkSettings { hb_timeout_ms: 10_000, healthy_ms: 10_000, x_return: false },
            mvs: [sp(80.0, 200.0, 1.0, 10.0), sp(105.0, 120.0, 0.1, 2.0)],
        }
    }
}
