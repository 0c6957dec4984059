//! OPC UA servers: the host with its gate, and the two things it can serve (variables of a simulated PLC, a directory of the program).
//!
//! ```text
//! client --> gate (limits, our listener) --> loopback --> async-opcua server --> content
//! ```

pub mod content;
pub mod frame;
pub mod gate;
pub mod host;
pub mod model;
pub mod service;
pub mod users;
pub mod variables;

pub use gate::GateLimits;
pub use host::{ServerHost, ServerSettings};
pub use service::OutsideServer;
pub use users::ServerUser;
pub use variables::{VariableBank, VariableSpec};
