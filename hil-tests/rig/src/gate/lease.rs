//! FB_ApcLease: one of several instances may write to this PLC; it is the PLC who says which.
//!
//! ```text
//! FUNCTION_BLOCK FB_ApcLease
//! VAR_INPUT   uiHb : UINT; tHbTimeout : TIME := T#5S; END_VAR      (* stApp.uiHb, as FB_ApcLink *)
//! VAR_IN_OUT  udiOwnerReq : UDINT; END_VAR                         (* who asks; emptied here *)
//! VAR_OUTPUT  udiOwner : UDINT; END_VAR                            (* who holds it; 0 nobody *)
//! VAR         uiHbLast : UINT; tonHb : TON; tonFree : TON; END_VAR
//!
//! tonHb(IN := (udiOwner <> 0) AND (uiHb = uiHbLast), PT := tHbTimeout);
//! uiHbLast := uiHb;
//! IF tonHb.Q THEN udiOwner := 0; END_IF;                           (* the owner is silent *)
//! tonFree(IN := udiOwner = 0, PT := tHbTimeout);                   (* until whoever held it must have noticed *)
//! IF (udiOwnerReq <> 0) AND tonFree.Q THEN
//!     udiOwner := udiOwnerReq;                                     (* first come *)
//! END_IF;
//! udiOwnerReq := 0;                                                (* nobody is served later than he asked *)
//! END_FUNCTION_BLOCK
//! ```
//!
//! Between two owners, and after a cold start, nobody holds it for `tHbTimeout`: an instance whose writes were lost first and whose reads froze
//! then believes in its lease for as long as its values count as fresh (`stale_after`, at most `tHbTimeout`). The model check found that.
//!
//! Call it before FB_ApcLink with the same time-out. A shed does not take the lease away: heartbeat and mode need one writer in ADVISORY too.

use super::timer::Ton;

/// FUNCTION_BLOCK FB_ApcLease.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ApcLease {
    /// `udiOwner`: VAR_OUTPUT.
    pub udi_owner: u32,
    /// `uiHbLast`: heartbeat of the scan before.
    pub ui_hb_last: u16,
    ton_hb: Ton,
    ton_free: Ton,
}

impl ApcLease {
    /// One scan; `udi_owner_req` is VAR_IN_OUT. Bounded, no clock.
    pub fn scan(&mut self, ui_hb: u16, udi_owner_req: &mut u32, hb_timeout_ms: u32, scan_ms: u32) {
        self.ton_hb.call(self.udi_owner != 0 && ui_hb == self.ui_hb_last, hb_timeout_ms, scan_ms);
        self.ui_hb_last = ui_hb;
        if self.ton_hb.q {
            self.udi_owner = 0;
        }
        self.ton_free.call(self.udi_owner == 0, hb_timeout_ms, scan_ms);
        if *udi_owner_req != 0 && self.ton_free.q {
            self.udi_owner = *udi_owner_req;
        }
        *udi_owner_req = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One scan of 1 s with a time-out of 3 s.
    fn scan(lease: &mut ApcLease, heartbeat: u16, asks: u32) -> u32 {
        let mut request = asks;
        lease.scan(heartbeat, &mut request, 3_000, 1_000);
        assert_eq!(request, 0, "the mailbox is emptied, whoever asked");
        lease.udi_owner
    }

    #[test]
    fn first_come_kept_while_alive_free_after_silence() {
        let mut lease = ApcLease::default();
        assert_eq!([0, 7, 7].map(|asks| scan(&mut lease, 0, asks)), [0, 0, 7], "nobody for 3 s after the start");
        for beat in 1..20 {
            assert_eq!(scan(&mut lease, beat, 8), 7, "beat {beat}");
        }
        assert_eq!([0, 8, 0].map(|asks| scan(&mut lease, 19, asks)), [7, 7, 0], "silent for 3 s");
        assert_eq!([8, 8].map(|asks| scan(&mut lease, 19, asks)), [0, 8], "nobody for 3 s, its first scan counted");
    }
}
