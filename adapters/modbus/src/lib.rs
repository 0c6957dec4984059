//! Modbus field link: TCP, RTU and RTU over TCP behind the hand-over boxes of `flyball_core::link`, and a small server.
//!
//! | file | why |
//! |---|---|
//! | `codec` | numbers to registers and back, in every type and word order |
//! | `plan`, `writes` | which requests read the tags and write the cells; no value is ever split |
//! | `wire`, `client` | one strict request: an answer fits in every field, or the connection is dropped |
//! | `samples` | quality and time, which Modbus lacks, derived |
//! | `phase` | polls answered just before the scan |
//! | `link` | the body of a link thread |
//! | `server`, `bank` | a Modbus TCP server for rigs and for PLCs that poll us |
//!
//! Faults of tokio-modbus that are contained here: answers checked by `debug_assert` only, stale answers after a time-out, no deadline,
//! Nagle left on. Its server is not used (one frame panics it, one accept error ends it); ours is in `server`.

pub mod bank;
pub mod client;
pub mod codec;
pub mod error;
pub mod jitter;
pub mod link;
pub mod phase;
pub mod plan;
pub mod samples;
pub mod server;
mod wire;
pub mod writes;

pub use bank::{BankSize, RegisterBank};
pub use client::Client;
pub use error::{Exception, LinkLoss, RequestError};
pub use link::{doorbell, run};
pub use server::{ModbusServer, ServerOptions, WriteHook, Written};

#[cfg(test)]
#[path = "../tests/modbus/testing.rs"]
mod testing;
