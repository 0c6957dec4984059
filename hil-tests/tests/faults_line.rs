//! N4 and N6: bytes are lost, cut into pieces, late or foreign between a link and its server. Why: every value must be the one that was
//! asked for, or none; what the scan does with none is tested elsewhere.
//!
//! Each tag of the server holds a number of its own, 100 x its place and something below 100 that changes all the time: a value that was
//! shifted by one tag, or torn between two, shows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flyball_config::{Config, ModbusTable, Protocol, load_text};
use flyball_core::image::LinkState;
use flyball_core::link::{LinkDoor, LinkPlan, link_pair};
use flyball_core::ports::Clock;
use flyball_core::status::Status;
use flyball_core::time::{Timestamp, UtcOffset, nanos};
use flyball_core::value::Value;
use flyball_hil_tests::campaign::Row;
use flyball_modbus::{BankSize, ModbusServer, RegisterBank, ServerOptions};
use flyball_opcua::server::variables::VariableChange;
use flyball_opcua::server::{ServerHost, ServerSettings, VariableBank, VariableSpec};
use flyball_opcua::{ClientIdentity, Scalar};
use flyball_rig::proxy::{Answer, Framing, Line, Proxy};

/// Only a hang is longer than this.
const HANG: Duration = Duration::from_secs(120);
const TAGS: usize = 50;
const NAMESPACE: &str = "urn:rig:numbers";
/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Modbus,
    OpcUa,
}

fn value(tag: usize, turn: u64) -> i16 {
    (100 * (tag + 1)) as i16 + (turn % 100) as i16
}

/// Serves the numbers, a new turn every 20 ms, until it is dropped.
struct Numbers {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Numbers {
    fn start(over: Over, folder: &std::path::Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let turns = move |mut show: Box<dyn FnMut(u64) + Send>| {
            std::thread::spawn(move || {
                for turn in 0.. {
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    show(turn);
                    std::thread::sleep(Duration::from_millis(20));
                }
            })
        };
        let (address, thread) = match over {
            Over::Modbus => {
                let bank = Arc::new(RegisterBank::new(BankSize { holding_registers: TAGS, ..BankSize::all(0) }));
                let any = SocketAddr::from(([127, 0, 0, 1], 0));
                let server = ModbusServer::start(any, Arc::clone(&bank), ServerOptions::default()).expect("listens");
                let address = server.address();
                let show = move |turn| {
                    let _alive = &server;
                    let words: Vec<u16> = (0..TAGS).map(|tag| value(tag, turn) as u16).collect();
                    bank.write(ModbusTable::HoldingRegister, 0, &words).expect("the bank holds them");
                };
                (address, turns(Box::new(show)))
            }
            Over::OpcUa => {
                let spec = |tag| VariableSpec {
                    namespace: NAMESPACE.into(),
                    node: format!("T{tag}"),
                    browse_name: format!("T{tag}"),
                    initial: Scalar::Int16(value(tag, 0)),
                    writable: false,
                };
                let refuse = Arc::new(|_: usize, _: &Scalar| Status::BadNotWritable);
                let bank = VariableBank::new("Numbers", &[NAMESPACE], (0..TAGS).map(spec).collect(), refuse);
                let mut settings = ServerSettings::new("numbers", "127.0.0.1", 0, folder.join("server"));
                settings.anonymous = true;
                settings.trust_any_client = true;
                let host = ServerHost::start(settings, Arc::clone(&bank) as Arc<_>).expect("listens");
                let address = host.address();
                let show = move |turn| {
                    let change = |index| VariableChange {
                        index,
                        value: Scalar::Int16(value(index, turn)),
                        status: Status::Good,
                        source_time: 1_700_000_000_000_000_000 + turn as i64,
                    };
                    bank.set(&host, &(0..TAGS).map(change).collect::<Vec<_>>()).expect("the types fit");
                };
                (address, turns(Box::new(show)))
            }
        };
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for Numbers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || std::thread::panicking(), "the server's thread panicked");
        }
    }
}

fn config(over: Over, port: u16, folder: &std::path::Path) -> Config {
    let connection = match over {
        Over::Modbus => format!(
            "protocol = \"modbus-tcp\"\nhost = \"127.0.0.1\"\nport = {port}\nnumbering = \"4xxxx, first register is 40001\"\n\
             word_order = \"ABCD\"\npoll = \"20 ms\"\nmax_read = 20"
        ),
        Over::OpcUa => format!(
            "protocol = \"opcua\"\nendpoint = \"opc.tcp://127.0.0.1:{port}\"\nsecurity = \"SignAndEncrypt / Basic256Sha256\"\n\
             read_by = \"cyclic\"\nevery = \"20 ms\""
        ),
    };
    let mut text = format!(
        "schema = 1\n[app]\nname = \"NUMBERS\"\n[timing]\ncycle = \"1 s\"\ndeadline = \"500 ms\"\n[connection.plc]\n{connection}\n\
         timeout = \"{} ms\"\nreconnect = {{ first = \"100 ms\", longest = \"1 s\" }}\n",
        TIMEOUT.as_millis()
    );
    for tag in 0..TAGS {
        let at = match over {
            Over::Modbus => format!("{} int16", 40_001 + tag),
            Over::OpcUa => format!("nsu={NAMESPACE};s=T{tag}"),
        };
        text += &format!(
            "[tag.T{tag}]\ntext = \"number {tag}\"\nat = \"plc: {at}\"\nunit = \"degC\"\nrange = [0, 32000]\n"
        );
    }
    let loaded = load_text(&folder.join("numbers.toml"), &text);
    let mut config = loaded.config.unwrap_or_else(|| panic!("{}", loaded.diagnostics.lines()));
    if let Protocol::OpcUa(opcua) = &mut config.connections[0].protocol {
        opcua.pki = folder.join("client");
    }
    config
}

struct Wall(Instant);

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        // One second ahead, so that no time is zero.
        Timestamp(nanos(self.0.elapsed()) + 1_000_000_000)
    }

    fn wait_until(&self, at: Timestamp) {
        std::thread::sleep(at.since(self.now()));
    }
}

/// A running link behind a proxy.
struct Link {
    door: LinkDoor,
    proxy: Proxy,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _numbers: Numbers,
    _folder: tempfile::TempDir,
}

impl Link {
    fn start(over: Over) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let numbers = Numbers::start(over, folder.path());
        let framing = if over == Over::Modbus { Framing::Modbus } else { Framing::Opaque };
        let proxy = Proxy::start(numbers.address, framing, 3).expect("proxy");
        let config = config(over, proxy.address().port(), folder.path());
        let plan = LinkPlan::all(&config).swap_remove(0);
        let (bell, ring) = if over == Over::Modbus { flyball_modbus::doorbell() } else { flyball_opcua::doorbell() };
        let stop = Arc::new(AtomicBool::new(false));
        let utc = UtcOffset { unix_nanos_at_zero: 1_700_000_000_000_000_000, scale: 1 };
        let (seat, door) = link_pair(plan, ring, Arc::clone(&stop), Arc::new(Wall(Instant::now())), utc, 1);
        let body = move || match over {
            Over::Modbus => flyball_modbus::run(seat, bell),
            Over::OpcUa => {
                let identity = ClientIdentity {
                    application: "numbers".into(),
                    application_uri: "urn:flyball:numbers".into(),
                    password: None,
                    trust_server: true,
                };
                flyball_opcua::run(seat, bell, identity);
            }
        };
        let thread = std::thread::Builder::new().name("link".into()).spawn(body).expect("thread");
        Self { door, proxy, stop, thread: Some(thread), _numbers: numbers, _folder: folder }
    }

    /// Looks at images until `enough`; every value on the way must be the tag's own. The number of values seen.
    fn look(&mut self, mut enough: impl FnMut(&Proxy, LinkState, bool) -> bool) -> u64 {
        let (start, mut values) = (Instant::now(), 0);
        loop {
            if let Some(image) = self.door.images.newest() {
                for (tag, sample) in image.samples.iter().enumerate() {
                    let Some(number) = sample.value.map(Value::get) else { continue };
                    let own = f64::from(value(tag, 0));
                    assert!((own..own + 100.0).contains(&number), "tag {tag} shows {number}");
                    values += 1;
                }
                let good = image.samples.iter().all(|s| s.status.is_good());
                if enough(&self.proxy, image.state, good) {
                    return values;
                }
            }
            assert!(start.elapsed() < HANG, "it never came; {:?}", self.proxy.counts());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn all_good(&mut self) -> u64 {
        self.look(|_, state, good| state == LinkState::Up && good)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || std::thread::panicking(), "the link's thread panicked");
        }
    }
}

#[test]
#[ignore = "its row is not laid yet: the machine was too busy; run it with --ignored and UPDATE_SNAPSHOTS=1"]
fn n4_loss_order_segments() {
    const IMAGES: usize = 300;
    for over in [Over::Modbus, Over::OpcUa] {
        let mut link = Link::start(over);
        link.all_good();
        let jitter = Duration::from_millis(5);
        link.proxy.set(Line { loss: 0.05, resend: Duration::from_millis(50), segment: 1, jitter, ..Line::GOOD });
        let (mut images, from) = (0, link.proxy.counts());
        let values = link.look(|proxy, _, good| {
            images += usize::from(good);
            if good && images % 40 == 0 {
                proxy.next_answer(if images % 80 == 0 { Answer::OldFirst } else { Answer::OtherTransaction });
            }
            images >= IMAGES
        });
        let counts = link.proxy.counts();
        println!("{over:?}: {values} values, {counts:?}");
        assert!(values > 0 && counts.lost > from.lost, "there was something to see");
        assert!(over == Over::OpcUa || counts.spoilt >= 4, "answers came in the wrong order");
        assert!(counts.segments - from.segments > (counts.to_client - from.to_client) * 9 / 10, "single bytes");
    }
    Row {
        id: "N4",
        fault: "5 % of pieces lost once, single bytes, jitter, Modbus answers in the wrong order; OPC UA and Modbus",
        expected: "no wrong value is ever used, no spinning",
        observed: format!(
            "{IMAGES} complete images of {TAGS} tags each, every value its tag's own; processor use under N5"
        ),
    }
    .lay();
}

#[test]
fn n6_late_answer() {
    const TIMES: u64 = 5;
    for over in [Over::Modbus, Over::OpcUa] {
        let mut link = Link::start(over);
        link.all_good();
        let mut values = 0;
        for turn in 0..TIMES {
            let before = link.proxy.counts();
            link.proxy.next_answer(Answer::Late(TIMEOUT * 2));
            values += link.look(|proxy, state, good| {
                let counts = proxy.counts();
                counts.spoilt > before.spoilt && counts.attempts > before.attempts && state == LinkState::Up && good
            });
            if over == Over::Modbus {
                let before = link.proxy.counts();
                link.proxy.next_answer(if turn % 2 == 0 { Answer::OtherTransaction } else { Answer::OldFirst });
                values += link.look(|proxy, state, good| {
                    let counts = proxy.counts();
                    counts.spoilt > before.spoilt && counts.attempts > before.attempts && state == LinkState::Up && good
                });
            }
        }
        println!("{over:?}: {values} values, {:?}", link.proxy.counts());
    }
    Row {
        id: "N6",
        fault: "an answer after its time-out, with a foreign transaction id, or behind an older one; OPC UA and Modbus",
        expected: "connection dropped, no value shifted, transaction ids checked",
        observed: format!(
            "a new connection after each of {TIMES} late and {TIMES} foreign answers; every value its tag's own"
        ),
    }
    .lay();
}
