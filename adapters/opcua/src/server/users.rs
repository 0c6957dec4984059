//! Who may come in: anonymous readers and users with a password and a role. Passwords never over SecurityPolicy None.

use async_trait::async_trait;
use flyball_core::config::Role;
use opcua::server::ServerEndpoint;
use opcua::server::authenticator::{AuthManager, Password, UserToken, user_pass_security_policy_id};
use opcua::types::{Error, MessageSecurityMode, StatusCode, UAString, UserTokenPolicy, UserTokenType};
use tracing::{info, warn};

/// Policy id that async-opcua expects of anonymous tokens.
const ANONYMOUS_POLICY: &str = "anonymous";

/// A user of a server.
#[derive(Clone)]
pub struct ServerUser {
    /// Name.
    pub name: String,
    /// Password, resolved.
    pub password: String,
    /// What the user may do.
    pub role: Role,
}

impl std::fmt::Debug for ServerUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:?})", self.name, self.role)
    }
}

/// The users of one server.
#[derive(Debug, Clone)]
pub struct Users {
    /// True when anonymous users may read.
    pub anonymous: bool,
    /// Users with passwords.
    pub list: Vec<ServerUser>,
}

impl Users {
    /// Role of a token; anonymous users observe.
    #[must_use]
    pub fn role(&self, token: &UserToken) -> Role {
        let user = self.list.iter().find(|u| !token.is_anonymous() && u.name == token.0);
        user.map_or(Role::Observer, |u| u.role)
    }
}

fn is_clear(endpoint: &ServerEndpoint) -> bool {
    endpoint.message_security_mode() == MessageSecurityMode::None
}

/// Compares all bytes, so that the time taken says nothing about where two passwords differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (x, y)| differs | (x ^ y)) == 0
}

#[async_trait]
impl AuthManager for Users {
    async fn authenticate_anonymous_token(&self, _endpoint: &ServerEndpoint) -> Result<(), Error> {
        if self.anonymous {
            return Ok(());
        }
        Err(Error::new(StatusCode::BadIdentityTokenRejected, "anonymous users are not allowed here"))
    }

    async fn authenticate_username_identity_token(
        &self,
        endpoint: &ServerEndpoint,
        username: &str,
        password: &Password,
    ) -> Result<UserToken, Error> {
        let refused = |why: &str| {
            warn!(user = username, why, "OPC UA login refused");
            // The peer is not told which of the two was wrong.
            Err(Error::new(StatusCode::BadIdentityTokenRejected, "user name or password is wrong"))
        };
        if is_clear(endpoint) {
            return refused("passwords are not taken over SecurityPolicy None");
        }
        match self.list.iter().find(|u| u.name == username) {
            None => refused("no such user"),
            Some(user) if !same(user.password.as_bytes(), password.get().as_bytes()) => refused("wrong password"),
            Some(user) => {
                info!(user = username, role = ?user.role, "OPC UA login");
                Ok(UserToken(user.name.clone()))
            }
        }
    }

    fn user_token_policies(&self, endpoint: &ServerEndpoint) -> Vec<UserTokenPolicy> {
        let policy = |id: UAString, token_type| UserTokenPolicy {
            policy_id: id,
            token_type,
            issued_token_type: UAString::null(),
            issuer_endpoint_url: UAString::null(),
            security_policy_uri: UAString::null(),
        };
        let mut policies = Vec::new();
        if self.anonymous {
            policies.push(policy(ANONYMOUS_POLICY.into(), UserTokenType::Anonymous));
        }
        if !self.list.is_empty() && !is_clear(endpoint) {
            policies.push(policy(user_pass_security_policy_id(endpoint), UserTokenType::UserName));
        }
        policies
    }
}
