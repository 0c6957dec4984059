//! The server for SCADA, HMI and historian: a directory out, method calls in, answers in words.
//!
//! A call becomes a `Call` on a bounded channel and waits for its `Reply`. The sentence of the reply is the output argument
//! `Outcome`; since many clients hide output arguments of a refused call, it is also the value of `Status/LastAnswer` and logged.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use flyball_config::Role;
use flyball_core::outside::{Call, Change, Directory, NodeKind, NodeValue, Reply};
use flyball_core::status::Status;
use opcua::server::address_space::AddressSpace;
use opcua::server::authenticator::UserToken;
use opcua::server::node_manager::MethodCall;
use opcua::types::{DataValue, DateTime, NodeId, StatusCode, Variant};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::content::Content;
use super::host::{ServerHost, ServerSettings};
use super::model::{Model, from_argument, namespace};
use super::users::Users;
use crate::wire::data_value;

/// A call waits at most this long for its reply: longer than any scan, shorter than an operator's patience.
pub const REPLY_WITHIN: Duration = Duration::from_secs(2);
/// Calls that wait at once; more are refused.
pub const CALLS_MAX: usize = 16;

/// A running server for the outside. Dropping it stops it.
pub struct OutsideServer {
    host: Arc<ServerHost>,
    desk: Arc<Desk>,
}

/// Content of the outside server: the model, and the desk where calls wait.
struct Desk {
    model: Model,
    users: Users,
    calls: SyncSender<Call>,
    next_id: AtomicU32,
    waiting: Mutex<HashMap<u32, oneshot::Sender<Reply>>>,
    host: OnceLock<Weak<ServerHost>>,
}

impl OutsideServer {
    /// Starts serving `directory`; every valid call goes to `calls`.
    ///
    /// # Errors
    /// A sentence: port in use, folder not writable, application URI equal to the namespace.
    pub fn start(settings: ServerSettings, directory: Directory, calls: SyncSender<Call>) -> Result<Self, String> {
        let uri = namespace(&directory.application);
        if settings.application_uri == uri {
            return Err(format!("application URI {uri:?} is also the namespace of the nodes; choose another one"));
        }
        let desk = Arc::new(Desk {
            model: Model::new(directory),
            users: Users { anonymous: settings.anonymous, list: settings.users.clone() },
            calls,
            next_id: AtomicU32::new(1),
            waiting: Mutex::new(HashMap::new()),
            host: OnceLock::new(),
        });
        let host = Arc::new(ServerHost::start(settings, Arc::clone(&desk) as Arc<dyn Content>)?);
        let _ = desk.host.set(Arc::downgrade(&host));
        Ok(Self { host, desk })
    }

    /// New values, in one batch. Unknown nodes are left out; a value of the wrong kind is shown as Bad.
    pub fn apply(&self, changes: &[Change]) {
        if let Err(status) = self.host.set_values(self.desk.model.values(changes)) {
            warn!(%status, "OPC UA server could not take values");
        }
    }

    /// Answers a call. A reply that comes too late is dropped.
    pub fn reply(&self, reply: Reply) {
        let waiting = self.desk.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&reply.id);
        if let Some(waiting) = waiting {
            let _ = waiting.send(reply);
        }
    }

    /// Where the gate listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.host.address()
    }

    /// Endpoint URL for clients.
    #[must_use]
    pub fn url(&self) -> &str {
        self.host.url()
    }

    /// ServiceLevel, 0 to 255: below 200 clients should look for another server.
    pub fn set_service_level(&self, level: u8) {
        self.host.set_service_level(level);
    }

    /// The host, for its counters.
    #[must_use]
    pub fn host(&self) -> &ServerHost {
        &self.host
    }

    /// Stops the server and waits until its port is free.
    pub fn shutdown(self) {
        drop(self);
    }
}

#[async_trait]
impl Content for Desk {
    fn namespaces(&self) -> Vec<String> {
        vec![namespace(&self.model.directory.application)]
    }

    fn fill(&self, space: &mut AddressSpace, indices: &[u16]) {
        if let Some(&index) = indices.first() {
            self.model.fill(space, index);
        }
    }

    async fn write_as_call(&self, user: &UserToken, node: &NodeId, value: &DataValue) -> Option<StatusCode> {
        let spec = self.model.variable(node)?;
        let written = spec.written_by.as_ref()?;
        let (path, role) = (&spec.path, self.users.role(user));
        let wanted = self.model.directory.methods.get(written.method as usize)?.role;
        let given = value.value.as_ref().map(|v| from_argument(v, &spec.kind));
        let (status, text) = match given {
            _ if role < wanted => {
                (StatusCode::BadUserAccessDenied, format!("writing needs the role {wanted:?}; this user is {role:?}."))
            }
            Some(Ok(given)) => {
                let arguments = written.before.iter().cloned().chain([given]).chain(written.after.iter().cloned());
                self.ask(self.numbered(written.method, arguments.collect(), user, role)).await
            }
            Some(Err(_)) | None => {
                (StatusCode::BadTypeMismatch, format!("the value must be {}.", expected(&spec.kind)))
            }
        };
        let name = name_of(user);
        info!(user = name, node = path, %status, answer = text, "OPC UA write");
        self.remember(&format!("{name}, {path}: {text}"));
        Some(status)
    }

    async fn call(&self, user: &UserToken, call: &mut MethodCall) {
        let Some(method) = self.model.method(call.method_id()) else {
            call.set_status(StatusCode::BadMethodInvalid);
            return;
        };
        let name = name_of(user);
        let (status, text) = match self.checked(user, method, call) {
            Ok(asked) => self.ask(asked).await,
            Err(refused) => refused,
        };
        let path = &self.model.directory.methods[method].path;
        info!(user = name, method = path, %status, answer = text, "OPC UA call");
        self.remember(&format!("{name}, {path}: {text}"));
        call.set_outputs(vec![Variant::String(text.into())]);
        // `set_argument_error` has set a status of its own, and with it a result per argument.
        if status != StatusCode::BadInvalidArgument {
            call.set_status(status);
        }
    }
}

impl Desk {
    /// Role and arguments, in that order: who may not call is not told what the arguments should be.
    fn checked(&self, user: &UserToken, method: usize, call: &mut MethodCall) -> Result<Call, (StatusCode, String)> {
        let spec = &self.model.directory.methods[method];
        let role = self.users.role(user);
        if role < spec.role {
            let text =
                format!("{} needs the role {:?}; this user is {role:?}. Log in as another user.", spec.path, spec.role);
            return Err((StatusCode::BadUserAccessDenied, text));
        }
        let (wanted, got) = (spec.inputs.len(), call.arguments().len());
        if wanted != got {
            let list: Vec<_> = spec.inputs.iter().map(|(name, _, _)| name.as_str()).collect();
            let text = format!("{} takes {wanted} arguments ({}); {got} were given.", spec.path, list.join(", "));
            let code = if got < wanted { StatusCode::BadArgumentsMissing } else { StatusCode::BadTooManyArguments };
            return Err((code, text));
        }
        let read: Vec<_> =
            call.arguments().iter().zip(&spec.inputs).map(|(v, (_, _, k))| from_argument(v, k)).collect();
        let wrong = read.iter().zip(&spec.inputs).find(|(r, _)| r.is_err());
        if let Some((_, (name, _, kind))) = wrong {
            let text = format!("Argument {name} of {} must be {}.", spec.path, expected(kind));
            call.set_argument_error(
                read.iter().map(|r| r.as_ref().err().copied().unwrap_or(StatusCode::Good)).collect(),
            );
            return Err((StatusCode::BadInvalidArgument, text));
        }
        Ok(self.numbered(method as u32, read.into_iter().flatten().collect(), user, role))
    }

    fn numbered(&self, method: u32, arguments: Vec<NodeValue>, user: &UserToken, role: Role) -> Call {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        Call { id, method, arguments, user: name_of(user).to_owned(), role }
    }

    /// Hands the call over and waits for its reply.
    async fn ask(&self, call: Call) -> (StatusCode, String) {
        let id = call.id;
        let (answer, reply) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= CALLS_MAX {
                return (StatusCode::BadTooManyOperations, "Too many calls are waiting; try again.".into());
            }
            waiting.insert(id, answer);
        }
        // Also removed when the client goes away and this future is dropped.
        let _seat = Waiting { desk: self, id };
        match self.calls.try_send(call) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                return (
                    StatusCode::BadTooManyOperations,
                    "The controller has not taken the calls before this one; try again.".into(),
                );
            }
            Err(TrySendError::Disconnected(_)) => {
                return (StatusCode::BadServerHalted, "The controller is not running; nothing was changed.".into());
            }
        }
        match tokio::time::timeout(REPLY_WITHIN, reply).await {
            Ok(Ok(reply)) => (StatusCode::from(reply.status), reply.text),
            _ => (
                StatusCode::BadTimeout,
                format!(
                    "The controller did not answer within {REPLY_WITHIN:?}; look at the mode before calling again."
                ),
            ),
        }
    }

    fn remember(&self, sentence: &str) {
        let (Some(host), Some(node)) = (self.host.get().and_then(Weak::upgrade), self.model.last_answer()) else {
            return;
        };
        let value = data_value(Some(Variant::String(sentence.into())), Status::Good, DateTime::now());
        let one: [(&NodeId, _); 1] = [(node, value)];
        if let Err(status) = host.set_values(one.into_iter()) {
            warn!(%status, "last answer could not be shown");
        }
    }
}

/// Frees the place of a waiting call.
struct Waiting<'a> {
    desk: &'a Desk,
    id: u32,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.desk.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

fn name_of(user: &UserToken) -> &str {
    if user.is_anonymous() { "anonymous" } else { user.0.as_str() }
}

fn expected(kind: &NodeKind) -> String {
    match kind {
        NodeKind::Analog { .. } | NodeKind::Number => "a finite Double".into(),
        NodeKind::Enumeration(names) => {
            let list: Vec<_> = names.iter().enumerate().map(|(at, name)| format!("{at} = {name}")).collect();
            format!("an Int32: {}", list.join(", "))
        }
        NodeKind::Flag => "a Boolean".into(),
        NodeKind::Count => "a UInt32".into(),
        NodeKind::BigCount => "a UInt64".into(),
        NodeKind::Text => "a String".into(),
        NodeKind::Texts => "a list of String".into(),
        NodeKind::Time => "a DateTime".into(),
    }
}
