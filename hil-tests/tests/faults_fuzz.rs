//! S3: malformed frames at every socket that we read: both servers and both clients, Modbus and OPC UA. Why: bytes from the network may be
//! anything; none of them may end a thread, and a peer that sends them must not keep others out.
//!
//! Each part mutates sound frames from a seed: bits turned, bytes cut off, put in or doubled, lengths changed. A panic anywhere in the
//! process counts, also one that a runtime has caught.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Once};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use flyball_config::{Config, ModbusTable, Protocol, load_text};
use flyball_core::image::LinkState;
use flyball_core::link::{LinkDoor, LinkPlan, link_pair};
use flyball_core::ports::Clock;
use flyball_core::status::Status;
use flyball_core::time::{Timestamp, UtcOffset, nanos};
use flyball_hil_tests::campaign::Row;
use flyball_modbus::{BankSize, ModbusServer, RegisterBank, ServerOptions};
use flyball_opcua::server::{ServerHost, ServerSettings, VariableBank, VariableSpec};
use flyball_opcua::{ClientIdentity, Scalar};
use flyball_rig::proxy::{Framing, Proxy};
use flyball_rig::random::Random;

/// Hand-made OPC UA frames: the adapter's own.
#[path = "../../adapters/opcua/tests/common/rude.rs"]
mod rude;

/// Only a hang is longer than this.
const HANG: Duration = Duration::from_secs(120);
/// How long an answer to nonsense is waited for.
const SHORT: Duration = Duration::from_millis(20);
const MODBUS_FRAMES: usize = 3_000;
const OPCUA_CONNECTIONS: usize = 150;
const MESSAGES: usize = 20;
const ANSWERS: usize = 60;

static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            before(info);
        }));
    });
}

/// A frame with one to four faults.
fn mutated(random: &mut Random, sound: &[u8]) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    for _ in 0..=random.next_u64() % 4 {
        let at = (random.next_u64() as usize) % bytes.len().max(1);
        match random.next_u64() % 6 {
            _ if bytes.is_empty() => bytes.push(random.next_u64() as u8),
            0 => bytes[at] ^= 1 << (random.next_u64() % 8),
            1 => bytes[at] = random.next_u64() as u8,
            2 => bytes.truncate(at),
            3 => bytes.insert(at, random.next_u64() as u8),
            4 => {
                // Lengths and counts like to be at their ends.
                bytes[at] = [0, 1, 0x7F, 0x80, 0xFE, 0xFF][(random.next_u64() % 6) as usize];
            }
            _ => {
                let tail = bytes[at..].to_vec();
                bytes.extend(tail);
            }
        }
    }
    bytes
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("the server accepts");
    stream.set_read_timeout(Some(SHORT)).expect("set");
    stream
}

fn modbus_server() -> ModbusServer {
    let bank = Arc::new(RegisterBank::new(BankSize::all(200)));
    bank.write(ModbusTable::HoldingRegister, 0, &[7; 10]).expect("the bank holds them");
    ModbusServer::start(SocketAddr::from(([127, 0, 0, 1], 0)), bank, ServerOptions::default()).expect("listens")
}

/// Sound requests of every function that the server knows.
const REQUESTS: [&[u8]; 8] = [
    &[0, 1, 0, 0, 0, 6, 1, 1, 0, 0, 0, 16],
    &[0, 2, 0, 0, 0, 6, 1, 2, 0, 3, 0, 9],
    &[0, 3, 0, 0, 0, 6, 1, 3, 0, 0, 0, 10],
    &[0, 4, 0, 0, 0, 6, 1, 4, 0, 0, 0, 125],
    &[0, 5, 0, 0, 0, 6, 1, 5, 0, 7, 0xFF, 0],
    &[0, 6, 0, 0, 0, 8, 1, 15, 0, 0, 0, 9, 2, 0xFF, 1],
    &[0, 7, 0, 0, 0, 11, 1, 16, 0, 20, 0, 2, 4, 1, 2, 3, 4],
    &[0, 8, 0, 0, 0, 8, 1, 22, 0, 30, 0xF0, 0xF0, 0, 1],
];

/// The server closes on what is no Modbus; the number of connections that it closed.
fn fuzz_modbus_server() -> usize {
    let server = modbus_server();
    let mut random = Random::new(11);
    let (mut stream, mut closed, mut room) = (connect(server.address()), 0, [0; 512]);
    // Nobody waits for each answer: a frame that was cut off has none.
    stream.set_nonblocking(true).expect("set");
    for turn in 0..MODBUS_FRAMES {
        let sent = stream.write_all(&mutated(&mut random, REQUESTS[turn % REQUESTS.len()]));
        thread::sleep(Duration::from_micros(200));
        let ended = match stream.read(&mut room) {
            Ok(0) => true,
            Ok(_) => false,
            Err(e) => e.kind() != std::io::ErrorKind::WouldBlock,
        };
        if sent.is_err() || ended {
            closed += 1;
            stream = connect(server.address());
            stream.set_nonblocking(true).expect("set");
        }
    }
    let mut sane = connect(server.address());
    sane.set_read_timeout(Some(HANG)).expect("set");
    sane.write_all(REQUESTS[2]).expect("sent");
    let mut answer = [0; 29];
    sane.read_exact(&mut answer).expect("a sane client is served");
    assert_eq!(answer[..9], [0, 3, 0, 0, 0, 23, 1, 3, 20]);
    closed
}

fn opcua_server(folder: &std::path::Path) -> ServerHost {
    let spec = VariableSpec {
        namespace: "urn:fuzz".into(),
        node: "T".into(),
        browse_name: "T".into(),
        initial: Scalar::Int16(7),
        writable: false,
    };
    let refuse = Arc::new(|_: usize, _: &Scalar| Status::BadNotWritable);
    let bank = VariableBank::new("Fuzz", &["urn:fuzz"], vec![spec], refuse);
    let mut settings = ServerSettings::new("fuzz", "127.0.0.1", 0, folder.join("server"));
    settings.anonymous = true;
    settings.trust_any_client = true;
    ServerHost::start(settings, bank as Arc<_>).expect("listens")
}

/// Nonsense before HELLO, after it, and inside a secure channel; connections that the server closed.
fn fuzz_opcua_server(server: &ServerHost) -> usize {
    let mut random = Random::new(12);
    let mut closed = 0;
    for turn in 0..OPCUA_CONNECTIONS {
        let mut messages: Vec<Vec<u8>> = Vec::new();
        let mut stream = if turn % 3 == 2 {
            let mut peer = rude::Peer::open(server.address());
            for i in 0..MESSAGES {
                messages.push(if i % 2 == 0 { peer.get_endpoints() } else { peer.create_session() });
            }
            peer.stream.set_read_timeout(Some(SHORT)).expect("set");
            peer.stream
        } else {
            let mut stream = connect(server.address());
            if turn % 3 == 1 {
                let _ = stream.write_all(&rude::hello());
                let _ = stream.read(&mut [0; 28]);
            }
            messages.extend((0..MESSAGES).map(|_| rude::frame(b"OPNF", &rude::request(446))));
            messages[0] = rude::hello();
            stream
        };
        let ended = messages.iter().any(|m| stream.write_all(&mutated(&mut random, m)).is_err());
        let mut room = [0; 4_096];
        let mut reads = 0;
        closed += usize::from(
            ended
                || loop {
                    match stream.read(&mut room) {
                        Ok(0) => break true,
                        Ok(_) if reads < 50 => reads += 1,
                        Ok(_) => break false,
                        Err(e) => {
                            break !matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
                        }
                    }
                },
        );
    }
    closed
}

/// Answers each client with mutated frames of its protocol. Ends with the process.
fn babbler(over_opcua: bool, told: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let address = listener.local_addr().expect("address");
    thread::spawn(move || {
        let mut random = Random::new(13);
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.set_read_timeout(Some(Duration::from_millis(300)));
            let mut room = [0; 4_096];
            while let Ok(n @ 1..) = stream.read(&mut room) {
                let sound = if over_opcua {
                    let mut ack = rude::hello();
                    ack[..3].copy_from_slice(b"ACK");
                    ack.truncate(28);
                    ack[4..8].copy_from_slice(&28u32.to_le_bytes());
                    // HELLO is answered soundly half of the time, so that what follows is reached too.
                    if &room[..3] == b"HEL" && random.uniform() < 0.5 {
                        let _ = stream.write_all(&ack);
                        continue;
                    }
                    if &room[..3] == b"HEL" { ack } else { room[..n].to_vec() }
                } else {
                    [&room[..4], &[0, 5, room[6], 3, 2, 0, 7]].concat()
                };
                told.fetch_add(1, Ordering::Relaxed);
                if stream.write_all(&mutated(&mut random, &sound)).is_err() {
                    break;
                }
            }
        }
    });
    address
}

struct Wall(Instant);

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp(nanos(self.0.elapsed()) + 1_000_000_000)
    }

    fn wait_until(&self, at: Timestamp) {
        thread::sleep(at.since(self.now()));
    }
}

fn config(over_opcua: bool, port: u16, folder: &std::path::Path) -> Config {
    let (connection, at) = if over_opcua {
        let security = "security = \"SignAndEncrypt / Basic256Sha256\"\nread_by = \"cyclic\"\nevery = \"50 ms\"";
        (format!("protocol = \"opcua\"\nendpoint = \"opc.tcp://127.0.0.1:{port}\"\n{security}"), "nsu=urn:fuzz;s=T")
    } else {
        let numbers = "numbering = \"4xxxx, first register is 40001\"\nword_order = \"ABCD\"\npoll = \"20 ms\"";
        (format!("protocol = \"modbus-tcp\"\nhost = \"127.0.0.1\"\nport = {port}\n{numbers}"), "40001 int16")
    };
    let text = format!(
        "schema = 1\n[app]\nname = \"FUZZ\"\n[timing]\ncycle = \"1 s\"\ndeadline = \"500 ms\"\n[connection.plc]\n{connection}\n\
         timeout = \"200 ms\"\nreconnect = {{ first = \"100 ms\", longest = \"100 ms\" }}\n\
         [tag.T]\ntext = \"seven\"\nat = \"plc: {at}\"\nunit = \"degC\"\nrange = [0, 200]\n"
    );
    let loaded = load_text(&folder.join("fuzz.toml"), &text);
    let mut config = loaded.config.unwrap_or_else(|| panic!("{}", loaded.diagnostics.lines()));
    if let Protocol::OpcUa(opcua) = &mut config.connections[0].protocol {
        opcua.pki = folder.join("client");
    }
    config
}

/// A running link. Its thread must not have panicked.
struct Link {
    door: LinkDoor,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Link {
    fn start(config: &Config) -> Self {
        let plan = LinkPlan::all(config).swap_remove(0);
        let over_opcua = matches!(plan.connection.protocol, Protocol::OpcUa(_));
        let (bell, ring) = if over_opcua { flyball_opcua::doorbell() } else { flyball_modbus::doorbell() };
        let stop = Arc::new(AtomicBool::new(false));
        let utc = UtcOffset { unix_nanos_at_zero: 1_700_000_000_000_000_000, scale: 1 };
        let (seat, door) = link_pair(plan, ring, Arc::clone(&stop), Arc::new(Wall(Instant::now())), utc, 1);
        let identity = ClientIdentity {
            application: "fuzz".into(),
            application_uri: "urn:test:fuzz".into(),
            password: None,
            trust_server: true,
        };
        let thread = thread::spawn(move || {
            if over_opcua {
                flyball_opcua::run(seat, bell, identity);
            } else {
                flyball_modbus::run(seat, bell);
            }
        });
        Self { door, stop, thread: Some(thread) }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || thread::panicking(), "the link's thread panicked");
        }
    }
}

/// A link talks to a babbler, then to a sane server at the same address, and must work there.
fn fuzz_client(over_opcua: bool, sane: SocketAddr) {
    let folder = tempfile::tempdir().expect("folder");
    let told = Arc::new(AtomicUsize::new(0));
    let proxy = Proxy::start(babbler(over_opcua, Arc::clone(&told)), Framing::Opaque, 5).expect("proxy");
    let mut link = Link::start(&config(over_opcua, proxy.address().port(), folder.path()));
    let start = Instant::now();
    while told.load(Ordering::Relaxed) < ANSWERS {
        assert!(start.elapsed() < HANG, "{told:?} answers only");
        thread::sleep(Duration::from_millis(5));
    }
    proxy.retarget(sane);
    proxy.reset();
    loop {
        if let Some(image) = link.door.images.newest()
            && image.state == LinkState::Up
            && image.samples[0].status.is_good()
            && image.samples[0].value.is_some_and(|v| (v.get() - 7.0).abs() < 1e-9)
        {
            break;
        }
        assert!(start.elapsed() < HANG, "the link does not recover");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn s3_malformed_frames() {
    count_panics();
    let folder = tempfile::tempdir().expect("folder");
    let opcua = opcua_server(folder.path());
    let modbus = modbus_server();
    let (closed_modbus, closed_opcua) = thread::scope(|scope| {
        let modbus_server = scope.spawn(fuzz_modbus_server);
        let clients =
            [scope.spawn(|| fuzz_client(false, modbus.address())), scope.spawn(|| fuzz_client(true, opcua.address()))];
        let closed_opcua = fuzz_opcua_server(&opcua);
        for client in clients {
            client.join().expect("a client failed, see above");
        }
        (modbus_server.join().expect("the Modbus server failed, see above"), closed_opcua)
    });
    println!("closed: {closed_modbus} Modbus connections, {closed_opcua} of {OPCUA_CONNECTIONS} OPC UA connections");
    assert!(closed_modbus > 0 && closed_opcua > OPCUA_CONNECTIONS / 2, "{closed_modbus} {closed_opcua}");
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "somebody panicked");
    Row {
        id: "S3",
        fault: "malformed frames from a seed: Modbus and OPC UA, at our servers and at our clients",
        expected: "no crash, session closed",
        observed: format!(
            "0 panics after {MODBUS_FRAMES} requests and {ANSWERS} answers over Modbus, {OPCUA_CONNECTIONS} connections and {ANSWERS} answers \
             over OPC UA; a sane peer is served afterwards"
        ),
    }
    .lay();
}
