//! te4, the second plant: Ricker's simplified Tennessee Eastman two-phase reactor under its published base control.
//!
//! `plant` has the equations, `oracle` the reference answer, `loops` the base control, `process` the plant as a PLC meets it, `signals`
//! the PLC's table, `plc` all of it together, `score` what a test or a demonstration reads off.

pub mod loops;
pub mod oracle;
pub mod plant;
pub mod plc;
pub mod process;
pub mod score;
pub mod signals;
