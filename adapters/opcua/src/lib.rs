//! OPC UA at both rims: the field link (client) and the server that shows values to SCADA, HMI and historian.
//!
//! async-opcua does the protocol; this crate contains its known faults (docs/ARCHITECTURE.md, adapters): every one of them has a
//! test named after it. Words: *gate* = our TCP front of a server, *content* = what a server serves, *scalar* = one number,
//! flag or text with its own wire type.

pub mod client;
pub mod pki;
pub mod server;
pub mod wire;

pub use client::{ClientIdentity, doorbell, run};
pub use wire::{Scalar, ScalarType};
