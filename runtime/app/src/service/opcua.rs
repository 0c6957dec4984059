//! Why: the OPC UA server of flyball-opcua as the service process needs it: settings from Hello in, calls out.

use std::sync::mpsc::sync_channel;
use std::thread;

use crossbeam::channel::Sender;
use flyball_core::outside::{Call, Change, Reply};
use flyball_opcua::server::{OutsideServer, ServerSettings, ServerUser};

use super::channel::Hello;
use super::process::Server;

/// Calls between the server's runtime and the thread that passes them on.
const CALLS_MAX: usize = 16;

/// Starts the server of a Hello; its calls go to `calls`.
///
/// # Errors
/// The server's own sentence: port in use, folder not writable, endpoint not understood.
pub(super) fn start(hello: Hello, calls: Sender<Call>) -> Result<OutsideServer, String> {
    let (configured, users) = hello.server.into_config();
    let users = users.into_iter().map(|u| ServerUser { name: u.name, password: u.password, role: u.role }).collect();
    let settings = ServerSettings::configured(&hello.directory.application, &configured, users)?;
    let (from_server, to_pass_on) = sync_channel(CALLS_MAX);
    // Ends when the server is gone or nobody listens any more.
    thread::Builder::new()
        .name("calls".into())
        .spawn(move || to_pass_on.iter().take_while(|call: &Call| calls.send(call.clone()).is_ok()).for_each(drop))
        .map_err(|e| format!("no thread for calls: {e}"))?;
    OutsideServer::start(settings, hello.directory, from_server)
}

impl Server for OutsideServer {
    fn address(&self) -> String {
        self.url().to_owned()
    }

    fn apply(&mut self, changes: Vec<Change>) {
        Self::apply(self, &changes);
    }

    fn reply(&mut self, reply: Reply) {
        Self::reply(self, reply);
    }

    fn service_level(&mut self, level: u8) {
        self.set_service_level(level);
    }

    fn shutdown(self) {
        Self::shutdown(self);
    }
}
