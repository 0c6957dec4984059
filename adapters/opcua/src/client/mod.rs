//! The OPC UA field link: the body of one link thread, with its own runtime, connection and deadlines.
//!
//! ```text
//! connect -> resolve namespaces, nodes, types -> subscribe (or read cyclically) -> publish images, carry out write batches
//!    ^                                                                                    |
//!    +------------------------------ back-off with jitter <------------ silence, timeout, loss
//! ```
//!
//! Every session is new: async-opcua's own reconnect leaves subscriptions dead, keeps old namespace indices and hides errors, so it
//! is switched off. Words: a *point* is one node that is read (value, sample time or validity of a tag).

mod connector;
mod inbox;
mod link;
mod nodes;
mod readings;
mod session;
mod writes;

use std::sync::Arc;

use flyball_core::config::Protocol;
use flyball_core::image::LinkState;
use flyball_core::link::LinkSeat;
use tokio::sync::Notify;
use tracing::error;

pub use connector::dial;

/// Who this client is, with its secrets resolved.
#[derive(Clone)]
pub struct ClientIdentity {
    /// Application name, shown in the server's session list.
    pub application: String,
    /// Application URI, `urn:...`; also in the client's certificate.
    pub application_uri: String,
    /// Password of the connection's user.
    pub password: Option<String>,
    /// Lab switch: takes any server certificate and skips its checks.
    pub trust_server: bool,
}

impl std::fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.application, self.application_uri)
    }
}

/// A bell and its button: `link_pair` gets the button, [`run`] the bell.
#[must_use]
pub fn doorbell() -> (Arc<Notify>, Arc<dyn Fn() + Send + Sync>) {
    let bell = Arc::new(Notify::new());
    let button = Arc::clone(&bell);
    (bell, Arc::new(move || button.notify_one()))
}

/// Runs an OPC UA link until the seat is stopped. Blocks; give it a thread of its own.
pub fn run(mut seat: LinkSeat, bell: Arc<Notify>, identity: ClientIdentity) {
    let name = seat.plan.connection.name.clone();
    let refuse = |seat: &mut LinkSeat| seat.images.give(|image| image.state = LinkState::Refused);
    let Protocol::OpcUa(settings) = seat.plan.connection.protocol.clone() else {
        error!(link = name, "not an OPC UA connection: this link does nothing");
        return refuse(&mut seat);
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build() {
        Ok(runtime) => runtime,
        Err(e) => {
            error!(link = name, "no runtime: {e}; check the limit of open files");
            return refuse(&mut seat);
        }
    };
    runtime.block_on(link::Link::new(seat, settings, bell, identity).work());
    // Not waiting for a name look-up that hangs.
    runtime.shutdown_background();
    tracing::info!(link = name, "stopped");
}
