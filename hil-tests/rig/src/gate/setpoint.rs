//! FB_ApcSp: takes or refuses one MV's recommendation, limits its rate, hands back bumplessly.
//!
//! A port of the structured text block, statement by statement, in REAL (f32) and UINT (u16) as a PLC computes. Where the two
//! differ the structured text is right and this file is wrong.

use super::timer::Ton;

/// Values of `iReject`.
pub mod reject {
    /// Accepted.
    pub const OK: i16 = 0;
    /// NaN or infinite.
    pub const NOT_FINITE: i16 = 1;
    /// The runtime says "do not use".
    pub const NOT_VALID: i16 = 2;
    /// Outside the engineering limits.
    pub const ENGINEERING_LIMIT: i16 = 3;
    /// Further than `rMaxJump` from the active setpoint.
    pub const JUMP: i16 = 4;
    /// Limits or rates make no sense.
    pub const LIMITS: i16 = 5;
}

/// VAR_INPUT of FB_ApcSp that are settings, in the MV's engineering unit (EU).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpSettings {
    /// `rEngLo`: engineering limit, low.
    pub r_eng_lo: f32,
    /// `rEngHi`: engineering limit, high.
    pub r_eng_hi: f32,
    /// `rRateUp`, EU per second, > 0.
    pub r_rate_up: f32,
    /// `rRateDn`, EU per second, > 0.
    pub r_rate_dn: f32,
    /// `rMaxJump`: a value further than this from the active setpoint is refused, EU.
    pub r_max_jump: f32,
    /// `tDataTimeout`, ms: no accepted value for this long sheds the MV.
    pub data_timeout_ms: u32,
    /// `xShedToFb`: FALSE holds the last setpoint, TRUE ramps to `r_sp_fallback`.
    pub x_shed_to_fb: bool,
    /// `rSpFallback`, EU.
    pub r_sp_fallback: f32,
}

/// VAR_INPUT of FB_ApcSp that change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpInputs {
    /// `xClosedLoop` of FB_ApcLink.
    pub x_closed_loop: bool,
    /// `xMvEnable`: operator, this MV on or off.
    pub x_mv_enable: bool,
    /// `xLoopReady`: slave controller in AUTO, PV good.
    pub x_loop_ready: bool,
    /// `rSpApp`: recommended setpoint, written by the runtime.
    pub r_sp_app: f32,
    /// `uiSeqApp`: +1 with every new value, written after it.
    pub ui_seq_app: u16,
    /// `xValidApp`: the runtime says the value may be used.
    pub x_valid_app: bool,
    /// `rOpLo`: operator limit, low.
    pub r_op_lo: f32,
    /// `rOpHi`: operator limit, high.
    pub r_op_hi: f32,
}

/// FUNCTION_BLOCK FB_ApcSp.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ApcSp {
    /// `rSpOut`: to the slave controller, and the read-back for the runtime.
    pub r_sp_out: f32,
    /// `xInControl`: the runtime may move only when this is TRUE.
    pub x_in_control: bool,
    /// `uiSeqAck`: last accepted sequence number.
    pub ui_seq_ack: u16,
    /// `iReject`: why the newest value was refused.
    pub i_reject: i16,
    /// `xLimHi`: target clamped at the high limit.
    pub x_lim_hi: bool,
    /// `xLimLo`: target clamped at the low limit.
    pub x_lim_lo: bool,
    /// `rTarget`: where `rSpOut` is ramping to.
    pub r_target: f32,
    /// `uiSeqLast`: newest sequence number looked at.
    pub ui_seq_last: u16,
    /// `tonData`.
    pub ton_data: Ton,
    /// `xInCtlOld`.
    pub x_in_ctl_old: bool,
    /// `xRampFb`: ramping to the fallback.
    pub x_ramp_fb: bool,
    /// `rLocalOld`.
    pub r_local_old: f32,
    /// `xAccepted`: a value was accepted in the scan before.
    pub x_accepted: bool,
}

/// LIMIT(MN, IN, MX) of IEC 61131-3.
fn limit(mn: f32, value: f32, mx: f32) -> f32 {
    value.max(mn).min(mx)
}

impl ApcSp {
    /// One scan; `r_sp_local` is the VAR_IN_OUT `rSpLocal`, the operator's setpoint. Bounded, no clock.
    #[allow(
        clippy::float_cmp,
        reason = "the block asks whether somebody wrote the setpoint, and whether LIMIT has arrived: both are exact"
    )]
    pub fn scan(&mut self, input: &SpInputs, settings: &SpSettings, r_sp_local: &mut f32, scan_ms: u32) {
        let r_dt = scan_ms as f32 / 1_000.0;

        // 1. effective limits: the tighter of operator and engineering
        let r_lo = settings.r_eng_lo.max(input.r_op_lo);
        let r_hi = settings.r_eng_hi.min(input.r_op_hi);
        let x_limits_ok = r_lo <= r_hi && settings.r_rate_up > 0.0 && settings.r_rate_dn > 0.0;

        // 2. is the loop allowed to follow the runtime?
        let x_want = input.x_closed_loop && input.x_mv_enable && input.x_loop_ready && x_limits_ok;
        self.ton_data.call(x_want && !self.x_accepted, settings.data_timeout_ms, scan_ms);
        self.x_in_control = x_want && !self.ton_data.q;
        if !x_limits_ok {
            self.i_reject = reject::LIMITS;
        }

        // 3. bumpless entry: start from the active setpoint
        if self.x_in_control && !self.x_in_ctl_old {
            self.r_sp_out = *r_sp_local;
            self.r_target = *r_sp_local;
            self.x_ramp_fb = false;
            self.ui_seq_last = input.ui_seq_app; // values written before the loop was closed are ignored
        }

        // 4. accept a new recommendation; a rejected value does not restart the timer
        self.x_accepted = false;
        if input.ui_seq_app != self.ui_seq_last {
            self.ui_seq_last = input.ui_seq_app;
            self.judge(input, settings, r_lo, r_hi);
        }

        // 5. move or track
        if self.x_in_control {
            // The operator may have moved a limit.
            self.r_target = limit(r_lo, self.r_target, r_hi);
            let lowest = self.r_sp_out - settings.r_rate_dn * r_dt;
            let highest = self.r_sp_out + settings.r_rate_up * r_dt;
            self.r_sp_out = limit(lowest, self.r_target, highest);
            *r_sp_local = self.r_sp_out; // the local setpoint follows: shedding is bumpless
        } else {
            if self.x_in_ctl_old && settings.x_shed_to_fb {
                self.x_ramp_fb = true;
            }
            if self.x_ramp_fb && *r_sp_local != self.r_local_old {
                self.x_ramp_fb = false; // the operator took over
            }
            if self.x_ramp_fb {
                let lowest = *r_sp_local - settings.r_rate_dn * r_dt;
                let highest = *r_sp_local + settings.r_rate_up * r_dt;
                *r_sp_local = limit(lowest, settings.r_sp_fallback, highest);
                if *r_sp_local == settings.r_sp_fallback {
                    self.x_ramp_fb = false;
                }
            }
            self.r_sp_out = *r_sp_local;
            self.r_target = *r_sp_local;
        }
        self.r_local_old = *r_sp_local;
        self.x_in_ctl_old = self.x_in_control;
        self.x_lim_hi = self.x_in_control && self.r_target >= r_hi;
        self.x_lim_lo = self.x_in_control && self.r_target <= r_lo;
    }

    /// The IF chain of step 4. The order decides which reason is shown.
    fn judge(&mut self, input: &SpInputs, settings: &SpSettings, r_lo: f32, r_hi: f32) {
        let finite = input.r_sp_app > -1.0e30 && input.r_sp_app < 1.0e30; // comparisons with NaN are FALSE
        self.i_reject = if !finite {
            reject::NOT_FINITE
        } else if !input.x_valid_app {
            reject::NOT_VALID
        } else if input.r_sp_app < settings.r_eng_lo || input.r_sp_app > settings.r_eng_hi {
            reject::ENGINEERING_LIMIT
        } else if (input.r_sp_app - self.r_sp_out).abs() > settings.r_max_jump {
            reject::JUMP
        } else {
            self.x_accepted = true;
            self.ui_seq_ack = input.ui_seq_app;
            self.r_target = limit(r_lo, input.r_sp_app, r_hi);
            reject::OK
        };
    }
}
