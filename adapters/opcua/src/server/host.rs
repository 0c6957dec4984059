//! Hosts one async-opcua server behind the gate, on its own thread with its own current-thread runtime.
//!
//! The server listens on an ephemeral loopback port; only the gate's port is announced. Settings that async-opcua sets too slow
//! (100 ms intervals) or inconsistent (10 000 nodes per read, 1 000 elements per array) are set here.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use flyball_core::config::{Security, SecurityMode, SecurityPolicy, Server};
use flyball_core::status::Status;
use opcua::core::comms::url::hostname_port_from_url;
use opcua::crypto::SecurityPolicy as UaPolicy;
use opcua::server::{Limits, ServerBuilder, ServerEndpoint, ServerHandle};
use opcua::types::{DataValue, MessageSecurityMode, NodeId};
use tokio::sync::oneshot;
use tracing::{error, info};

use super::content::{Content, ContentManager, manager};
use super::gate::{Gate, GateCounters, GateLimits, listen};
use super::users::{ServerUser, Users};
use crate::pki::Pki;
use crate::wire::to_status;

/// What a server is told.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Application name, shown to clients and in the certificate.
    pub application: String,
    /// Application URI, `urn:...`; also in the certificate. It is a namespace of its own: no content may use it.
    pub application_uri: String,
    /// Host name or address to listen on.
    pub host: String,
    /// Port; 0 takes a free one.
    pub port: u16,
    /// Path of the endpoint URL, with its leading `/`.
    pub path: String,
    /// Offered message security, at least one.
    pub security: Vec<Security>,
    /// True when anonymous users may read.
    pub anonymous: bool,
    /// Users; never offered over policy None.
    pub users: Vec<ServerUser>,
    /// Folder of own and trusted certificates.
    pub pki: PathBuf,
    /// True: any client certificate is taken (lab switch). False: it must lie in `trusted/`.
    pub trust_any_client: bool,
    /// Shortest publishing and sampling interval, and the tick that checks them.
    pub fastest: Duration,
    /// Nodes per Read, Write and CreateMonitoredItems; announced as OperationLimits.
    pub nodes_per_call: usize,
    /// Sessions at once, unactivated ones included (they live for up to a minute).
    pub sessions: usize,
    /// Monitored items of one subscription.
    pub items_per_subscription: usize,
    /// Limits of the gate.
    pub gate: GateLimits,
}

impl ServerSettings {
    /// Settings for `host:port` with Basic256Sha256 offered, nobody allowed in yet, certificates in `pki`.
    #[must_use]
    pub fn new(application: &str, host: &str, port: u16, pki: PathBuf) -> Self {
        let secure = Security { mode: SecurityMode::SignAndEncrypt, policy: SecurityPolicy::Basic256Sha256 };
        Self {
            application: application.to_owned(),
            application_uri: format!("urn:{}:flyball:{application}", advertised("")),
            host: host.to_owned(),
            port,
            path: "/".to_owned(),
            security: vec![secure],
            anonymous: false,
            users: Vec::new(),
            pki,
            trust_any_client: false,
            fastest: Duration::from_millis(10),
            nodes_per_call: 1_000,
            sessions: 500,
            items_per_subscription: 20_000,
            gate: GateLimits::default(),
        }
    }

    /// Settings from the configuration; passwords are resolved by the caller, who holds them.
    ///
    /// # Errors
    /// A sentence when the endpoint is not of the form `opc.tcp://host:port/path`.
    pub fn configured(application: &str, server: &Server, users: Vec<ServerUser>) -> Result<Self, String> {
        /// OPC UA's registered port.
        const PORT: u16 = 4840;
        let url = &server.endpoint;
        let (host, port) = hostname_port_from_url(url, PORT)
            .map_err(|_| format!("{url:?} is not an endpoint; write opc.tcp://host:port/path"))?;
        let after_scheme = url.split_once("://").map_or("", |(_, rest)| rest);
        let path = after_scheme.find('/').map_or("/", |at| &after_scheme[at..]);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Self {
            path: path.to_owned(),
            security: server.security.clone(),
            anonymous: server.anonymous_read,
            users,
            trust_any_client: server.trust_any_client,
            ..Self::new(application, host, port, server.pki.clone())
        })
    }
}

/// A running server. Dropping it stops it.
pub struct ServerHost {
    address: SocketAddr,
    url: String,
    handle: ServerHandle,
    manager: Arc<ContentManager>,
    counters: Arc<GateCounters>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the server's thread hands back once it serves.
struct Started {
    address: SocketAddr,
    handle: ServerHandle,
    manager: Arc<ContentManager>,
    counters: Arc<GateCounters>,
}

impl ServerHost {
    /// Starts a server that serves `content`; returns when it accepts connections.
    ///
    /// # Errors
    /// A sentence: port in use, folder not writable, no security offered.
    pub fn start(settings: ServerSettings, content: Arc<dyn Content>) -> Result<Self, String> {
        let (started, wait) = mpsc::sync_channel(1);
        let (stop, stopped) = oneshot::channel();
        let (host, path) = (advertised(&settings.host), settings.path.clone());
        let thread = std::thread::Builder::new()
            .name("opcua-server".into())
            .spawn(move || {
                let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => runtime,
                    Err(e) => {
                        let _ = started.send(Err(format!("cannot start a runtime for the OPC UA server: {e}")));
                        return;
                    }
                };
                runtime.block_on(serve(settings, content, &started, stopped));
                runtime.shutdown_background();
            })
            .map_err(|e| format!("cannot start a thread for the OPC UA server: {e}"))?;
        let Started { address, handle, manager, counters } =
            wait.recv().map_err(|_| "the OPC UA server ended while it started".to_owned())??;
        let url = format!("opc.tcp://{host}:{}{path}", address.port());
        info!(%url, "OPC UA server");
        Ok(Self { address, url, handle, manager, counters, stop: Some(stop), thread: Some(thread) })
    }

    /// Where the gate listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Endpoint URL for clients.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Counters of the gate.
    #[must_use]
    pub fn counters(&self) -> &GateCounters {
        &self.counters
    }

    /// Sets values in one batch and notifies subscribers.
    ///
    /// # Errors
    /// `BadNodeIdUnknown` when a node is not served; values before it are set.
    pub fn set_values<'a>(&self, values: impl Iterator<Item = (&'a NodeId, DataValue)>) -> Result<(), Status> {
        let values = values.map(|(id, value)| (id, None, value));
        self.manager.set_values(self.handle.subscriptions(), values).map_err(to_status)
    }

    /// ServiceLevel, 0 to 255 (OPC 10000-4, 6.6.2.4.2): below 200 clients should look for another server.
    pub fn set_service_level(&self, level: u8) {
        self.handle.set_service_level(level);
    }

    /// Stops the server and waits until its port is free.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for ServerHost {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        // The server's own thread may hold the last reference for a moment; it must not wait for itself.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

/// Host name for endpoint URLs: an unspecified address is no name that a client could use.
fn advertised(host: &str) -> String {
    let unspecified = matches!(host, "0.0.0.0" | "::" | "[::]" | "");
    if !unspecified {
        return host.to_owned();
    }
    let names = opcua::crypto::X509Data::computer_hostnames();
    names.into_iter().next().unwrap_or_else(|| "localhost".to_owned())
}

async fn serve(
    settings: ServerSettings,
    content: Arc<dyn Content>,
    started: &mpsc::SyncSender<Result<Started, String>>,
    stopped: oneshot::Receiver<()>,
) {
    let fail = |why: String| {
        let _ = started.send(Err(why));
    };
    let pki = match Pki::open(
        &settings.pki,
        &settings.application,
        &settings.application_uri,
        std::slice::from_ref(&settings.host),
    ) {
        Ok(pki) => pki,
        Err(why) => return fail(why),
    };
    let listener = match bind(&settings) {
        Ok(listener) => listener,
        Err(why) => return fail(why),
    };
    let inner = match listen(SocketAddr::from(([127, 0, 0, 1], 0))) {
        Ok(inner) => inner,
        Err(e) => return fail(format!("cannot listen on loopback: {e}")),
    };
    let (Ok(address), Ok(inner_address)) = (listener.local_addr(), inner.local_addr()) else {
        return fail("cannot read the address of a listener".into());
    };
    let (server, handle) = match builder(&settings, content).build() {
        Ok(built) => built,
        Err(why) => return fail(format!("OPC UA server: {why}")),
    };
    let Some(manager) = handle.node_managers().get_of_type::<ContentManager>() else {
        return fail("OPC UA server lost its content".into());
    };
    let mut running = tokio::spawn(server.run_with(inner));
    // The server announces the port of its own listener; once it has stored that, the gate's port takes its place.
    while handle.info().port.load(Ordering::Relaxed) != inner_address.port() {
        if running.is_finished() {
            return fail("the OPC UA server ended while it started".into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    handle.info().port.store(address.port(), Ordering::Relaxed);
    let none_offered = settings.security.iter().any(|s| s.mode == SecurityMode::None);
    let gate = Gate::open(listener, inner_address, settings.gate.clone(), none_offered);
    let counters = Arc::clone(&gate.counters);
    let _ = started.send(Ok(Started { address, handle: handle.clone(), manager, counters }));
    let mut tidy = tokio::time::interval(Duration::from_secs(60));
    let mut stopped = stopped;
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            ended = &mut running => {
                error!(?ended, "OPC UA server ended by itself");
                return;
            }
            _ = tidy.tick() => {
                pki.prune_rejected();
            }
        }
    }
    drop(gate);
    handle.cancel();
    // Connections behind the gate are gone; what does not end by then is dropped with the runtime.
    let _ = tokio::time::timeout(Duration::from_secs(1), running).await;
}

fn bind(settings: &ServerSettings) -> Result<tokio::net::TcpListener, String> {
    let (host, port) = (&settings.host, settings.port);
    let addresses = (host.as_str(), port).to_socket_addrs().map_err(|e| {
        format!("OPC UA server: host {host:?} is not known here: {e}; use a name or address of this machine")
    })?;
    let mut last = None;
    for address in addresses {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(e) => last = Some(format!("{address}: {e}")),
        }
    }
    let found = last.unwrap_or_else(|| "no address".into());
    Err(format!(
        "OPC UA server cannot listen on {host}:{port} ({found}); is another server running there? Change the port or stop it"
    ))
}

fn builder(settings: &ServerSettings, content: Arc<dyn Content>) -> ServerBuilder {
    let users = Users { anonymous: settings.anonymous, list: settings.users.clone() };
    let host = advertised(&settings.host);
    let mut builder = ServerBuilder::new()
        .application_name(&settings.application)
        .application_uri(&settings.application_uri)
        .product_uri("urn:flyball")
        .pki_dir(&settings.pki)
        .certificate_path(Pki::CERTIFICATE)
        .private_key_path(Pki::PRIVATE_KEY)
        .trust_client_certs(settings.trust_any_client)
        .host(host.as_str())
        .port(0)
        .discovery_urls(vec![format!("opc.tcp://{host}:{}{}", settings.port, settings.path)])
        .subscription_poll_interval_ms(settings.fastest.as_millis().max(1) as u64)
        .limits(limits(settings))
        .with_authenticator(Arc::new(users))
        .with_node_manager(manager(content));
    for security in &settings.security {
        let (policy, mode) = ua_security(*security);
        let id = format!("{policy} {mode}");
        builder = builder.add_endpoint(id, ServerEndpoint::new(settings.path.as_str(), policy, mode, &[]));
    }
    builder
}

fn limits(settings: &ServerSettings) -> Limits {
    /// Sixteen chunks: a Read of 10 000 values with both times fits; one response is at most 1 MiB.
    const CHUNKS: usize = 16;
    let mut limits = Limits { max_chunk_count: CHUNKS, max_sessions: settings.sessions, ..Limits::default() };
    limits.max_message_size = CHUNKS * limits.send_buffer_size;
    limits.max_array_length = 100_000.max(settings.nodes_per_call);
    let fastest_ms = settings.fastest.as_secs_f64() * 1e3;
    limits.subscriptions.min_publishing_interval_ms = fastest_ms;
    limits.subscriptions.min_sampling_interval_ms = fastest_ms;
    limits.subscriptions.max_monitored_items_per_sub = settings.items_per_subscription;
    // node-opcua and async-opcua's own client keep more than the default of 4 pending.
    limits.subscriptions.max_publish_requests_per_subscription = 20;
    limits.operational.max_nodes_per_read = settings.nodes_per_call;
    limits.operational.max_nodes_per_write = settings.nodes_per_call;
    limits.operational.max_monitored_items_per_call = settings.nodes_per_call;
    limits.operational.max_nodes_per_method_call = 10;
    limits
}

/// Our security as async-opcua's.
pub(crate) fn ua_security(security: Security) -> (UaPolicy, MessageSecurityMode) {
    let policy = match security.policy {
        SecurityPolicy::None => UaPolicy::None,
        SecurityPolicy::Basic256Sha256 => UaPolicy::Basic256Sha256,
        SecurityPolicy::Aes128Sha256RsaOaep => UaPolicy::Aes128Sha256RsaOaep,
        SecurityPolicy::Aes256Sha256RsaPss => UaPolicy::Aes256Sha256RsaPss,
    };
    let mode = match security.mode {
        SecurityMode::None => MessageSecurityMode::None,
        SecurityMode::Sign => MessageSecurityMode::Sign,
        SecurityMode::SignAndEncrypt => MessageSecurityMode::SignAndEncrypt,
    };
    (policy, mode)
}
