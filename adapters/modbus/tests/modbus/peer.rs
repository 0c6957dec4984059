//! A hostile Modbus device on a real socket: each test says, byte by byte, what it does. Register n always holds the value n, so a
//! shifted answer is seen at once.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A listening peer. Its threads end with their connections.
pub struct Peer {
    pub port: u16,
    connects: Arc<AtomicUsize>,
}

impl Peer {
    /// Runs `serve` with the connection's number (from 0) in a thread per connection.
    pub fn start(serve: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        let connects = Arc::new(AtomicUsize::new(0));
        let (counter, serve) = (Arc::clone(&connects), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let number = counter.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(number, stream));
            }
        });
        Self { port, connects }
    }

    /// Connections so far.
    pub fn connects(&self) -> usize {
        self.connects.load(Ordering::SeqCst)
    }
}

/// One request in either framing.
pub struct Asked {
    pub transaction: [u8; 2],
    pub unit: u8,
    pub pdu: Vec<u8>,
}

impl Asked {
    pub fn start(&self) -> u16 {
        u16::from_be_bytes([self.pdu[1], self.pdu[2]])
    }

    pub fn count(&self) -> u16 {
        u16::from_be_bytes([self.pdu[3], self.pdu[4]])
    }

    /// The true answer to a register read.
    pub fn answer(&self) -> Vec<u8> {
        registers(self.pdu[0], self.start(), self.count())
    }
}

/// Read response: register n holds n.
pub fn registers(function: u8, start: u16, count: u16) -> Vec<u8> {
    let mut pdu = vec![function, (count * 2) as u8];
    pdu.extend((start..start + count).flat_map(u16::to_be_bytes));
    pdu
}

/// Next Modbus TCP request, None when the client has gone.
pub fn next_tcp(stream: &mut TcpStream) -> Option<Asked> {
    let mut head = [0u8; 7];
    stream.read_exact(&mut head).ok()?;
    let mut pdu = vec![0u8; usize::from(u16::from_be_bytes([head[4], head[5]])) - 1];
    stream.read_exact(&mut pdu).ok()?;
    Some(Asked { transaction: [head[0], head[1]], unit: head[6], pdu })
}

/// A Modbus TCP frame.
pub fn tcp_frame(transaction: [u8; 2], unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = vec![transaction[0], transaction[1], 0, 0];
    frame.extend((1 + pdu.len() as u16).to_be_bytes());
    frame.push(unit);
    frame.extend(pdu);
    frame
}

/// Answers; the client may have gone, which is what many tests want.
pub fn send(stream: &mut impl Write, bytes: &[u8]) {
    let _ = stream.write_all(bytes).and_then(|()| stream.flush());
}

/// Next RTU read request (always 8 bytes), None when the client has gone.
pub fn next_rtu(stream: &mut impl Read) -> Option<Asked> {
    let mut frame = [0u8; 8];
    stream.read_exact(&mut frame).ok()?;
    assert_eq!(crc(&frame[..6]).to_le_bytes(), frame[6..], "the client sends sound frames");
    Some(Asked { transaction: [0, 0], unit: frame[0], pdu: frame[1..6].to_vec() })
}

/// An RTU frame.
pub fn rtu_frame(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = vec![unit];
    frame.extend(pdu);
    frame.extend(crc(&frame).to_le_bytes());
    frame
}

/// CRC-16/MODBUS, bit by bit.
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 })
    })
}
