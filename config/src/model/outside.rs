//! What others can read: the OPC UA server and its users.

use std::path::PathBuf;

use super::{Secret, Security};

/// The OPC UA server for SCADA, HMI and historian.
#[derive(Debug, Clone)]
pub struct Server {
    /// `opc.tcp://host:port/path` to listen on.
    pub endpoint: String,
    /// Offered security. Contains `Security::NONE` only behind the explicit lab switch.
    pub security: Vec<Security>,
    /// True when anonymous users may read.
    pub anonymous_read: bool,
    /// Users.
    pub users: Vec<User>,
    /// Folder of own and trusted certificates.
    pub pki: PathBuf,
    /// True: any client certificate is accepted (lab switch); false: it must be in the trusted folder.
    pub trust_any_client: bool,
}

/// A user of the server.
#[derive(Debug, Clone)]
pub struct User {
    /// Name.
    pub name: String,
    /// Where the password comes from.
    pub password: Secret,
    /// What the user may do.
    pub role: Role,
}

/// Well-known roles (OPC UA Part 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Role {
    /// Reads.
    Observer,
    /// May change mode, hold, acknowledge.
    Operator,
    /// May also change prices and configuration.
    Engineer,
}
