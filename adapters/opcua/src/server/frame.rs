//! OPC UA TCP frames as far as the gate must understand them: header, chunk flag, policy of a channel, type of a clear request.
//!
//! OPC 10000-6, 7.1.2 (message header), 6.7.2 (chunks). Everything here is in clear text even on encrypted channels, but for the
//! request type, which only a channel of policy None shows.

/// Bytes of a message header.
pub const HEADER_BYTES: usize = 8;
/// Largest HELLO: 28 bytes of numbers and an endpoint URL of at most 4096 bytes.
pub const HELLO_BYTES_MAX: usize = HEADER_BYTES + 24 + 4_096;

/// Kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// HEL.
    Hello,
    /// ACK.
    Acknowledge,
    /// ERR.
    Error,
    /// OPN: opens or renews a secure channel.
    Open,
    /// CLO: closes it.
    Close,
    /// MSG: a request or a response.
    Message,
}

/// Header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Kind.
    pub kind: FrameKind,
    /// True for the last chunk of a message, also for one that aborts it.
    pub last: bool,
    /// Whole length, header included.
    pub bytes: usize,
}

impl Header {
    /// Reads a header; None when it is none of OPC UA TCP.
    #[must_use]
    pub fn read(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let kind = match &bytes[..3] {
            b"HEL" => FrameKind::Hello,
            b"ACK" => FrameKind::Acknowledge,
            b"ERR" => FrameKind::Error,
            b"OPN" => FrameKind::Open,
            b"CLO" => FrameKind::Close,
            b"MSG" => FrameKind::Message,
            _ => return None,
        };
        let last = match bytes[3] {
            b'F' | b'A' => true,
            b'C' if kind == FrameKind::Message => false,
            _ => return None,
        };
        let length = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        Some(Self { kind, last, bytes: length as usize })
    }
}

/// True when the body of an OPN chunk (after the header) names policy None. A malformed body is not None: the server refuses it.
#[must_use]
pub fn opens_policy_none(body: &[u8]) -> bool {
    let Some(length) = body.get(4..8).and_then(|b| <[u8; 4]>::try_from(b).ok()) else { return false };
    let length = i32::from_le_bytes(length);
    // A null policy is read as None by some stacks.
    let Ok(length) = usize::try_from(length) else { return true };
    body.get(8..8 + length).is_some_and(|uri| uri.is_empty() || uri.ends_with(b"#None"))
}

/// Binary encoding id of the request in the first MSG chunk of an unsecured channel (body after the header), if it is one of the
/// numeric ids of the standard namespace.
#[must_use]
pub fn clear_request_type(body: &[u8]) -> Option<u32> {
    // Channel id, token id, sequence number, request id: 16 bytes; then the NodeId of the request's encoding.
    match body.get(16..)? {
        [0, id, ..] => Some(u32::from(*id)),
        [1, 0, low, high, ..] => Some(u32::from(u16::from_le_bytes([*low, *high]))),
        [2, 0, 0, a, b, c, d, ..] => Some(u32::from_le_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

/// CreateSessionRequest, binary encoding.
pub const CREATE_SESSION: u32 = 461;
/// FindServersRequest, GetEndpointsRequest, FindServersOnNetworkRequest: all that a client needs before it opens a secure channel.
pub const DISCOVERY: [u32; 3] = [422, 428, 12_208];

/// An ERR frame with its status code and reason.
#[must_use]
pub fn error_frame(code: u32, reason: &str) -> Vec<u8> {
    let length = HEADER_BYTES + 8 + reason.len();
    let mut frame = Vec::with_capacity(length);
    frame.extend_from_slice(b"ERRF");
    frame.extend_from_slice(&(length as u32).to_le_bytes());
    frame.extend_from_slice(&code.to_le_bytes());
    frame.extend_from_slice(&(reason.len() as u32).to_le_bytes());
    frame.extend_from_slice(reason.as_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_and_rubbish_is_not() {
        let header = |bytes: &[u8; 8]| Header::read(bytes);
        assert_eq!(header(b"HELF\x20\0\0\0"), Some(Header { kind: FrameKind::Hello, last: true, bytes: 32 }));
        assert!(!header(b"MSGC\x20\0\0\0").expect("chunk").last);
        assert_eq!(header(b"HELC\x20\0\0\0"), None, "only messages are chunked");
        assert_eq!(header(b"GET / HT"), None);
        assert_eq!(header(b"MSGF\0\0\0\x80").expect("header").bytes, 0x8000_0000);
    }

    #[test]
    fn policy_and_request_type() {
        let uri = b"http://opcfoundation.org/UA/SecurityPolicy#None";
        let mut open = vec![0, 0, 0, 0];
        open.extend_from_slice(&(uri.len() as u32).to_le_bytes());
        open.extend_from_slice(uri);
        assert!(opens_policy_none(&open));
        open.truncate(20);
        assert!(!opens_policy_none(&open), "cut off");
        let mut request = vec![0; 16];
        request.extend_from_slice(&[1, 0, 0xCD, 0x01]);
        assert_eq!(clear_request_type(&request), Some(CREATE_SESSION));
        assert_eq!(clear_request_type(&request[..17]), None);
    }
}
