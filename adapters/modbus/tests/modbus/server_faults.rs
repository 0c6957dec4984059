//! The server against clients that misbehave.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use flyball_modbus::{BankSize, ModbusServer, RegisterBank, ServerOptions};

fn start(options: ServerOptions) -> ModbusServer {
    let bank = Arc::new(RegisterBank::new(BankSize::all(100)));
    ModbusServer::start(SocketAddr::from(([127, 0, 0, 1], 0)), bank, options).expect("loopback")
}

fn open(server: &ModbusServer) -> TcpStream {
    let stream = TcpStream::connect(server.address()).expect("server listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("socket");
    stream
}

/// Sends a frame; the answer, or None when the server has closed.
fn ask(stream: &mut TcpStream, frame: &[u8]) -> Option<Vec<u8>> {
    stream.write_all(frame).ok()?;
    let mut head = [0u8; 7];
    stream.read_exact(&mut head).ok()?;
    let mut pdu = vec![0u8; usize::from(head[5]) - 1];
    stream.read_exact(&mut pdu).ok()?;
    Some(pdu)
}

const READ_ONE: [u8; 12] = [0, 7, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1];

#[test]
fn the_frame_that_panics_others_gets_exception_3() {
    let server = start(ServerOptions::default());
    let mut stream = open(&server);
    let frame = [0x00, 0x01, 0x00, 0x00, 0x00, 0x08, 0x01, 0x0f, 0x00, 0x00, 0x00, 0x09, 0x01, 0xff];
    assert_eq!(ask(&mut stream, &frame), Some(vec![0x8F, 3]));
    assert_eq!(ask(&mut stream, &READ_ONE), Some(vec![3, 2, 0, 0]), "same connection");
}

#[test]
fn a_panic_in_the_hook_ends_one_connection_only() {
    let server = start(ServerOptions {
        on_write: Some(Box::new(|_| panic!("a broken simulation"))),
        ..ServerOptions::default()
    });
    let mut other = open(&server);
    assert!(ask(&mut other, &READ_ONE).is_some());
    let mut victim = open(&server);
    assert_eq!(ask(&mut victim, &[0, 1, 0, 0, 0, 6, 1, 6, 0, 1, 0, 5]), None);
    assert_eq!(ask(&mut other, &READ_ONE), Some(vec![3, 2, 0, 0]));
    assert_eq!(ask(&mut open(&server), &READ_ONE), Some(vec![3, 2, 0, 0]), "new connections are served");
}

#[test]
fn connections_over_the_limit_are_closed_and_room_comes_back() {
    let server = start(ServerOptions { connections_max: 2, ..ServerOptions::default() });
    let mut held: Vec<TcpStream> = (0..2).map(|_| open(&server)).collect();
    for stream in &mut held {
        assert!(ask(stream, &READ_ONE).is_some());
    }
    assert_eq!(ask(&mut open(&server), &READ_ONE), None);
    assert!(ask(&mut held[0], &READ_ONE).is_some(), "those inside stay");
    held.pop();
    let served = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        ask(&mut open(&server), &READ_ONE).is_some()
    });
    assert!(served);
}

#[test]
fn what_is_no_modbus_is_closed_and_idlers_too() {
    let server = start(ServerOptions { idle_max: Duration::from_millis(100), ..ServerOptions::default() });
    for frame in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0, 1, 0, 0, 0xFF, 0xFF, 1, 3], &[0, 1, 0, 0, 0, 0, 1], &[]] {
        assert_eq!(ask(&mut open(&server), frame), None, "{frame:?}");
    }
    assert!(ask(&mut open(&server), &READ_ONE).is_some());
}
