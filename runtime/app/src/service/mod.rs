//! Why: what talks to the PLC and what serves strangers never share memory or CPU budget (docs/ARCHITECTURE.md).
//!
//! Control starts the service process (`flyball service`, hidden), feeds it and restarts it; the two talk over the child's stdin and
//! stdout. Control knows the plant and trusts nothing that comes back; the service knows a directory of nodes and no PLC credential.
//!
//! Parts: `channel` (frames and messages), `pending` (what waits to be sent, coalesced), `supervisor` (control's side), `process`
//! (the service's side).

mod calls;
pub mod channel;
mod opcua;
mod pending;
pub mod process;
pub mod supervisor;
mod words;
