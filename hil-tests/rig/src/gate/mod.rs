//! The gate blocks of the PLC: the PLC stays in charge, the runtime only offers a setpoint.
//!
//! Ported from the IEC 61131-3 structured text that a site pastes into its own PLC (`adapters/plckit/st/`): `FB_ApcLink` (one per application) and
//! `FB_ApcSp` (one per manipulated variable). `FB_ApcLease` stands beside them where several instances may reach one PLC.
//! Names keep their Hungarian prefixes in snake case (`uiHb` -> `ui_hb`,
//! `rSpOut` -> `r_sp_out`), so that both texts can be laid side by side.

pub mod lease;
pub mod link;
pub mod setpoint;
pub mod timer;

#[cfg(test)]
mod scenarios;
