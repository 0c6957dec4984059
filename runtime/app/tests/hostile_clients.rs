//! Why: strangers on the server's port must not reach the scan: one client that sends and never reads, and 300 connections at once,
//! while a scan of 10 ms runs; the p99.9 of wake-up and scan is compared with the quiet phases of the same run.
//!
//! The times come from the program's own trace of each scan. They are printed, not judged: this machine also runs the hostile clients.

mod common;

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::rude::{Peer, hello};
use common::{Program, acknowledges, command, free_port, lives, wait_until};
use flyball_config::ModbusTable;
use flyball_modbus::{BankSize, ModbusServer, RegisterBank, ServerOptions};
use nix::sys::signal::Signal;

const TAGS: u16 = 50;
/// Real time of each phase: at 10 ms a scan, two values lie beyond its p99.9.
const PHASE: Duration = Duration::from_secs(20);
const CONNECTIONS: usize = 300;
/// Largest resident memory of a service process (the supervisor's limit), plus what it may grow between two looks.
const RESIDENT_MAX: u64 = (512 + 64) << 20;

fn config(folder: &Path, modbus: u16, server: u16) -> std::path::PathBuf {
    let mut text = format!(
        "schema = 1\n[app]\nname = \"FAST\"\n[timing]\ncycle = \"10 ms\"\ndeadline = \"9 ms\"\n\
         stage_budget = {{ read = \"2 ms\", condition = \"1 ms\", predict = \"1 ms\", optimise = \"1 ms\", guard = \"1 ms\", write = \"2 ms\" }}\n\
         cpu = {{ core = 1, priority = 80, lock_memory = true }}\n\
         [connection.plc]\nprotocol = \"modbus-tcp\"\nhost = \"127.0.0.1\"\nport = {modbus}\n\
         numbering = \"4xxxx, first register is 40001\"\nword_order = \"ABCD\"\npoll = \"10 ms\"\ntimeout = \"1 s\"\n\
         [server]\nendpoint = \"opc.tcp://127.0.0.1:{server}\"\nsecurity = [\"SignAndEncrypt / Basic256Sha256\"]\nanonymous = \"read\"\n"
    );
    for i in 1..=TAGS {
        text += &format!(
            "[tag.T{i}]\ntext = \"value {i}\"\nat = \"plc: {} int16\"\nunit = \"degC\"\nrange = [0, 200]\n",
            40_000 + i
        );
    }
    let file = folder.join("fast.toml");
    fs::write(&file, text).expect("configuration");
    file
}

/// One scan as the program traced it: number, how late it started and how long after its scheduled start it ended, nanoseconds.
type Scan = (u64, u64, u64);

fn scans(program: &Program) -> Vec<Scan> {
    let number = |line: &str, before: &str| -> Option<u64> {
        line.split_once(before)?.1.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let of = |l: &String| Some((number(l, " scan ")?, number(l, "started late by ")?, number(l, "ended after ")?));
    program.lines().iter().filter_map(of).collect()
}

/// p50, p99.9 and largest, microseconds.
fn quantiles(mut values: Vec<u64>) -> [f64; 3] {
    values.sort_unstable();
    let at = |q: f64| values[((values.len() - 1) as f64 * q).round() as usize] as f64 * 1e-3;
    [at(0.5), at(0.999), at(1.0)]
}

/// Runs `hostile` for one phase and returns the scans of that time, and the largest resident memory of a service process.
fn phase(program: &Program, mut hostile: impl FnMut()) -> (Vec<Scan>, u64) {
    let from = scans(program).last().map_or(0, |s| s.0);
    let (start, mut resident) = (Instant::now(), 0);
    while start.elapsed() < PHASE {
        hostile();
        resident = resident.max(program.services().last().map_or(0, |pid| resident_bytes(*pid)));
        thread::sleep(Duration::from_millis(2));
    }
    (scans(program).into_iter().filter(|s| s.0 > from).collect(), resident)
}

fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or(0) << 10
}

/// Sends requests and never reads; comes again when it was thrown out.
struct NeverReads {
    address: SocketAddr,
    peer: Option<Peer>,
    unsent: Vec<u8>,
    sent: usize,
    visits: usize,
}

impl NeverReads {
    fn rage(&mut self) {
        let peer = self.peer.get_or_insert_with(|| {
            let peer = Peer::open(self.address);
            peer.stream.set_nonblocking(true).expect("nonblocking");
            self.visits += 1;
            self.unsent.clear();
            peer
        });
        for _ in 0..50 {
            if self.unsent.is_empty() {
                self.unsent = (0..100).flat_map(|_| peer.get_endpoints()).collect();
            }
            match peer.stream.write(&self.unsent) {
                Ok(n) => {
                    self.sent += n;
                    self.unsent.drain(..n);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.peer = None;
                    return;
                }
            }
        }
    }
}

#[test]
fn strangers_do_not_reach_the_scan() {
    let folder = tempfile::tempdir().expect("folder");
    let registers = BankSize { holding_registers: usize::from(TAGS), ..BankSize::all(0) };
    let bank = Arc::new(RegisterBank::new(registers));
    bank.write(ModbusTable::HoldingRegister, 0, &[20; TAGS as usize]).expect("the bank holds them");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let plc = ModbusServer::start(any, bank, ServerOptions::default()).expect("listens");
    let port = free_port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let file = config(folder.path(), plc.address().port(), port);
    let mut command = command(&file, &["--read-only"]);
    command.env("FLYBALL_LOG", "warn,flyball=info,flyball::keeper=trace");
    let mut program = Program::spawn(command);
    program.service(1);
    wait_until("the server answers", || acknowledges(address));
    program.wait("scans are traced", || scans(&program).len() > 200);

    let (mut quiet, quiet_memory) = phase(&program, || {});
    let mut rude = NeverReads { address, peer: None, unsent: Vec::new(), sent: 0, visits: 0 };
    let (never_reads, rude_memory) = phase(&program, || rude.rage());
    println!("never reads: sent {} KiB in {} visits", rude.sent >> 10, rude.visits);
    assert!(rude.sent > 0);
    rude.peer = None;
    quiet.extend(phase(&program, || {}).0);
    let mut crowd: Vec<Option<TcpStream>> = (0..CONNECTIONS).map(|_| None).collect();
    let mut knocked = 0;
    let (crowded, crowd_memory) = phase(&program, || {
        // Whoever was thrown out knocks again, at most twenty in a round.
        for seat in crowd.iter_mut().filter(|s| s.as_ref().is_none_or(is_closed)).take(20) {
            *seat = TcpStream::connect(address).ok();
            let Some(stream) = seat else { continue };
            knocked += 1;
            let _ = stream.set_nonblocking(true).and_then(|()| (&*stream).write_all(&hello()));
        }
    });
    println!("crowd: {CONNECTIONS} places, {knocked} connections opened");
    assert!(knocked >= CONNECTIONS);
    drop(crowd);

    let judge = |name: &str, scans: &[Scan]| {
        assert!(scans.len() > 1_000, "{name}: the scan goes on; {} scans\n{}", scans.len(), program.log());
        let missing = scans.last().expect("some").0 - scans[0].0 + 1 - scans.len() as u64;
        let late = quantiles(scans.iter().map(|s| s.1).collect());
        let total = quantiles(scans.iter().map(|s| s.2).collect());
        println!(
            "{name:<12} {} scans, {missing} left out; p50/p99.9/max us: wake-up late {late:.0?}, end of scan {total:.0?}",
            scans.len()
        );
        (late[1], total[1])
    };
    let half = quiet.iter().position(|s| s.0 >= never_reads[0].0).expect("a second quiet phase");
    judge("quiet", &quiet[..half]);
    judge("quiet again", &quiet[half..]);
    let p999 = |of: fn(&Scan) -> u64| quantiles(quiet.iter().map(of).collect())[1];
    let base = (p999(|s| s.1), p999(|s| s.2));
    for (name, scans) in [("never reads", &never_reads), ("300 clients", &crowded)] {
        let (late, total) = judge(name, scans);
        println!("{name:<12} p99.9 over quiet: wake-up {:.2}, end of scan {:.2}", late / base.0, total / base.1);
    }
    println!(
        "service process: quiet {} MiB, never reads {} MiB, crowd {} MiB; {} starts",
        quiet_memory >> 20,
        rude_memory >> 20,
        crowd_memory >> 20,
        program.services().len()
    );
    assert!(rude_memory.max(crowd_memory) < RESIDENT_MAX, "the service process stays small or is replaced");
    wait_until("the server serves others again", || acknowledges(address));
    program.signal(Signal::SIGTERM);
    let service = *program.services().last().expect("served");
    assert_eq!(program.end().code(), Some(0), "{}", program.log());
    assert!(!lives(service));
    println!("{}", program.log().lines().rfind(|l| l.contains("ended:")).unwrap_or_default());
}

/// The other side has closed.
fn is_closed(stream: &TcpStream) -> bool {
    let mut byte = [0; 256];
    loop {
        match std::io::Read::read(&mut &*stream, &mut byte) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(e) => return e.kind() != ErrorKind::WouldBlock,
        }
    }
}
