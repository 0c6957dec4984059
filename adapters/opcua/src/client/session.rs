//! Opens one session: endpoint by security, server certificate judged with words, user, then the event loop as a task.
//!
//! The event loop is polled here, so that every answered Publish (also an empty keep-alive) is seen as proof of life.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flyball_core::config::{OpcUaConnection, SecurityMode, UserIdentity};
use flyball_core::ports::Clock;
use futures_util::StreamExt;
use opcua::client::{Client, ClientBuilder, IdentityToken, Password, Session, SessionPollResult, SubscriptionActivity};
use opcua::core::comms::url::hostname_from_url;
use opcua::crypto::{CertificateStore, X509};
use opcua::sync::RwLock;
use opcua::types::{EndpointDescription, MessageSecurityMode, StatusCode};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::ClientIdentity;
use super::connector::Dialer;
use crate::pki::Pki;
use crate::server::host::ua_security;

/// Why no session came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The network or the server; trying again may help.
    Down(String),
    /// Credentials, certificate or security: somebody must act.
    Refused(String),
}

/// Signs of life of a session, shared with its event loop. SYNC POINT: Relaxed; a stamp that is one look old does no harm.
pub(super) struct Pulse {
    /// Last answered Publish, nanoseconds of the process clock; 0 = none yet.
    pub published: AtomicU64,
    /// Rung on every answered Publish and when the session has ended.
    pub news: Notify,
}

/// An activated session.
pub(super) struct Open {
    pub session: Arc<Session>,
    pub pulse: Arc<Pulse>,
    task: JoinHandle<()>,
}

impl Open {
    /// The event loop has ended: the connection is gone.
    pub fn is_lost(&self) -> bool {
        self.task.is_finished()
    }

    /// Closes session and channel properly, within `limit`.
    pub async fn close(self, limit: Duration) {
        let _ = timeout(limit, self.session.disconnect()).await;
        self.task.abort();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What stays the same from one session to the next.
pub(super) struct Opener {
    pub settings: OpcUaConnection,
    pub identity: ClientIdentity,
    /// Limit of one step of connecting, real time.
    pub patience: Duration,
    pub clock: Arc<dyn Clock>,
}

/// What helps when nobody answers; the link itself goes on trying.
const NEXT_STEP: &str = "check address, port, cable and firewall; it is tried again";
/// A server that answers 1 002 references would tear the session down at the default of 1 000.
const ARRAY_MAX: usize = 100_000;
/// Sessions that the network took from us live this long on the server.
const SESSION_TIMEOUT_MS: u32 = 30_000;

impl Opener {
    /// One try. Bounded by about ten times `patience`.
    pub async fn open(&self) -> Result<Open, Failure> {
        let (policy, mode) = ua_security(self.settings.security);
        let user = self.user()?;
        let pki = Pki::open(&self.settings.pki, &self.identity.application, &self.identity.application_uri, &[])
            .map_err(Failure::Refused)?;
        let client = self.client()?;
        let url = &self.settings.endpoint;
        let dialer = Dialer { url: url.clone(), limit: self.patience };
        let offered = timeout(self.patience * 3, client.get_server_endpoints_from_url(dialer.clone()));
        let offered = match offered.await {
            Ok(Ok(offered)) => offered,
            Ok(Err(e)) => return Err(Failure::Down(format!("no answer from {url}: {e}; {NEXT_STEP}"))),
            Err(_) => {
                let limit = self.patience * 3;
                return Err(Failure::Down(format!("no answer from {url} within {limit:?}; {NEXT_STEP}")));
            }
        };
        let fits =
            |e: &&EndpointDescription| e.security_mode == mode && e.security_policy_uri.as_ref() == policy.to_uri();
        let Some(endpoint) = offered.iter().find(fits) else { return Err(self.not_offered(&offered)) };
        // The configured URL names the host whose certificate we expect.
        let endpoint = EndpointDescription { endpoint_url: url.as_str().into(), ..endpoint.clone() };
        if mode != MessageSecurityMode::None && !self.identity.trust_server {
            judge_certificate(&pki, &endpoint, policy)?;
        }
        let store = self.store(&pki);
        let built = client
            .session_builder()
            .with_connector(dialer)
            .connect_to_endpoint_directly(endpoint)
            .and_then(|b| b.user_identity_token(user).build(Arc::new(RwLock::new(store))));
        let (session, events) = built.map_err(|e| Failure::Refused(format!("{url}: {e}")))?;
        session.disable_reconnects();
        let pulse = Arc::new(Pulse { published: AtomicU64::new(0), news: Notify::new() });
        let (connected, answer) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(pump(
            events.enter(),
            Arc::clone(&session),
            Arc::clone(&pulse),
            Arc::clone(&self.clock),
            connected,
        ));
        let open = Open { session, pulse, task };
        match timeout(self.patience * 6, answer).await {
            Ok(Ok(Ok(()))) => Ok(open),
            Ok(Ok(Err(code))) => Err(self.explain(code)),
            Ok(Err(_)) => Err(Failure::Down(format!("{url} closed the connection while the session was opened"))),
            Err(_) => Err(Failure::Down(format!("{url} did not open a session within {:?}", self.patience * 6))),
        }
    }

    fn user(&self) -> Result<IdentityToken, Failure> {
        let UserIdentity::Password { user, .. } = &self.settings.user else { return Ok(IdentityToken::Anonymous) };
        if self.settings.security.mode == SecurityMode::None {
            return Err(Failure::Refused(format!(
                "user {user:?} would send the password in clear text over security None; choose Basic256Sha256 or no user"
            )));
        }
        let password = self.identity.password.clone().unwrap_or_default();
        Ok(IdentityToken::UserName(user.clone(), Password::new(password)))
    }

    fn client(&self) -> Result<Client, Failure> {
        ClientBuilder::new()
            .application_name(&self.identity.application)
            .application_uri(&self.identity.application_uri)
            .product_uri("urn:flyball")
            .pki_dir(&self.settings.pki)
            .certificate_path(Pki::CERTIFICATE)
            .private_key_path(Pki::PRIVATE_KEY)
            .trust_server_certs(self.identity.trust_server)
            .verify_server_certs(!self.identity.trust_server)
            .session_name(&self.identity.application)
            .session_retry_limit(0)
            .session_timeout(SESSION_TIMEOUT_MS)
            .request_timeout(self.patience)
            .publish_timeout(Duration::from_secs(60))
            .keep_alive_interval(self.patience.max(Duration::from_millis(500)))
            .max_failed_keep_alive_count(3)
            .min_publish_interval(Duration::from_millis(10))
            .max_array_length(ARRAY_MAX)
            .max_message_size(16 << 20)
            .max_chunk_count(256)
            .recreate_subscriptions(false)
            .client()
            .map_err(|e| Failure::Refused(format!("OPC UA client settings: {}", e.join(", "))))
    }

    /// The store by which async-opcua checks the certificate once more, when the session is created.
    fn store(&self, pki: &Pki) -> CertificateStore {
        let paths = (Pki::CERTIFICATE.as_ref(), Pki::PRIVATE_KEY.as_ref());
        let (mut store, ..) = CertificateStore::new_with_x509_data::<opcua::crypto::X509Data>(
            &pki.folder,
            false,
            Some(paths.0),
            Some(paths.1),
            None,
        );
        store.set_skip_verify_certs(self.identity.trust_server);
        store.set_trust_unknown_certs(self.identity.trust_server);
        store
    }

    fn not_offered(&self, offered: &[EndpointDescription]) -> Failure {
        let list: Vec<String> = offered
            .iter()
            .map(|e| {
                let policy = e.security_policy_uri.as_ref().rsplit('#').next().unwrap_or_default();
                format!("{policy} {}", e.security_mode)
            })
            .collect();
        let (policy, mode) = ua_security(self.settings.security);
        let url = &self.settings.endpoint;
        Failure::Refused(format!("{url} does not offer {policy} {mode}; it offers: {}", list.join(", ")))
    }

    /// A status of connecting in words, with the next step.
    fn explain(&self, code: StatusCode) -> Failure {
        let url = &self.settings.endpoint;
        match code {
            StatusCode::BadIdentityTokenRejected
            | StatusCode::BadIdentityTokenInvalid
            | StatusCode::BadUserAccessDenied => {
                let who = match &self.settings.user {
                    UserIdentity::Anonymous => "anonymous users".to_owned(),
                    UserIdentity::Password { user, .. } => {
                        format!("user {user:?}: name or password is wrong, or the user")
                    }
                };
                Failure::Refused(format!(
                    "{url} refuses {who} may not log in ({code}); set user and password of this connection"
                ))
            }
            StatusCode::BadSecurityChecksFailed
            | StatusCode::BadCertificateUntrusted
            | StatusCode::BadCertificateInvalid
            | StatusCode::BadCertificateUriInvalid
            | StatusCode::BadCertificateUseNotAllowed => Failure::Refused(format!(
                "{url} refuses our certificate ({code}); let it trust {}",
                self.settings.pki.join(Pki::CERTIFICATE).display()
            )),
            _ => Failure::Down(format!("{url} opened no session ({code})")),
        }
    }
}

/// Checks the server's certificate before anything secret is sent, and says which check failed and what to do.
fn judge_certificate(
    pki: &Pki,
    endpoint: &EndpointDescription,
    policy: opcua::crypto::SecurityPolicy,
) -> Result<(), Failure> {
    let refused = |why: String| Err(Failure::Refused(why));
    let Ok(certificate) = X509::from_byte_string(&endpoint.server_certificate) else {
        return refused(format!("{} sent no readable certificate", endpoint.endpoint_url));
    };
    let name = Pki::file_name(&certificate);
    let (trusted, rejected) = (pki.trusted().join(&name), pki.rejected().join(&name));
    // A copy that was left in `rejected` would still block a certificate that somebody has trusted.
    if trusted.exists() && rejected.exists() {
        let _ = std::fs::remove_file(&rejected);
    }
    let subject = certificate.subject_name();
    if !trusted.exists() {
        let saved = certificate.to_der().ok().and_then(|der| std::fs::write(&rejected, der).ok());
        pki.prune_rejected();
        let what = match saved {
            Some(()) => format!("to trust it, move the file {} to {}", rejected.display(), pki.trusted().display()),
            None => format!("it could not be saved in {}; make that folder writable", pki.rejected().display()),
        };
        return refused(format!("server certificate {subject:?} is not trusted (check: trust list); {what}"));
    }
    let host = hostname_from_url(endpoint.endpoint_url.as_ref()).unwrap_or_default();
    let uri = endpoint.server.application_uri.as_ref();
    let store = CertificateStore::new(&pki.folder);
    let Err(error) = store.validate_application_instance_cert(&certificate, policy, Some(&host), Some(uri)) else {
        return Ok(());
    };
    let (check, cure) = match error.status() {
        StatusCode::BadCertificateHostNameInvalid => (
            "host name",
            format!("the certificate does not name {host:?}; use a name it contains in the endpoint, or renew it"),
        ),
        StatusCode::BadCertificateTimeInvalid => {
            ("validity time", "it has expired or begins later; compare the clocks, or renew it".to_owned())
        }
        StatusCode::BadCertificateUriInvalid => {
            ("application URI", format!("it does not name {uri:?}; the server needs a certificate of its own"))
        }
        _ => ("key length or content", format!("{error}; renew it")),
    };
    refused(format!(
        "server certificate {subject:?} in {} is trusted but not valid (check: {check}); {cure}",
        trusted.display()
    ))
}

/// Drives the session until it ends. Answers `connected` once, with the reason if it failed.
async fn pump(
    events: impl futures_util::Stream<Item = Result<SessionPollResult, StatusCode>>,
    session: Arc<Session>,
    pulse: Arc<Pulse>,
    clock: Arc<dyn Clock>,
    connected: tokio::sync::oneshot::Sender<Result<(), StatusCode>>,
) {
    let mut connected = Some(connected);
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let answer = match event {
            Ok(SessionPollResult::Reconnected(_)) => {
                // Without it, async-opcua never sends a Publish again after a reconnect.
                session.trigger_publish_now();
                Ok(())
            }
            Ok(SessionPollResult::Subscription(SubscriptionActivity::Publish)) => {
                pulse.published.store(clock.now().0.max(1), Ordering::Relaxed);
                pulse.news.notify_one();
                continue;
            }
            Ok(SessionPollResult::ReconnectFailed(code) | SessionPollResult::ConnectionLost(code)) | Err(code) => {
                Err(code)
            }
            Ok(_) => continue,
        };
        let failed = answer.is_err();
        if let Some(connected) = connected.take() {
            let _ = connected.send(answer);
        }
        if failed {
            break;
        }
    }
    pulse.news.notify_one();
}
