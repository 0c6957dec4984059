//! Why: the one way between control and service: length-prefixed frames over a pipe, each a message of a closed set.
//!
//! A frame is a little-endian `u32` length and that many bytes of postcard. The length is checked before anything is allocated; a
//! frame that does not decode to exactly one message is an error and ends the connection: control then restarts the service.
//!
//! Words: *frame* is bytes, *message* is what they mean.

use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;

use flyball_config::{Role, Security, Server};
use flyball_core::outside::{Call, Change, Directory, Reply};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest frame to the service: a directory of 20,000 tags with a dozen nodes each is about 40 MB.
pub const TO_SERVICE_BYTES_MAX: u32 = 64 << 20;
/// Longest frame from the service: a call with a few arguments. Small, because the sender counts as hostile.
pub const FROM_SERVICE_BYTES_MAX: u32 = 64 << 10;

/// The server's settings with its users' passwords resolved by control (the service's environment is empty).
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerSettings {
    /// `opc.tcp://host:port/path` to listen on; port 0 takes a free one.
    pub endpoint: String,
    /// Offered security.
    pub security: Vec<Security>,
    /// Anonymous users may read.
    pub anonymous_read: bool,
    /// Users of the server, never those of a PLC.
    pub users: Vec<ServerUser>,
    /// Folder of own and trusted certificates.
    pub pki: PathBuf,
    /// Any client certificate is accepted (lab switch).
    pub trust_any_client: bool,
}

impl ServerSettings {
    /// The settings of a configuration. Control calls this: the passwords are resolved here, from its own environment and files.
    ///
    /// # Errors
    /// One sentence per password that cannot be had, joined.
    pub fn resolved(server: &Server) -> Result<Self, String> {
        let mut problems = Vec::new();
        let mut users = Vec::new();
        for user in &server.users {
            match user.password.resolve() {
                Ok(password) => users.push(ServerUser { name: user.name.clone(), password, role: user.role }),
                Err(e) => problems.push(format!("Password of the server's user {}: {e}.", user.name)),
            }
        }
        if !problems.is_empty() {
            return Err(problems.join(" "));
        }
        Ok(Self {
            endpoint: server.endpoint.clone(),
            security: server.security.clone(),
            anonymous_read: server.anonymous_read,
            users,
            pki: server.pki.clone(),
            trust_any_client: server.trust_any_client,
        })
    }

    /// Back to the type of the configuration, with the users beside it (theirs would name secrets, not hold them).
    #[must_use]
    pub fn into_config(self) -> (Server, Vec<ServerUser>) {
        let server = Server {
            endpoint: self.endpoint,
            security: self.security,
            anonymous_read: self.anonymous_read,
            users: Vec::new(),
            pki: self.pki,
            trust_any_client: self.trust_any_client,
        };
        (server, self.users)
    }
}

/// A user of the server. Debug hides the password.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerUser {
    /// Name.
    pub name: String,
    /// Resolved password.
    pub password: String,
    /// What the user may do.
    pub role: Role,
}

impl std::fmt::Debug for ServerSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let users: Vec<_> = self.users.iter().map(|u| (&u.name, u.role)).collect();
        f.debug_struct("ServerSettings")
            .field("endpoint", &self.endpoint)
            .field("users", &users)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ServerUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerUser").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// The first message: what to serve and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The address space.
    pub directory: Directory,
    /// The server.
    pub server: ServerSettings,
}

/// From control to service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToService {
    /// First message, exactly once.
    Hello(Box<Hello>),
    /// New values, newest per node.
    Changes(Vec<Change>),
    /// Answer to a call.
    Reply(Reply),
    /// OPC UA ServiceLevel, 0 to 255.
    ServiceLevel(u8),
    /// Asks for `Pong` with the same number.
    Ping(u32),
    /// End in order.
    Shutdown,
}

/// From service to control. Control treats each as hostile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromService {
    /// The server listens here.
    Ready {
        /// `opc.tcp://host:port/path` with the real port.
        address: String,
    },
    /// A method was called.
    Call(Call),
    /// The answer to a ping, with the number of nodes that have received a value since start.
    Pong {
        /// Of which ping.
        number: u32,
        /// Nodes with a value.
        nodes_served: u32,
    },
    /// Something worth a log line.
    Note(String),
    /// The server cannot run; the process ends after this. What was found and what to do.
    Failed(String),
}

/// Why the channel ended.
#[derive(Debug)]
pub enum ChannelError {
    /// The other side closed between two frames: the orderly end.
    Closed,
    /// The other side closed inside a frame.
    Truncated,
    /// A frame longer than allowed was announced.
    Oversized {
        /// Announced bytes.
        announced: u32,
        /// Allowed bytes.
        allowed: u32,
    },
    /// A frame that is no message.
    Garbage,
    /// The pipe failed.
    Io(io::Error),
}

impl std::fmt::Display for ChannelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("the channel was closed"),
            Self::Truncated => f.write_str("the channel was closed in the middle of a frame"),
            Self::Oversized { announced, allowed } => {
                write!(f, "a frame of {announced} bytes where {allowed} are allowed")
            }
            Self::Garbage => f.write_str("a frame that is no message"),
            Self::Io(e) => write!(f, "the channel failed: {e}"),
        }
    }
}

impl std::error::Error for ChannelError {}

/// Sends one message. Blocks while the pipe is full: only for threads that may wait.
///
/// # Errors
/// `Oversized` before a byte is sent; `Io` when the pipe is broken.
pub fn send<T: Serialize>(to: &mut impl Write, message: &T, bytes_max: u32) -> Result<(), ChannelError> {
    let mut frame = vec![0; 4];
    frame = postcard::to_extend(message, frame).map_err(|_| ChannelError::Garbage)?;
    let length = u32::try_from(frame.len() - 4).unwrap_or(u32::MAX);
    if length > bytes_max {
        return Err(ChannelError::Oversized { announced: length, allowed: bytes_max });
    }
    frame[..4].copy_from_slice(&length.to_le_bytes());
    to.write_all(&frame).and_then(|()| to.flush()).map_err(ChannelError::Io)
}

/// Receives one message. Allocates at most `bytes_max` bytes (plus the message), and no more than really arrived.
///
/// # Errors
/// Every way in which a peer can end, cheat or break.
pub fn receive<T: DeserializeOwned>(from: &mut impl Read, bytes_max: u32) -> Result<T, ChannelError> {
    let mut head = [0; 4];
    let mut got = 0;
    while got < head.len() {
        match from.read(&mut head[got..]) {
            Ok(0) if got == 0 => return Err(ChannelError::Closed),
            Ok(0) => return Err(ChannelError::Truncated),
            Ok(n) => got += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(ChannelError::Io(e)),
        }
    }
    let length = u32::from_le_bytes(head);
    if length > bytes_max {
        return Err(ChannelError::Oversized { announced: length, allowed: bytes_max });
    }
    // `take` and `read_to_end` grow with what arrives: announcing much and sending little costs the announcer, not us.
    let mut body = Vec::new();
    from.take(u64::from(length)).read_to_end(&mut body).map_err(ChannelError::Io)?;
    if body.len() < length as usize {
        return Err(ChannelError::Truncated);
    }
    match postcard::take_from_bytes(&body) {
        Ok((message, [])) => Ok(message),
        _ => Err(ChannelError::Garbage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(message: &ToService) -> Vec<u8> {
        let mut bytes = Vec::new();
        send(&mut bytes, message, TO_SERVICE_BYTES_MAX).expect("fits");
        bytes
    }

    fn change(node: u32) -> Change {
        Change { node, value: None, status: 0x8000_0000, source_time: -1 }
    }

    #[test]
    fn messages_survive_the_channel_in_order() {
        let messages = [ToService::Changes(vec![change(1), change(2)]), ToService::Ping(7), ToService::Shutdown];
        let bytes: Vec<u8> = messages.iter().flat_map(frame).collect();
        let mut from = bytes.as_slice();
        for message in &messages {
            assert_eq!(receive::<ToService>(&mut from, 1000).expect("whole"), *message);
        }
        assert!(matches!(receive::<ToService>(&mut from, 1000), Err(ChannelError::Closed)));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let whole = frame(&ToService::Changes(vec![change(1), change(2)]));
        for cut in 1..whole.len() {
            let got = receive::<ToService>(&mut &whole[..cut], 1000);
            assert!(matches!(got, Err(ChannelError::Truncated)), "cut at {cut}: {got:?}");
        }
    }

    #[test]
    fn an_oversized_announcement_is_refused_before_it_is_read() {
        let mut bytes: &[u8] = &[0xFF, 0xFF, 0xFF, 0x7F, 1, 2, 3];
        let got = receive::<FromService>(&mut bytes, 1000);
        assert!(matches!(got, Err(ChannelError::Oversized { announced: 0x7FFF_FFFF, allowed: 1000 })), "{got:?}");
        assert_eq!(bytes.len(), 3, "the body was not read");
        let long = FromService::Note("x".repeat(2000));
        let sent = send(&mut Vec::new(), &long, 1000);
        assert!(matches!(sent, Err(ChannelError::Oversized { allowed: 1000, .. })), "{sent:?}");
    }

    #[test]
    fn every_mutation_is_a_message_or_an_error_never_a_panic() {
        let whole = frame(&ToService::Changes(vec![change(3); 5]));
        let mut decoded = 0;
        for at in 4..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                decoded += u32::from(receive::<ToService>(&mut bytes.as_slice(), 1000).is_ok());
            }
        }
        assert!(decoded > 0, "some bit flips only change a number");
        let unknown = [1, 0, 0, 0, 0xEE];
        assert!(matches!(receive::<ToService>(&mut &unknown[..], 1000), Err(ChannelError::Garbage)));
        let trailing = [3, 0, 0, 0, 4, 7, 9];
        assert!(
            matches!(receive::<ToService>(&mut &trailing[..], 1000), Err(ChannelError::Garbage)),
            "bytes left over"
        );
    }

    #[test]
    fn a_password_that_is_not_there_is_named_with_its_user() {
        use flyball_config::{Secret, User};
        let user = |name: &str, password| User { name: name.into(), password, role: Role::Operator };
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("password");
        std::fs::write(&file, "s3cret\n").expect("writable");
        let mut server = Server {
            endpoint: "opc.tcp://127.0.0.1:0/".into(),
            security: Vec::new(),
            anonymous_read: false,
            users: vec![user("op", Secret::File(file))],
            pki: "pki".into(),
            trust_any_client: false,
        };
        let settings = ServerSettings::resolved(&server).expect("the file is there");
        assert_eq!(settings.users[0].password, "s3cret");
        server.users.push(user("eng", Secret::Env("FLYBALL_TEST_NOT_SET".into())));
        let e = ServerSettings::resolved(&server).expect_err("not set");
        assert!(e.contains("user eng") && e.contains("FLYBALL_TEST_NOT_SET"), "{e}");
    }

    #[test]
    fn passwords_are_not_printed() {
        let user = ServerUser { name: "op".into(), password: "s3cret".into(), role: Role::Operator };
        assert!(!format!("{user:?}").contains("s3cret"));
    }
}
