//! A Modbus TCP client of a few lines, for tests only: bytes by hand, so that server and client do not share a mistake.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Sends one PDU and answers the response PDU.
pub fn ask(to: SocketAddr, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    let mut frame = vec![0, 7, 0, 0, 0, pdu.len() as u8 + 1, unit];
    frame.extend(pdu);
    stream.write_all(&frame).expect("sent");
    let mut head = [0; 7];
    stream.read_exact(&mut head).expect("answered");
    let mut body = vec![0; usize::from(head[5]) - 1];
    stream.read_exact(&mut body).expect("whole");
    body
}

/// FC 3.
pub fn read_holding(to: SocketAddr, unit: u8, start: u8, count: u8) -> Vec<u16> {
    let body = ask(to, unit, &[3, 0, start, 0, count]);
    assert_eq!(body[..2], [3, count * 2], "{body:?}");
    body[2..].chunks(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect()
}

/// FC 16; answers the exception, if any.
pub fn write_holding(to: SocketAddr, unit: u8, start: u8, words: &[u16]) -> Option<u8> {
    let mut pdu = vec![16, 0, start, 0, words.len() as u8, words.len() as u8 * 2];
    pdu.extend(words.iter().flat_map(|w| w.to_be_bytes()));
    let body = ask(to, unit, &pdu);
    (body[0] == 0x90).then(|| body[1])
}
