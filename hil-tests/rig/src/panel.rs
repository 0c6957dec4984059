//! What the operator and the engineer of the PLC can set: switches, limits, setpoints, settings of the gate blocks.
//!
//! Words: *MV* is a manipulated variable, here the setpoint of FIC-101 (feed) or TIC-101 (temperature); *slave* is that controller.

use crate::gate::link::LinkSettings;
use crate::gate::setpoint::SpSettings;
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

    /// The signals of this MV.
    #[must_use]
    pub const fn signals(self) -> &'static MvSignals {
        match self {
            Self::Feed => &FEED,
            Self::Temp => &TEMP,
        }
    }
}

/// Signals of one MV.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field is the signal that its name ends with; the table in `signals` describes it")]
pub struct MvSignals {
    pub sp: Signal,
    pub seq: Signal,
    pub valid: Signal,
    pub sp_act: Signal,
    pub in_control: Signal,
    pub seq_ack: Signal,
    pub reject: Signal,
    pub lim_hi: Signal,
    pub lim_lo: Signal,
    pub lo: Signal,
    pub hi: Signal,
    pub eng_lo: Signal,
    pub eng_hi: Signal,
    pub auto: Signal,
}

const FEED: MvSignals = MvSignals {
    sp: Signal::FeedSp,
    seq: Signal::FeedSeq,
    valid: Signal::FeedValid,
    sp_act: Signal::FeedSpAct,
    in_control: Signal::FeedInControl,
    seq_ack: Signal::FeedSeqAck,
    reject: Signal::FeedReject,
    lim_hi: Signal::FeedLimHi,
    lim_lo: Signal::FeedLimLo,
    lo: Signal::FeedLo,
    hi: Signal::FeedHi,
    eng_lo: Signal::FeedEngLo,
    eng_hi: Signal::FeedEngHi,
    auto: Signal::FeedAuto,
};

const TEMP: MvSignals = MvSignals {
    sp: Signal::TempSp,
    seq: Signal::TempSeq,
    valid: Signal::TempValid,
    sp_act: Signal::TempSpAct,
    in_control: Signal::TempInControl,
    seq_ack: Signal::TempSeqAck,
    reject: Signal::TempReject,
    lim_hi: Signal::TempLimHi,
    lim_lo: Signal::TempLimLo,
    lo: Signal::TempLo,
    hi: Signal::TempHi,
    eng_lo: Signal::TempEngLo,
    eng_hi: Signal::TempEngHi,
    auto: Signal::TempAuto,
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
    /// Switched off, permitted, both slaves in AUTO at these setpoints (l/h, degC), limits as wide as the engineering limits.
    #[must_use]
    pub fn at(feed: f64, temperature: f64, gate: &GateSettings) -> Self {
        let mv = |setpoint: f64, sp: &SpSettings| MvPanel {
            in_service: true,
            slave: SlaveMode::Auto,
            manual_output: None,
            local_setpoint: setpoint as f32,
            low: sp.r_eng_lo,
            high: sp.r_eng_hi,
        };
        let mvs = [mv(feed, &gate.mvs[0]), mv(temperature, &gate.mvs[1])];
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
