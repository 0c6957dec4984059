//! Rude peers: OPC UA TCP frames made by hand, so that a test can send what no client library would.
#![allow(dead_code, reason = "only the server tests use it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::HANG;

pub fn text(bytes: &mut Vec<u8>, s: Option<&str>) {
    bytes.extend_from_slice(&s.map_or(-1, |s| s.len() as i32).to_le_bytes());
    bytes.extend_from_slice(s.unwrap_or_default().as_bytes());
}

pub fn frame(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let length = (8 + body.len()) as u32;
    [kind.as_slice(), &length.to_le_bytes(), body].concat()
}

pub fn hello() -> Vec<u8> {
    let mut body = Vec::new();
    for n in [0u32, 65_535, 65_535, 0, 0] {
        body.extend_from_slice(&n.to_le_bytes());
    }
    text(&mut body, Some("opc.tcp://127.0.0.1/"));
    frame(b"HELF", &body)
}

/// Type id and request header.
pub fn request(type_id: u16) -> Vec<u8> {
    let mut body = vec![1, 0];
    body.extend_from_slice(&type_id.to_le_bytes());
    body.extend_from_slice(&[0; 2 + 8 + 4 + 4]);
    text(&mut body, None);
    body.extend_from_slice(&[0; 4 + 3]);
    body
}

pub fn answer(peer: &mut TcpStream) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let mut head = [0; 8];
    peer.read_exact(&mut head)?;
    let mut body = vec![0; u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize - 8];
    peer.read_exact(&mut body)?;
    Ok((head[..3].to_vec(), body))
}

/// A peer with a secure channel of policy None.
pub struct Peer {
    pub stream: TcpStream,
    channel: [u8; 4],
    token: [u8; 4],
    sequence: u32,
}

impl Peer {
    pub fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("connect"))
    }

    pub fn over(mut stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(HANG)).expect("timeout");
        stream.write_all(&hello()).expect("hello");
        assert_eq!(answer(&mut stream).expect("ACK").0, b"ACK");
        let mut body = vec![0; 4];
        text(&mut body, Some("http://opcfoundation.org/UA/SecurityPolicy#None"));
        text(&mut body, None);
        text(&mut body, None);
        body.extend_from_slice(&[1, 0, 0, 0, 1, 0, 0, 0]);
        body.extend(request(446));
        body.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
        text(&mut body, None);
        body.extend_from_slice(&60_000u32.to_le_bytes());
        stream.write_all(&frame(b"OPNF", &body)).expect("open");
        let (kind, body) = answer(&mut stream).expect("OPN");
        assert_eq!(kind, b"OPN");
        let policy = u32::from_le_bytes(body[4..8].try_into().expect("length")) as usize;
        // Policy, two null strings, sequence header, type id, response header, protocol version.
        let at = 8 + policy + 8 + 8 + 4 + 24 + 4;
        let four = |at: usize| <[u8; 4]>::try_from(&body[at..at + 4]).expect("four bytes");
        Self { stream, channel: four(at), token: four(at + 4), sequence: 1 }
    }

    pub fn message(&mut self, body: &[u8]) -> Vec<u8> {
        self.sequence += 1;
        let n = self.sequence.to_le_bytes();
        frame(b"MSGF", &[&self.channel, &self.token, &n, &n, body].concat())
    }

    pub fn get_endpoints(&mut self) -> Vec<u8> {
        let mut body = request(428);
        text(&mut body, Some("opc.tcp://127.0.0.1/"));
        body.extend_from_slice(&[255; 8]);
        self.message(&body)
    }

    pub fn create_session(&mut self) -> Vec<u8> {
        let mut body = request(461);
        text(&mut body, Some("urn:rude"));
        text(&mut body, None);
        body.extend_from_slice(&[0, 1, 0, 0, 0]);
        text(&mut body, None);
        text(&mut body, None);
        text(&mut body, None);
        text(&mut body, None);
        text(&mut body, Some("opc.tcp://127.0.0.1/"));
        text(&mut body, Some("flood"));
        text(&mut body, None);
        text(&mut body, None);
        body.extend_from_slice(&60_000f64.to_le_bytes());
        body.extend_from_slice(&[0; 4]);
        self.message(&body)
    }
}

pub fn error_code(body: &[u8]) -> u32 {
    u32::from_le_bytes(body[..4].try_into().expect("code"))
}
