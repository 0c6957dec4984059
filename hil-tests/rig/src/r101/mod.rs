//! R-101, the worked example: a Van de Vusse reactor with its slave loops, instruments and analyser.
//!
//! `plant` has the equations, `oracle` the reference answer, `loops` the two slave controllers, `process` the plant as a PLC meets it:
//! actuators in, noisy measurements out.

pub mod loops;
pub mod oracle;
pub mod plant;
pub mod process;
