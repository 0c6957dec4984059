//! What others can read: the OPC UA server and its users, and the recordings.

use std::path::PathBuf;
use std::time::Duration;

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

/// The flight recorder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorder {
    /// Records at all.
    pub enabled: bool,
    /// Folder of the recordings.
    pub folder: PathBuf,
    /// Bytes of scans after which the next file begins.
    pub file_size: u64,
    /// Age of a file after which the next one begins.
    pub file_age: Duration,
    /// Bytes of all files of the application; the oldest are deleted.
    pub total_size: u64,
    /// Files older than this are deleted.
    pub total_age: Duration,
    /// Bytes that stay free on the disk: below, nothing is recorded.
    pub min_free: u64,
    /// Longest time until a scan is on the disk.
    pub flush_every: Duration,
    /// Scans from keyframe to keyframe: a replay may begin at each.
    pub keyframe_every: u32,
}

impl Recorder {
    /// What a configuration gets that says nothing, with a folder.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self {
            enabled: true,
            folder,
            file_size: 64 << 20,
            file_age: Duration::from_secs(86_400),
            total_size: 4 << 30,
            total_age: Duration::from_secs(30 * 86_400),
            min_free: 1 << 30,
            flush_every: Duration::from_secs(10),
            keyframe_every: 600,
        }
    }
}
