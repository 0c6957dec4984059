//! FB_ApcLink: watches the application's heartbeat and decides whether recommendations are used at all.
//!
//! A port of the structured text block, statement by statement: same names, same types (UINT wraps, TIME in ms), same order. Where
//! the two differ the structured text is right and this file is wrong.

use super::timer::Ton;

/// APC_LINK_FROM_APP: written only by the runtime.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ApcLinkFromApp {
    /// `uiHb`: heartbeat, +1 every runtime cycle, wraps.
    pub ui_hb: u16,
    /// `uiHbEcho`: the last PLC heartbeat that the runtime has read.
    pub ui_hb_echo: u16,
    /// `iMode`: actual mode, 0 OFF, 1 ADVISORY, 2 CLOSED LOOP.
    pub i_mode: i16,
    /// `wStatus`: status bits.
    pub w_status: u16,
    /// `udiSig`: signature of the active configuration and models.
    pub udi_sig: u32,
}

/// APC_LINK_TO_APP: read only for the runtime.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ApcLinkToApp {
    /// `uiHb`: PLC heartbeat, +1 per second.
    pub ui_hb: u16,
    /// `iModeReq`: the mode that PLC and operator ask for.
    pub i_mode_req: i16,
    /// `xClosedLoop`: recommendations are used.
    pub x_closed_loop: bool,
    /// `xLinkOk`: the runtime's heartbeat is alive.
    pub x_link_ok: bool,
    /// `iShedReason`: see `shed`.
    pub i_shed_reason: i16,
    /// `uiShedCount`: sheds without the operator.
    pub ui_shed_count: u16,
}

/// Values of `iShedReason`.
pub mod shed {
    /// Not shed.
    pub const NONE: i16 = 0;
    /// Heartbeat of the application lost.
    pub const HEARTBEAT: i16 = 1;
    /// The application left CLOSED LOOP.
    pub const APP_MODE: i16 = 2;
    /// Permit (interlocks) lost.
    pub const PERMIT: i16 = 3;
    /// Signature differs from the approved one.
    pub const SIGNATURE: i16 = 4;
    /// The operator switched off.
    pub const OPERATOR: i16 = 5;

    /// A shed reason in words.
    #[must_use]
    pub const fn text(reason: i16) -> &'static str {
        match reason {
            NONE => "none",
            HEARTBEAT => "application heartbeat lost",
            APP_MODE => "application left CLOSED LOOP",
            PERMIT => "permit lost",
            SIGNATURE => "signature not approved",
            OPERATOR => "operator switched off",
            _ => "unknown",
        }
    }
}

/// VAR_INPUT of FB_ApcLink that are settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkSettings {
    /// `tHbTimeout`, ms.
    pub hb_timeout_ms: u32,
    /// `tHealthy`, ms: the link must be good this long before the loop closes.
    pub healthy_ms: u32,
    /// `xReturn`: TRUE sheds with return, FALSE waits for the operator.
    pub x_return: bool,
}

impl Default for LinkSettings {
    /// The defaults of the structured text.
    fn default() -> Self {
        Self { hb_timeout_ms: 5_000, healthy_ms: 10_000, x_return: false }
    }
}

/// VAR_INPUT of FB_ApcLink that change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkInputs {
    /// `stApp`.
    pub app: ApcLinkFromApp,
    /// `xOperEnable`: operator switch.
    pub x_oper_enable: bool,
    /// `xPermit`: interlocks.
    pub x_permit: bool,
    /// `udiSigOk`: approved signature, 0 = no check.
    pub udi_sig_ok: u32,
}

/// FUNCTION_BLOCK FB_ApcLink.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ApcLink {
    /// `stPlc`: VAR_OUTPUT.
    pub plc: ApcLinkToApp,
    /// `uiHbLast`: heartbeat of the scan before.
    pub ui_hb_last: u16,
    /// `uiHbSeen`: changes seen, saturates at 3.
    pub ui_hb_seen: u8,
    ton_hb: Ton,
    ton_healthy: Ton,
    ton_sec: Ton,
    x_latched: bool,
    x_enable_old: bool,
}

impl ApcLink {
    /// One scan. Bounded, no clock: `scan_ms` is the task's cycle.
    pub fn scan(&mut self, input: &LinkInputs, settings: &LinkSettings, scan_ms: u32) {
        // 1. own heartbeat, 1 Hz
        let restart = !self.ton_sec.q;
        self.ton_sec.call(restart, 1_000, scan_ms);
        if self.ton_sec.q {
            self.plc.ui_hb = self.plc.ui_hb.wrapping_add(1);
        }

        // 2. watch the runtime heartbeat: a counter, not a toggling bit
        let x_hb_changed = input.app.ui_hb != self.ui_hb_last;
        self.ui_hb_last = input.app.ui_hb;
        if x_hb_changed && self.ui_hb_seen < 3 {
            self.ui_hb_seen += 1;
        }
        self.ton_hb.call(!x_hb_changed, settings.hb_timeout_ms, scan_ms);
        if self.ton_hb.q {
            self.ui_hb_seen = 0;
        }
        self.plc.x_link_ok = self.ui_hb_seen >= 3 && !self.ton_hb.q;
        self.ton_healthy.call(self.plc.x_link_ok, settings.healthy_ms, scan_ms);

        // 3. readiness and first reason
        let x_sig_ok = input.udi_sig_ok == 0 || input.app.udi_sig == input.udi_sig_ok;
        let i_reason = if !input.x_oper_enable {
            shed::OPERATOR
        } else if !input.x_permit {
            shed::PERMIT
        } else if !self.plc.x_link_ok {
            shed::HEARTBEAT
        } else if !x_sig_ok {
            shed::SIGNATURE
        } else if input.app.i_mode < 2 {
            shed::APP_MODE
        } else {
            shed::NONE
        };
        let x_ready = i_reason == shed::NONE && self.ton_healthy.q;

        // 4. operator re-enable (rising edge) clears the latch
        if input.x_oper_enable && !self.x_enable_old {
            self.x_latched = false;
            self.plc.i_shed_reason = shed::NONE;
        }
        self.x_enable_old = input.x_oper_enable;

        // 5. close the loop or shed
        if self.plc.x_closed_loop {
            if i_reason != shed::NONE {
                self.plc.x_closed_loop = false;
                self.plc.i_shed_reason = i_reason;
                if i_reason != shed::OPERATOR {
                    self.plc.ui_shed_count = self.plc.ui_shed_count.wrapping_add(1);
                    self.x_latched = !settings.x_return;
                }
            }
        } else {
            self.plc.x_closed_loop = x_ready && !self.x_latched;
        }

        // 6. tell the runtime what is wanted
        self.plc.i_mode_req = if !input.x_oper_enable || self.x_latched || !input.x_permit { 1 } else { 2 };
    }

    /// `xLatched`: a shed waits for the operator.
    #[must_use]
    pub const fn latched(&self) -> bool {
        self.x_latched
    }
}
