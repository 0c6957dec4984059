//! Why: `flyball demo`: the whole program on this machine, over real sockets, against simulated and recorded plants.

pub mod folder;
pub mod r101;
pub mod rig;
pub mod turbine;
