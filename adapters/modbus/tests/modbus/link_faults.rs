//! The whole link against peers that misbehave. The one property that all share: a Good value is the right value.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flyball_config::{DataType, ModbusAddress, ModbusConnection, ModbusTable, ModbusTransport, Tag, WordOrder};
use flyball_core::image::LinkState;
use flyball_core::status::Status;
use flyball_core::time::Timestamp;
use flyball_modbus::{BankSize, ModbusServer, RegisterBank, ServerOptions};

use crate::peer::{Peer, next_rtu, next_tcp, rtu_frame, send, tcp_frame};
use crate::seat::{CYCLE, Running, number};
use crate::testing::{connection, holding, modbus_settings, tag};

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Tags at these registers, far apart, each holding its own address.
fn numbered(starts: &[u16]) -> Vec<Tag> {
    starts.iter().map(|s| tag(&format!("r{s}"), holding(*s, DataType::UInt16))).collect()
}

/// Watches images until `enough` distinct Good readings came after losses; every Good value must be its tag's address.
fn never_shifted(mut link: Running, starts: &[u16], peer: &Peer) {
    let mut good = 0;
    link.image(|_, samples| {
        for (sample, start) in samples.iter().zip(starts) {
            if let Some(value) = number(sample) {
                assert!((value - f64::from(*start)).abs() < 0.5, "register {start} shows {value}");
                good += 1;
            }
        }
        good > 60 && peer.connects() >= 4
    });
}

#[test]
fn late_answers_never_shift_values_on_tcp() {
    let asked_in_all = AtomicUsize::new(0);
    let peer = Peer::start(move |_, mut stream| {
        while let Some(a) = next_tcp(&mut stream) {
            let late = asked_in_all.fetch_add(1, Ordering::SeqCst) % 7 == 5;
            if late {
                std::thread::sleep(Duration::from_millis(150));
            }
            send(&mut stream, &tcp_frame(a.transaction, a.unit, &a.answer()));
        }
    });
    let starts = [100, 200, 300];
    let link = Running::start(connection(modbus_settings(peer.port)), numbered(&starts), vec![]);
    never_shifted(link, &starts, &peer);
}

#[test]
fn late_answers_never_shift_values_on_rtu_over_tcp() {
    // A transparent gateway: the late answer of the serial device reaches whoever is connected, the next connection too.
    let asked_in_all = AtomicUsize::new(0);
    let late_answer = std::sync::Mutex::new(None::<(Instant, Vec<u8>)>);
    let peer = Peer::start(move |_, mut stream| {
        if let Some((due, frame)) = late_answer.lock().expect("peer").take() {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            send(&mut stream, &frame);
        }
        while let Some(a) = next_rtu(&mut stream) {
            let frame = rtu_frame(a.unit, &a.answer());
            if asked_in_all.fetch_add(1, Ordering::SeqCst) % 7 == 5 {
                *late_answer.lock().expect("peer") = Some((Instant::now() + Duration::from_millis(150), frame));
                continue;
            }
            send(&mut stream, &frame);
        }
    });
    let starts = [100, 200, 300];
    let transport = ModbusTransport::RtuOverTcp { host: "127.0.0.1".to_owned(), port: peer.port };
    let settings = ModbusConnection { transport, ..modbus_settings(peer.port) };
    let link = Running::start(connection(settings), numbered(&starts), vec![]);
    never_shifted(link, &starts, &peer);
}

#[test]
fn a_peer_that_always_closes_is_not_flooded() {
    let peer = Peer::start(|_, stream| drop(stream));
    let start = Instant::now();
    let mut link = Running::start(connection(modbus_settings(peer.port)), numbered(&[1]), vec![]);
    let (_, samples) = link.image(|state, _| state == LinkState::Down);
    assert!(samples[0].status.is_bad());
    link.image(|_, _| peer.connects() >= 5);
    std::thread::sleep(Duration::from_millis(900));
    let connects = peer.connects();
    // Waits of at least 0.75 x (50, 100, 200, 400, 400, ..) ms, whatever the machine's speed.
    let allowed = 5 + start.elapsed().as_millis() as usize / 300;
    assert!(connects <= allowed, "{connects} connections, {allowed} allowed");
}

#[test]
fn a_half_open_peer_is_down_and_comes_back() {
    // The first connection answers once and then hears nothing more, as after a pulled cable.
    let peer = Peer::start(|number, mut stream| {
        let mut answers = 0;
        while let Some(a) = next_tcp(&mut stream) {
            if number > 0 || answers < 3 {
                send(&mut stream, &tcp_frame(a.transaction, a.unit, &a.answer()));
                answers += 1;
            }
        }
    });
    let mut link = Running::start(connection(modbus_settings(peer.port)), numbered(&[7]), vec![]);
    link.image(|state, samples| state == LinkState::Up && number(&samples[0]) == Some(7.0));
    let (_, down) = link.image(|state, _| state == LinkState::Down);
    assert_eq!(down[0].status, Status::BadTimeout);
    let (_, up) = link.image(|state, _| state == LinkState::Up);
    assert_eq!(number(&up[0]), Some(7.0));
    assert_eq!(peer.connects(), 2);
}

#[test]
fn a_dead_unit_does_not_stop_the_others() {
    let peer = Peer::start(|_, mut stream| {
        while let Some(a) = next_tcp(&mut stream) {
            if a.unit != 2 {
                send(&mut stream, &tcp_frame(a.transaction, a.unit, &a.answer()));
            }
        }
    });
    let unit = |unit| tag("t", ModbusAddress { unit, ..holding(40, DataType::UInt16) });
    let mut link = Running::start(connection(modbus_settings(peer.port)), vec![unit(2), unit(1), unit(3)], vec![]);
    let (mut polls, mut last) = (0, Timestamp::ZERO);
    let (state, samples) = link.image(|_, samples| {
        assert_eq!(number(&samples[0]), None, "unit 2 is dead");
        if number(&samples[1]) == Some(40.0) && samples[1].alive > last {
            (polls, last) = (polls + 1, samples[1].alive);
        }
        polls > 40 && number(&samples[2]) == Some(40.0)
    });
    assert_eq!((state, samples[0].status), (LinkState::Up, Status::BadTimeout));
}

#[test]
fn exceptions_hit_only_their_block_or_unit() {
    let bank = Arc::new(RegisterBank::new(BankSize::all(1_000)));
    bank.hole(ModbusTable::HoldingRegister, 500..501);
    let options = ServerOptions { units: Some(vec![1]), ..ServerOptions::default() };
    let server = ModbusServer::start(loopback(), bank, options).expect("loopback");
    let mut tags = numbered(&[100, 500]);
    tags.push(tag("other unit", ModbusAddress { unit: 9, ..holding(100, DataType::UInt16) }));
    let mut link = Running::start(connection(modbus_settings(server.address().port())), tags, vec![]);
    let (_, samples) =
        link.image(|state, samples| state == LinkState::Up && samples[2].status != Status::BadWaitingForInitialData);
    assert_eq!(number(&samples[0]), Some(0.0));
    assert_eq!((samples[1].status, samples[2].status), (Status::BadConfigurationError, Status::BadNoCommunication));
    assert_eq!(server.accepted(), 1, "a refusal keeps the connection");
}

#[test]
fn a_busy_device_keeps_the_last_value() {
    let asked = AtomicUsize::new(0);
    let peer = Peer::start(move |_, mut stream| {
        while let Some(a) = next_tcp(&mut stream) {
            let busy = asked.fetch_add(1, Ordering::SeqCst) > 0;
            let pdu = if busy { vec![a.pdu[0] | 0x80, 6] } else { a.answer() };
            send(&mut stream, &tcp_frame(a.transaction, a.unit, &pdu));
        }
    });
    let mut link = Running::start(connection(modbus_settings(peer.port)), numbered(&[5]), vec![]);
    let (_, first) = link.image(|_, samples| number(&samples[0]) == Some(5.0));
    let mut images = 0;
    let (state, later) = link.image(|_, _| {
        images += 1;
        images > 5
    });
    assert_eq!((state, later), (LinkState::Up, first), "same value, same proof of life: it grows old");
    assert_eq!(peer.connects(), 1);
}

#[test]
fn every_type_and_order_is_read_over_the_wire() {
    let bank = Arc::new(RegisterBank::new(BankSize::all(4_000)));
    let types = [
        (DataType::Bool, 1.0),
        (DataType::Int16, -1_234.0),
        (DataType::UInt16, 65_001.0),
        (DataType::Int32, -123_456_789.0),
        (DataType::UInt32, 4_000_000_001.0),
        (DataType::Int64, -9_007_199_254_740_991.0),
        (DataType::UInt64, 9_007_199_254_740_991.0),
        (DataType::Float32, -0.15625),
        (DataType::Float64, 1.0e-300),
        (DataType::Bcd16, 9_876.0),
        (DataType::Bcd32, 12_345_678.0),
    ];
    let (mut tags, mut expected) = (Vec::new(), Vec::new());
    for table in [ModbusTable::HoldingRegister, ModbusTable::InputRegister] {
        let mut start = 10;
        for order in [WordOrder::Abcd, WordOrder::Cdab, WordOrder::Badc, WordOrder::Dcba] {
            for (data, value) in types {
                let address = ModbusAddress { table, order, ..holding(start, data) };
                bank.set_value(&address, value).expect("there");
                start += data.registers() + 1;
                tags.push(tag("t", address));
                expected.push(Some(value));
            }
        }
    }
    for (table, start) in [(ModbusTable::Coil, 3), (ModbusTable::DiscreteInput, 77)] {
        let address = ModbusAddress { table, ..holding(start, DataType::Bool) };
        bank.set_value(&address, 1.0).expect("there");
        tags.push(tag("bit", address));
        expected.push(Some(1.0));
    }
    let server = ModbusServer::start(loopback(), bank, ServerOptions::default()).expect("loopback");
    let mut link = Running::start(connection(modbus_settings(server.address().port())), tags, vec![]);
    let (_, samples) = link.image(|state, _| state == LinkState::Up);
    assert_eq!(samples.iter().map(number).collect::<Vec<_>>(), expected);
}

#[test]
fn answers_arrive_just_before_the_scan() {
    let bank = Arc::new(RegisterBank::new(BankSize::all(10)));
    let server = ModbusServer::start(loopback(), bank, ServerOptions::default()).expect("loopback");
    let settings = ModbusConnection { poll: CYCLE, ..modbus_settings(server.address().port()) };
    let mut link = Running::start(connection(settings), numbered(&[0]), vec![]);
    let mut scan = link.clock.now().after(CYCLE);
    let (mut fresh, mut alive) = (0, Timestamp::ZERO);
    for _ in 0..25 {
        link.door.next_scan.store(scan.0, Ordering::Relaxed);
        link.clock.wait_until(scan);
        if let Some(image) = link.door.images.newest() {
            alive = image.samples[0].alive;
        }
        // Without phasing the age would lie anywhere between nothing and a whole cycle.
        if scan.since(alive) < CYCLE / 4 {
            fresh += 1;
        }
        scan = scan.after(CYCLE);
    }
    assert!(fresh >= 18, "only {fresh} of 25 scans found a fresh answer");
}
