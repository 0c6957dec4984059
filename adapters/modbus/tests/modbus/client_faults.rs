//! One request against a peer that misbehaves: each answer that does not fit is refused with its reason, and the connection is dropped.

use std::net::TcpStream;
use std::time::Duration;

use flyball_config::{ModbusConnection, ModbusTable, ModbusTransport};
use flyball_modbus::client::{Timing, open_tcp};
use flyball_modbus::error::Field;
use flyball_modbus::plan::Block;
use flyball_modbus::writes::{Payload, WriteRequest};
use flyball_modbus::{Client, Exception, LinkLoss, RequestError};

use crate::peer::{Asked, Peer, next_rtu, next_tcp, registers, rtu_frame, send, tcp_frame};
use crate::testing::modbus_settings;

const TIMEOUT: Duration = Duration::from_millis(200);

/// Ample: for answers that do come, on a busy machine.
const TIMING: Timing = Timing { timeout: TIMEOUT, pause: Duration::ZERO, silence: Duration::ZERO };

fn block(start: u16, count: u16) -> Block {
    Block { unit: 1, table: ModbusTable::HoldingRegister, start, count }
}

fn on_one_thread<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime").block_on(work)
}

/// A Modbus TCP peer that answers every request by `frame`.
fn tcp_peer(frame: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Peer {
    Peer::start(move |_, mut stream: TcpStream| {
        while let Some(asked) = next_tcp(&mut stream) {
            send(&mut stream, &frame(&asked));
        }
    })
}

async fn connect(settings: &ModbusConnection) -> Client {
    Client::connect(settings, TIMING).await.expect("peer listens")
}

/// Asks twice; the first reason, and proof that nothing is asked on the same connection again.
fn refused_read(peer: &Peer) -> LinkLoss {
    on_one_thread(async {
        let mut client = connect(&modbus_settings(peer.port)).await;
        let mut data = vec![7];
        let Err(RequestError::Lost(loss)) = client.read(&block(100, 2), &mut data).await else {
            panic!("an answer that does not fit was taken: {data:?}")
        };
        assert_eq!(data, [7], "no value");
        assert!(!client.is_connected());
        assert_eq!(client.read(&block(100, 2), &mut data).await, Err(RequestError::Lost(LinkLoss::NotConnected)));
        loss
    })
}

fn mismatch(field: Field, expected: u32, received: u32) -> LinkLoss {
    LinkLoss::Mismatch { field, expected, received }
}

#[test]
fn a_sound_answer_is_taken() {
    let peer = tcp_peer(|a| tcp_frame(a.transaction, a.unit, &a.answer()));
    on_one_thread(async {
        let mut client = connect(&modbus_settings(peer.port)).await;
        let mut data = Vec::new();
        for start in [100, 200] {
            client.read(&block(start, 3), &mut data).await.expect("sound");
            assert_eq!(data, [start, start + 1, start + 2]);
        }
    });
}

#[test]
fn a_short_answer_is_refused() {
    let peer = tcp_peer(|a| tcp_frame(a.transaction, a.unit, &registers(3, a.start(), 1)));
    assert_eq!(refused_read(&peer), mismatch(Field::Length, 13, 11));
}

#[test]
fn a_long_answer_is_refused() {
    let peer = tcp_peer(|a| tcp_frame(a.transaction, a.unit, &registers(3, a.start(), 3)));
    assert_eq!(refused_read(&peer), mismatch(Field::Length, 13, 15));
}

#[test]
fn a_foreign_transaction_unit_or_function_is_refused() {
    let peer = tcp_peer(|a| tcp_frame([0x12, 0x34], a.unit, &a.answer()));
    assert_eq!(refused_read(&peer), mismatch(Field::Transaction, 0, 0x1234));
    let peer = tcp_peer(|a| tcp_frame(a.transaction, 9, &a.answer()));
    assert_eq!(refused_read(&peer), mismatch(Field::Unit, 1, 9));
    let peer = tcp_peer(|a| tcp_frame(a.transaction, a.unit, &registers(4, a.start(), 2)));
    assert_eq!(refused_read(&peer), mismatch(Field::Function, 3, 4));
}

#[test]
fn bytes_that_are_no_frame_are_refused() {
    let peer = tcp_peer(|a| {
        let mut frame = tcp_frame(a.transaction, a.unit, &a.answer());
        frame[2] = 0x55;
        frame
    });
    assert_eq!(refused_read(&peer), LinkLoss::Malformed);
}

#[test]
fn a_second_answer_to_one_request_never_becomes_the_next_value() {
    for rtu in [false, true] {
        let peer = Peer::start(move |_, mut stream| {
            loop {
                let asked = if rtu { next_rtu(&mut stream) } else { next_tcp(&mut stream) };
                let Some(a) = asked else { break };
                let frame =
                    if rtu { rtu_frame(a.unit, &a.answer()) } else { tcp_frame(a.transaction, a.unit, &a.answer()) };
                send(&mut stream, &frame);
                std::thread::sleep(Duration::from_millis(20));
                send(&mut stream, &frame);
            }
        });
        let mut settings = modbus_settings(peer.port);
        if rtu {
            settings.transport = ModbusTransport::RtuOverTcp { host: "127.0.0.1".to_owned(), port: peer.port };
        }
        on_one_thread(async {
            let mut client = connect(&settings).await;
            let mut data = Vec::new();
            client.read(&block(100, 2), &mut data).await.expect("the first answer is sound");
            tokio::time::sleep(Duration::from_millis(100)).await;
            let again = client.read(&block(200, 2), &mut data).await;
            assert_eq!(again, Err(RequestError::Lost(LinkLoss::Unsolicited)), "rtu {rtu}");
            assert_eq!(data, [100, 101], "no value of register 100 under the name of register 200");
        });
    }
}

#[test]
fn a_silent_or_half_open_peer_is_a_timeout() {
    let peer = tcp_peer(|_| Vec::new());
    assert_eq!(refused_read(&peer), LinkLoss::Timeout { after: TIMEOUT });
    // Half an answer is none.
    let peer = tcp_peer(|a| tcp_frame(a.transaction, a.unit, &a.answer())[..10].to_vec());
    assert_eq!(refused_read(&peer), LinkLoss::Timeout { after: TIMEOUT });
}

#[test]
fn a_peer_that_closes_is_a_loss_with_that_reason() {
    let peer = Peer::start(|_, mut stream| {
        let _ = next_tcp(&mut stream);
    });
    assert_eq!(refused_read(&peer), LinkLoss::Closed);
}

#[test]
fn a_cancelled_request_drops_the_connection() {
    let peer = tcp_peer(|_| Vec::new());
    on_one_thread(async {
        let mut client = connect(&modbus_settings(peer.port)).await;
        let mut data = Vec::new();
        let cancelled = tokio::time::timeout(Duration::from_millis(20), client.read(&block(0, 1), &mut data)).await;
        assert!(cancelled.is_err());
        assert!(!client.is_connected());
    });
}

#[test]
fn an_exception_is_a_refusal_and_the_connection_stays() {
    let peer = tcp_peer(|a| tcp_frame(a.transaction, a.unit, &[a.pdu[0] | 0x80, 2]));
    on_one_thread(async {
        let mut client = connect(&modbus_settings(peer.port)).await;
        for _ in 0..2 {
            let read = client.read(&block(0, 1), &mut Vec::new()).await;
            assert_eq!(read, Err(RequestError::Refused(Exception::ILLEGAL_ADDRESS)));
            assert!(client.is_connected());
        }
    });
    assert_eq!(peer.connects(), 1);
}

#[test]
fn a_wrong_echo_of_a_write_is_refused() {
    let registers = || Payload::Registers(vec![1, 2]);
    let cases: [(Payload, Vec<u8>, LinkLoss); 5] = [
        (registers(), vec![16, 0, 11, 0, 2], mismatch(Field::Address, 10, 11)),
        (registers(), vec![16, 0, 10, 0, 1], mismatch(Field::Quantity, 2, 1)),
        (Payload::Coils(vec![true]), vec![5, 0, 10, 0, 0], mismatch(Field::Value, 1, 0)),
        (Payload::Coils(vec![true; 3]), vec![15, 0, 10, 0, 4], mismatch(Field::Quantity, 3, 4)),
        (Payload::Mask { and: 0xFFFE, or: 1 }, vec![22, 0, 10, 0xFF, 0xFE, 0, 0], mismatch(Field::Value, 1, 0)),
    ];
    for (payload, echo, expected) in cases {
        let peer = tcp_peer(move |a| tcp_frame(a.transaction, a.unit, &echo));
        on_one_thread(async {
            let mut client = connect(&modbus_settings(peer.port)).await;
            let write = WriteRequest { unit: 1, start: 10, payload, cells: vec![0] };
            assert_eq!(client.write(&write).await, Err(RequestError::Lost(expected)));
            assert!(!client.is_connected());
        });
    }
}

#[test]
fn nagle_is_off() {
    let peer = tcp_peer(|_| Vec::new());
    let stream = on_one_thread(open_tcp("127.0.0.1", peer.port, TIMEOUT)).expect("peer listens");
    assert!(stream.nodelay().expect("open socket"));
    let linger = stream.linger().expect("open socket");
    assert_eq!(linger, Some(Duration::ZERO), "a write from before an outage would arrive after it");
}

#[test]
fn no_listener_is_a_connect_error() {
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("loopback").local_addr().expect("bound").port();
    let refused = on_one_thread(Client::connect(&modbus_settings(free), TIMING)).err();
    assert_eq!(refused, Some(LinkLoss::Connect(std::io::ErrorKind::ConnectionRefused)));
}
