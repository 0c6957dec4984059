//! One MV in the PLC: its FB_ApcSp with the signals around it, and what a score wants to know of the first offer.

use std::time::Duration;

use super::memory::Memory;
use super::types::{FirstOffer, MvTruth};
use crate::gate::setpoint::{ApcSp, SpInputs, SpSettings};
use crate::panel::MvPanel;
use crate::r101::loops::SlaveMode;
use crate::signals::PlcValue;

/// Rows of the signals of one MV.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "each field is the signal that its name ends with; the table of signals describes it")]
pub struct MvRows {
    pub sp: usize,
    pub seq: usize,
    pub valid: usize,
    pub sp_act: usize,
    pub in_control: usize,
    pub seq_ack: usize,
    pub reject: usize,
    pub lim_hi: usize,
    pub lim_lo: usize,
    pub lo: usize,
    pub hi: usize,
    pub eng_lo: usize,
    pub eng_hi: usize,
    pub auto: usize,
}

/// The gate of one MV.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Slot {
    /// FB_ApcSp.
    pub gate: ApcSp,
    sequence_seen: u16,
    in_control: bool,
    first_offer: Option<FirstOffer>,
    offers: u32,
}

impl Slot {
    /// One scan of `scan_ms`: reads the offer, runs the block, moves the operator's setpoint in `panel`, publishes.
    pub fn scan(
        &mut self,
        memory: &mut Memory,
        rows: &MvRows,
        panel: &mut MvPanel,
        settings: &SpSettings,
        closed_loop: bool,
        (now, scan_ms): (Duration, u32),
    ) {
        let sequence = memory.number(rows.seq) as u16;
        let offered = memory.number(rows.sp) as f32;
        let inputs = SpInputs {
            x_closed_loop: closed_loop,
            x_mv_enable: panel.in_service,
            x_loop_ready: panel.slave == SlaveMode::Auto,
            r_sp_app: offered,
            ui_seq_app: sequence,
            x_valid_app: memory.number(rows.valid) > 0.0,
            r_op_lo: panel.low,
            r_op_hi: panel.high,
        };
        let active = self.gate.r_sp_out;
        self.gate.scan(&inputs, settings, &mut panel.local_setpoint, scan_ms);
        let gate = self.gate;
        if gate.x_in_control && !self.in_control {
            self.first_offer = None;
        } else if sequence != self.sequence_seen && gate.x_in_control {
            self.offers += 1;
            self.first_offer = self.first_offer.or(Some(FirstOffer { offered, active }));
        }
        self.sequence_seen = sequence;
        self.in_control = gate.x_in_control;
        for (row, value) in [
            (rows.sp_act, PlcValue::Real(gate.r_sp_out)),
            (rows.in_control, PlcValue::Bool(gate.x_in_control)),
            (rows.seq_ack, PlcValue::UInt(gate.ui_seq_ack)),
            (rows.reject, PlcValue::Int(gate.i_reject)),
            (rows.lim_hi, PlcValue::Bool(gate.x_lim_hi)),
            (rows.lim_lo, PlcValue::Bool(gate.x_lim_lo)),
            (rows.lo, PlcValue::Real(panel.low)),
            (rows.hi, PlcValue::Real(panel.high)),
            (rows.eng_lo, PlcValue::Real(settings.r_eng_lo)),
            (rows.eng_hi, PlcValue::Real(settings.r_eng_hi)),
            (rows.auto, PlcValue::Bool(panel.slave == SlaveMode::Auto)),
        ] {
            memory.publish(row, value, now);
        }
    }

    /// Truth about it; `local` is the operator's setpoint, EU.
    #[must_use]
    pub fn truth(&self, local: f32) -> MvTruth {
        MvTruth { gate: self.gate, local, first_offer: self.first_offer, offers: self.offers }
    }
}
