//! T6: nothing grows. Why: what leaks a little at each reconnect is not seen in a test of seconds. The real program beside the plant at a
//! cycle of 100 ms, the line cut again and again, the operator closing the loop after each outage.
//!
//! The short form runs with the other tests. The long one is asked for:
//!
//! ```sh
//! FLYBALL_SOAK_SECONDS=7200 cargo test --release --workspace --test faults_soak -- --ignored --nocapture
//! ```

#[path = "../../../hil-tests/src/campaign.rs"]
mod campaign;
mod common;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use campaign::Row;
use common::network::{Network, Over};
use common::{Plant, Program, beats};
use flyball_rig::plc::PlcOptions;
use flyball_rig::proxy::Line;
use nix::sys::signal::Signal;

/// The repository's root, for the fault table.
fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What the operating system says about a process.
#[derive(Debug, Clone, Copy, Default)]
struct Use {
    resident_kb: u64,
    descriptors: usize,
}

fn used(pid: u32) -> Use {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("a process with memory");
    let resident_kb = line.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    Use { resident_kb, descriptors: fs::read_dir(format!("/proc/{pid}/fd")).expect("our own process").count() }
}

/// Control and service process, at the same point of a flap: the loop has just been closed again.
#[derive(Debug, Clone, Copy, Default)]
struct Look {
    control: Use,
    service: Use,
}

/// What a soak has seen.
struct Soak {
    looks: Vec<Look>,
    old_bytes: u64,
    backwards: usize,
    attempts: u64,
    services: usize,
    last_words: String,
}

/// Flaps before the first look: caches, arenas and the service have grown to their size by then.
const WARM_UP: usize = 3;

/// Runs for `time`, cutting the line for `cut` in each `period`.
fn soak(time: Duration, period: Duration, cut: Duration) -> Soak {
    let plant = Plant::start(PlcOptions::default());
    let network = Network::before(&plant, Over::OpcUa);
    let mut program = plant.run(&[]);
    program.service(1);
    plant.close_the_loop(&program);
    let start = Instant::now();
    let mut looks = Vec::new();
    while start.elapsed() < time || looks.len() < WARM_UP + 3 {
        let flap = Instant::now();
        for proxy in [&network.plc, &network.analyser] {
            proxy.set(Line::CUT);
        }
        thread::sleep(cut);
        for proxy in [&network.plc, &network.analyser] {
            proxy.set(Line::GOOD);
        }
        close_again(&plant, &program);
        let pid = *program.services().last().expect("it serves");
        let look = Look { control: used(program.id()), service: used(pid) };
        println!("{:>6.0} s {look:?}", start.elapsed().as_secs_f64());
        looks.push(look);
        thread::sleep(period.saturating_sub(flap.elapsed()));
    }
    let services = program.services().len();
    program.signal(Signal::SIGTERM);
    assert_eq!(program.end().code(), Some(0), "{}", program.log());
    let log = program.log();
    let last_words = log.lines().rfind(|l| l.contains("ended:")).unwrap_or_default().to_owned();
    // The program counts up for each scan; an old write that arrives after a newer one makes the counter step back.
    let seen = plant.watch.since(Duration::ZERO);
    assert!(!beats(&seen).0.is_empty());
    let back = |w: &&[common::Seen]| (w[1].heartbeat.wrapping_sub(w[0].heartbeat) as i16) < 0;
    Soak {
        looks,
        old_bytes: network.plc.counts().old_to_server,
        backwards: seen.windows(2).filter(back).count(),
        attempts: network.plc.counts().attempts,
        services,
        last_words,
    }
}

/// The outage has shed; the operator switches off and on again.
fn close_again(plant: &Plant, program: &Program) {
    program.wait("the gate opens", || !plant.truth().link.x_closed_loop);
    plant.switch(false);
    program.wait("the link is back", || plant.truth().link.x_link_ok);
    plant.operate_until_it_moves(program);
}

impl Soak {
    fn say(&self) {
        let (first, last) = (self.looks[WARM_UP], self.looks[self.looks.len() - 1]);
        for (name, a, b) in [("control", first.control, last.control), ("service", first.service, last.service)] {
            println!(
                "{name}: resident {} kB after warm-up, {} kB at the end ({:+.2} %); descriptors {} and {}",
                a.resident_kb,
                b.resident_kb,
                (b.resident_kb as f64 / a.resident_kb as f64 - 1.0) * 100.0,
                a.descriptors,
                b.descriptors
            );
        }
        println!(
            "{} outages, {} connections tried, {} starts of the service; old bytes at the PLC {}, heartbeats backwards {}",
            self.looks.len(),
            self.attempts,
            self.services,
            self.old_bytes,
            self.backwards
        );
        println!("{}", self.last_words);
    }

    /// Growth of the control process between warm-up and end stays below this many kB, and no descriptor is added.
    fn judge(&self, growth_kb: u64) {
        let (first, last) = (self.looks[WARM_UP].control, self.looks[self.looks.len() - 1].control);
        assert!(last.resident_kb < first.resident_kb + growth_kb, "resident memory grows");
        assert!(last.descriptors <= first.descriptors + 1, "descriptors grow");
        assert_eq!((self.old_bytes, self.backwards), (0, 0), "a write from before an outage arrived after it");
    }
}

fn seconds(name: &str, otherwise: u64) -> Duration {
    Duration::from_secs(std::env::var(name).ok().and_then(|s| s.parse().ok()).unwrap_or(otherwise))
}

/// kB that the allocator may still gather while the short form runs.
const SHORT_GROWTH_KB: u64 = 4_096;

#[test]
#[ignore = "its row is not laid yet: the machine was too busy; run it with --ignored and UPDATE_SNAPSHOTS=1"]
fn t6_soak_short() {
    let run = soak(Duration::from_secs(60), Duration::from_secs(6), Duration::from_secs(2));
    run.say();
    run.judge(SHORT_GROWTH_KB);
    Row {
        id: "T6",
        fault: "soak: 100 ms cycle on real sockets, both links cut for 2 s again and again, at least 60 s",
        expected: "resident memory and descriptors do not grow, nothing old is written after an outage",
        observed: format!(
            "control process grows by less than {} MB after warm-up, at most 1 descriptor more; old bytes at the PLC {}, heartbeats \
             backwards {}",
            SHORT_GROWTH_KB >> 10,
            run.old_bytes,
            run.backwards
        ),
    }
    .lay();
}

#[test]
#[ignore = "takes FLYBALL_SOAK_SECONDS, two hours unless set"]
fn t6_soak_long() {
    let run = soak(seconds("FLYBALL_SOAK_SECONDS", 7_200), seconds("FLYBALL_SOAK_FLAP", 60), Duration::from_secs(5));
    run.say();
    run.judge(SHORT_GROWTH_KB);
}
