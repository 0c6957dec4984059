//! Simulated plants and PLCs: pure and steppable inside, served on real sockets outside.
//!
//! * `r101`: the reactor, its slave loops and instruments; `oracle` is the reference answer.
//! * `te4`: a second plant, Ricker's two-phase reactor, with its own PLC, signals and oracle.
//! * `device`: what the servers and the virtual field need of a PLC, whatever its plant.
//! * `gate`: the PLC's gate blocks; `panel`: what operator and engineer set; `signals`: the one table of signals.
//! * `plc`: all of it together, one scan at a time.
//! * `scenario`: what happens to R-101 in a demonstration, and the score beside the oracle.
//! * `servers`: the PLC on OPC UA and Modbus TCP, AI-101 on a port of its own (`gc`), in real time or faster.
//! * `proxy`: a line that can be cut, slowed, split and spoilt between the runtime and a server.
//! * `virtual_rig`: the field ports of the runtime on a virtual clock, without sockets.
//! * `turbine`: rows of real gas-turbine measurements as registers.

#[cfg(test)]
mod closed_loop;
pub mod device;
pub mod gate;
pub mod gc;
#[cfg(test)]
mod hand;
pub mod panel;
pub mod plc;
pub mod proxy;
pub mod r101;
pub mod random;
pub mod scenario;
pub mod score;
#[cfg(test)]
mod server_tests;
pub mod servers;
pub mod signals;
pub mod te4;
pub mod turbine;
pub mod virtual_rig;
#[cfg(test)]
mod wire_test;
