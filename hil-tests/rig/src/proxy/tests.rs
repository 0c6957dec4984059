//! The proxy on real sockets: an echo server and hand-made Modbus frames behind it. Least times only; nothing judges a longest.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::{Answer, Framing, Line, Proxy};

const HANG: Duration = Duration::from_secs(60);
const MS_100: Duration = Duration::from_millis(100);

/// Ends of connections that wait to be asked for; no test has more.
const ENDS: usize = 64;

/// What the server got on a connection, and how it ended.
type Seen = (Vec<u8>, Option<ErrorKind>);

/// Sends back what it gets; tells of each end that it sees: None after FIN, the error's kind otherwise.
fn echo() -> (SocketAddr, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let address = listener.local_addr().expect("address");
    let (tell, told) = sync_channel(ENDS);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), tell) = (stream, tell.clone()) else { return };
            thread::spawn(move || {
                let (mut room, mut all) = ([0; 4096], Vec::new());
                let end = loop {
                    match stream.read(&mut room) {
                        Ok(0) => break None,
                        Ok(n) => {
                            all.extend_from_slice(&room[..n]);
                            if stream.write_all(&room[..n]).is_err() {
                                break Some(ErrorKind::BrokenPipe);
                            }
                        }
                        Err(e) => break Some(e.kind()),
                    }
                };
                // Nobody asks when the test has ended.
                let _ = tell.send((all, end));
            });
        }
    });
    (address, told)
}

/// Answers each Modbus request with its own bytes.
fn start(framing: Framing) -> (Proxy, Receiver<Seen>) {
    let (address, told) = echo();
    (Proxy::start(address, framing, 7).expect("starts"), told)
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).expect("connects");
    stream.set_read_timeout(Some(HANG)).expect("set");
    stream.set_nodelay(true).expect("set");
    stream
}

fn ask(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).expect("sent");
    read(stream, bytes.len())
}

fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut room = vec![0; count];
    stream.read_exact(&mut room).expect("answered");
    room
}

/// Nothing comes for this long.
fn silent(stream: &mut TcpStream, time: Duration) -> bool {
    stream.set_read_timeout(Some(time)).expect("set");
    let kind = stream.read(&mut [0; 16]).expect_err("silence").kind();
    stream.set_read_timeout(Some(HANG)).expect("set");
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < HANG, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn frame(transaction: u16, pdu: &[u8]) -> Vec<u8> {
    let [high, low] = transaction.to_be_bytes();
    [&[high, low, 0, 0, 0, pdu.len() as u8 + 1, 1], pdu].concat()
}

#[test]
fn a_good_line_passes_everything_and_counts_it() {
    let (proxy, told) = start(Framing::Opaque);
    let mut stream = connect(&proxy);
    let big: Vec<u8> = (0..200_000u32).map(|i| i as u8).collect();
    let (mut sender, sent) = (stream.try_clone().expect("clone"), big.clone());
    let writer = thread::spawn(move || sender.write_all(&sent));
    assert_eq!(read(&mut stream, big.len()), big);
    writer.join().expect("no panic").expect("sent");
    stream.shutdown(Shutdown::Write).expect("FIN");
    assert_eq!(stream.read(&mut [0; 1]).expect("FIN comes back"), 0);
    assert_eq!(told.recv_timeout(HANG).expect("told"), (big, None));
    let counts = proxy.counts();
    assert_eq!((counts.attempts, counts.opened), (1, 1));
    assert_eq!((counts.to_server, counts.to_client), (200_000, 200_000));
    until("closed", || proxy.open() == 0);
}

#[test]
fn a_cut_line_is_silent_and_delivers_when_it_is_back() {
    let (proxy, _told) = start(Framing::Opaque);
    let mut stream = connect(&proxy);
    assert_eq!(ask(&mut stream, b"before"), b"before");
    proxy.set(Line::CUT);
    stream.write_all(b"during").expect("the socket takes it");
    assert!(silent(&mut stream, MS_100));
    let mut newcomer = connect(&proxy);
    newcomer.write_all(b"hello").expect("the socket takes it");
    assert!(silent(&mut newcomer, MS_100), "its SYN was lost");
    assert_eq!(proxy.counts().opened, 1);
    proxy.set(Line::GOOD);
    assert_eq!(read(&mut stream, 6), b"during", "sent again by TCP");
    assert!(newcomer.read(&mut [0; 1]).is_err(), "reset");
    let counts = proxy.counts();
    assert_eq!((counts.to_server, counts.old_to_server), (12, 6));
}

#[test]
fn over_a_cut_line_an_old_request_arrives_after_a_close_but_not_after_a_reset() {
    for (with_reset, arrived) in [(false, b"before-old".to_vec()), (true, b"before".to_vec())] {
        let (proxy, told) = start(Framing::Opaque);
        let mut stream = connect(&proxy);
        assert_eq!(ask(&mut stream, b"before"), b"before");
        proxy.set(Line::CUT);
        stream.write_all(b"-old").expect("the socket takes it");
        if with_reset {
            let stream = tokio_stream(stream);
            super::relay::reset(&stream);
        } else {
            drop(stream);
        }
        thread::sleep(MS_100);
        assert!(told.try_recv().is_err(), "the server hears nothing of the end");
        proxy.set(Line::GOOD);
        assert_eq!(told.recv_timeout(HANG).expect("told").0, arrived, "reset: {with_reset}");
    }
}

/// As the links close it.
fn tokio_stream(stream: TcpStream) -> tokio::net::TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    stream.set_nonblocking(true).expect("set");
    let _inside = runtime.enter();
    tokio::net::TcpStream::from_std(stream).expect("registered")
}

#[test]
fn an_orphan_stays_open_and_says_nothing() {
    let (proxy, told) = start(Framing::Opaque);
    let mut stream = connect(&proxy);
    assert_eq!(ask(&mut stream, b"x"), b"x");
    proxy.orphan();
    assert_eq!(told.recv_timeout(HANG).expect("the server's end closes").1, Some(ErrorKind::ConnectionReset));
    stream.write_all(b"anybody").expect("the socket takes it");
    assert!(silent(&mut stream, MS_100));
    assert_eq!(ask(&mut connect(&proxy), b"y"), b"y", "a new connection works");
    proxy.reset();
    assert!(stream.read(&mut [0; 1]).is_err());
    until("closed", || proxy.open() == 0);
}

#[test]
fn the_door_resets_or_is_closed_and_opens_again_on_the_same_port() {
    let (proxy, _told) = start(Framing::Opaque);
    proxy.set(Line::RESETS);
    assert!(connect(&proxy).read(&mut [0; 1]).is_err());
    assert_eq!((proxy.counts().attempts, proxy.counts().opened, proxy.attempts().len()), (1, 0, 1));
    proxy.set(Line::CLOSED);
    until("refused", || TcpStream::connect(proxy.address()).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused));
    proxy.set(Line::GOOD);
    until("listens", || TcpStream::connect(proxy.address()).is_ok());
    assert_eq!(ask(&mut connect(&proxy), b"z"), b"z");
}

#[test]
fn delay_and_loss_make_it_later_and_keep_the_order() {
    let (proxy, _told) = start(Framing::Opaque);
    let mut stream = connect(&proxy);
    proxy.set(Line { delay: MS_100, jitter: MS_100, loss: 0.5, ..Line::GOOD });
    let start = Instant::now();
    for i in 0..20u8 {
        stream.write_all(&[i]).expect("sent");
        thread::sleep(Duration::from_millis(3));
    }
    assert_eq!(read(&mut stream, 20), (0..20).collect::<Vec<u8>>());
    assert!(start.elapsed() >= 2 * MS_100, "there and back");
    assert!(proxy.counts().lost > 0);
}

#[test]
fn segments_and_rate_are_kept() {
    let (proxy, _told) = start(Framing::Opaque);
    let mut stream = connect(&proxy);
    proxy.set(Line { segment: 1, ..Line::GOOD });
    assert_eq!(ask(&mut stream, &[5; 100]), [5; 100]);
    assert_eq!(proxy.counts().segments, 200);
    proxy.set(Line { rate: Some(1_000), ..Line::GOOD });
    let start = Instant::now();
    // What came last is paid for after it was handed on: the second one waits.
    for _ in 0..2 {
        assert_eq!(ask(&mut stream, &[6; 100]), [6; 100]);
    }
    assert!(start.elapsed() >= MS_100 / 2, "{:?}", start.elapsed());
}

#[test]
fn a_schedule_flaps_until_it_is_replaced() {
    let (proxy, _told) = start(Framing::Opaque);
    proxy.play(vec![(MS_100 / 2, Line::GOOD), (MS_100 / 2, Line::CUT)]);
    let mut stream = connect(&proxy);
    let start = Instant::now();
    let mut gaps = 0;
    while gaps < 3 {
        let asked = Instant::now();
        // A connection of a cut line is reset when the line is back.
        if stream.write_all(b"q").and_then(|()| stream.read_exact(&mut [0])).is_err() {
            stream = connect(&proxy);
        }
        gaps += usize::from(asked.elapsed() > MS_100 / 5);
        assert!(start.elapsed() < HANG, "three cuts");
    }
    proxy.set(Line::GOOD);
    assert_eq!(ask(&mut connect(&proxy), b"r"), b"r");
}

#[test]
fn answers_are_spoilt_one_by_one() {
    let (proxy, _told) = start(Framing::Modbus);
    let mut stream = connect(&proxy);
    let (first, second, third) = (frame(1, &[3, 2, 0, 1]), frame(2, &[3, 2, 0, 2]), frame(3, &[3, 2, 0, 3]));
    assert_eq!(ask(&mut stream, &first), first);
    proxy.next_answer(Answer::OtherTransaction);
    proxy.next_answer(Answer::OldFirst);
    proxy.next_answer(Answer::Late(MS_100));
    assert_eq!(ask(&mut stream, &second), frame(3, &[3, 2, 0, 2]));
    stream.write_all(&third).expect("sent");
    assert_eq!(read(&mut stream, 22), [second.clone(), third].concat(), "the old one as it was, then the new one");
    let start = Instant::now();
    assert_eq!(ask(&mut stream, &first), first);
    assert!(start.elapsed() >= MS_100);
    assert_eq!((proxy.answers_waiting(), proxy.counts().spoilt), (0, 3));
    // A frame in two parts is one answer; what is no frame passes as it is.
    let (head, tail) = second.split_at(4);
    stream.write_all(head).expect("sent");
    assert!(silent(&mut stream, MS_100));
    stream.write_all(tail).expect("sent");
    assert_eq!(read(&mut stream, second.len()), second);
    assert_eq!(ask(&mut stream, &[255; 300]), [255; 300]);
}

#[test]
fn connections_over_the_limit_are_reset_and_another_upstream_is_used_by_the_next() {
    let (proxy, _told) = start(Framing::Opaque);
    let mut crowd: Vec<TcpStream> = (0..super::CONNECTIONS_MAX).map(|_| connect(&proxy)).collect();
    assert_eq!(ask(crowd.last_mut().expect("one"), b"a"), b"a");
    assert!(connect(&proxy).read(&mut [0; 1]).is_err(), "full");
    crowd.clear();
    until("closed", || proxy.open() == 0);
    let other = TcpListener::bind("127.0.0.1:0").expect("listens");
    proxy.retarget(other.local_addr().expect("address"));
    let mut stream = connect(&proxy);
    other.accept().expect("connected").0.write_all(b"other").expect("sent");
    assert_eq!(read(&mut stream, 5), b"other");
}
