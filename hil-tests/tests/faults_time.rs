//! Fault campaign, T: clocks that jump, an optimiser that is slow, counters that wrap. R-101 on the virtual clock; every time is exact.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flyball::clock::VirtualClock;
use flyball_core::image::Sample;
use flyball_core::mode::Mode;
use flyball_core::optimum::{Optimum, Problem, SolveStatus};
use flyball_core::ports::{Clock, Optimizer, Phase, Probe};
use flyball_core::record::{Event, ScanRecord};
use flyball_core::sample::SampleVerdict;
use flyball_core::time::Timestamp;
use flyball_hil_tests::campaign::Row;
use flyball_hil_tests::fault::Stage;
use flyball_hil_tests::{engines, example};
use flyball_rig::signals::{PlcValue, Signal};

const HOUR: u64 = 3_600;

fn closed(record: &ScanRecord) -> bool {
    record.mode.actual == Mode::ClosedLoop
}

#[test]
fn t1_wall_clock_jumps_by_an_hour() {
    // UTC comes into a decision in one place only: the time at which a device says that a sample was taken. It does not matter which of the
    // two clocks is wrong.
    let mut told = Vec::new();
    for (what, shift, verdict) in
        [("ahead", HOUR as i64, SampleVerdict::FromFuture), ("behind", -(HOUR as i64), SampleVerdict::TooOld)]
    {
        let mut stage = Stage::closed(51, 2 * HOUR);
        let tag = stage.tag("AI-101").index();
        let bias = stage.scan().predictions[0].bias;
        stage.spoil(move |_, image| {
            let s = image.samples[tag];
            let taken = (s.source_time.0 as i64 + shift * 1_000_000_000).max(1) as u64;
            image.samples[tag] = Sample { source_time: Timestamp(taken), ..s };
        });
        let (mut verdicts, mut last) = (Vec::new(), None::<ScanRecord>);
        stage.watch(HOUR, |r| {
            verdicts.extend(r.samples.iter().map(|s| s.verdict));
            if let Some(last) = &last {
                assert_eq!(r.cycle.scheduled.since(last.cycle.scheduled), Duration::from_secs(1));
                assert_eq!(r.heartbeat, last.heartbeat.wrapping_add(1));
            }
            assert!(closed(r) && r.predictions[0].bias == bias);
            last = Some(r.clone());
        });
        // An hour behind, the times are those of samples that were looked at an hour ago: most are not even new.
        assert!(verdicts.iter().all(|v| *v == verdict), "{verdicts:?}");
        assert!(what == "behind" || verdicts.len() >= 5, "{verdicts:?}");
        stage.heal();
        let accepted = |r: &ScanRecord| r.samples.iter().any(|s| s.verdict == SampleVerdict::Accepted);
        let again = stage.until("a sample", 8_000, accepted);
        let n = verdicts.len();
        let said = match n {
            0 => "no sample that was not looked at before".to_owned(),
            n => format!("{n} samples {}", flyball::words::sample(verdict)),
        };
        told.push(format!("{what}: {said}, taken again after {} s", again.after));
    }
    Row {
        id: "T1",
        fault: "the analyser's clock and ours differ by an hour (DST), ahead and behind, for an hour",
        expected: "samples refused with the reason; no timer, heartbeat or bias moves; the loop stays closed",
        observed: told.join("; "),
    }
    .lay();
}

/// An optimiser each of whose iterations takes this long on the process clock.
struct Slow {
    inner: Box<dyn Optimizer>,
    clock: Arc<VirtualClock>,
    iteration_ns: Arc<AtomicU64>,
}

/// Lets time pass whenever the optimiser looks at the clock.
struct SlowProbe<'a> {
    inner: &'a mut dyn Probe,
    clock: &'a VirtualClock,
    iteration_ns: u64,
}

impl Probe for SlowProbe<'_> {
    fn mark(&mut self, phase: Phase) {
        self.inner.mark(phase);
    }
    fn over_budget(&mut self) -> bool {
        self.clock.set(Timestamp(self.clock.now().0 + self.iteration_ns));
        self.inner.over_budget()
    }
}

impl Optimizer for Slow {
    fn begin(&mut self, problem: &Problem, last: &Optimum) {
        self.inner.begin(problem, last);
    }
    fn proceed(&mut self, optimum: &mut Optimum, probe: &mut dyn Probe) -> bool {
        let iteration_ns = self.iteration_ns.load(Ordering::Relaxed);
        self.inner.proceed(optimum, &mut SlowProbe { inner: probe, clock: &self.clock, iteration_ns })
    }
    fn evaluate(&mut self, inputs: &[f64], outputs: &mut [f64]) -> bool {
        self.inner.evaluate(inputs, outputs)
    }
}

#[test]
fn t3_optimiser_made_slow() {
    let config = example("r101.toml");
    let mut engines = engines(&config).engines;
    let iteration_ns = Arc::new(AtomicU64::new(0));
    // The stage makes its clock its own; the optimiser needs the same one.
    let clock = Arc::new(VirtualClock::new());
    let inner = engines.optimizer.take().expect("the example has one");
    engines.optimizer =
        Some(Box::new(Slow { inner, clock: Arc::clone(&clock), iteration_ns: Arc::clone(&iteration_ns) }));
    let mut stage = Stage::on(config, engines, clock, 52);
    stage.close(10);

    // Slow: the safety net ends each solve at the budget of its stage (150 ms), and what was found until then is used.
    iteration_ns.store(40_000_000, Ordering::Relaxed);
    stage.inject(|_| {});
    let (mut solves, mut caught, mut longest) = (0u32, 0u32, Duration::ZERO);
    let before = stage.scan().mvs[0].readback.expect("readable");
    stage.watch(600, |r| {
        solves += u32::from(r.solved);
        caught += u32::from(r.solved && r.net_caught && r.optimum.status == SolveStatus::TimeLimit);
        longest = longest.max(r.phase_ends[Phase::Optimise as usize].since(r.cycle.now));
        assert!(r.flushed && closed(r) && r.deadlines.missed == 0);
    });
    let climbed = stage.scan().mvs[0].readback.expect("readable") - before;
    assert!(solves == 20 && caught >= 19 && climbed > 20.0, "{solves} {caught} {climbed}");
    assert!(longest <= Duration::from_millis(190), "one iteration over the budget at most: {longest:?}");

    // Hopeless: one iteration is longer than the deadline. Nothing is written late, the miss is counted, the next scan is fine again.
    iteration_ns.store(600_000_000, Ordering::Relaxed);
    let missed = stage.scan().deadlines.missed;
    let (mut withheld, mut solves) = (0u64, 0u64);
    stage.watch(300, |r| {
        withheld += u64::from(!r.flushed);
        solves += u64::from(r.solved);
    });
    let end = stage.scan().clone();
    assert_eq!((withheld, end.deadlines.missed - missed), (solves, solves));
    assert!(closed(&end) && solves == 10);
    Row {
        id: "T3",
        fault: "each iteration of the optimiser takes 40 ms, then 600 ms",
        expected: "the best answer so far at the stage's budget (150 ms), no deadline missed; beyond the deadline (500 ms) the scan is withheld and counted, nothing is written late",
        observed: format!(
            "40 ms: {caught} of 20 solves ended by the net after {} ms, feed climbed by {climbed:.0} l/h, no miss; 600 ms: {withheld} of {solves} scans with a solve withheld and counted, still in CLOSED LOOP",
            longest.as_millis()
        ),
    }
    .lay();
}

#[test]
fn t5_counters_wrap() {
    // Milliseconds in 32 bits (49.7 days), signed and unsigned, and seconds in 31 bits: the process clock passes each in CLOSED LOOP.
    let ages =
        [("2^31 ms", 1u64 << 31, 1_000_000), ("2^32 ms", 1 << 32, 1_000_000), ("2^31 s", 1 << 31, 1_000_000_000)];
    for (what, count, unit) in ages {
        let clock = VirtualClock::new();
        clock.set(Timestamp(count * unit - 900 * 1_000_000_000));
        let config = example("r101.toml");
        let engines = engines(&config).engines;
        let mut stage = Stage::cold(config, engines, clock, 53);
        stage.close(60);
        let sheds = |r: &ScanRecord| r.events.iter().any(|e| matches!(e, Event::Shed(_)));
        stage.watch(1_800, |r| assert!(closed(r) && !sheds(r), "{what}"));
        assert!(stage.seconds() > count / (1_000_000_000 / unit), "{what} was passed");
        assert!(stage.scan().mvs[0].readback.is_some_and(|x| x > 190.0), "{what}: climbed all the same");
    }

    // Sequence numbers continue those of the PLC, which stand just below their end; both heartbeats (16 bits, about one a second) pass theirs.
    let mut stage = Stage::example(54);
    stage.talks = false;
    stage.inject(|plc| plc.force(Signal::FeedSeqAck, Some(PlcValue::UInt(65_530))));
    stage.close(1);
    stage.inject(|plc| plc.force(Signal::FeedSeqAck, None));
    let (mut own, mut plc, mut sequence) = ((0u16, 0u32), (0u16, 0u32), (0u16, 0u32));
    let count = |seen: &mut (u16, u32), now: u16| {
        seen.1 += u32::from(now < seen.0);
        seen.0 = now;
    };
    stage.watch(73_000, |r| {
        assert!(closed(r), "scan {}", r.cycle.number);
        count(&mut own, r.heartbeat);
        count(&mut plc, r.plc.heartbeat);
        count(&mut sequence, r.mvs[0].guard.sequence);
    });
    assert_eq!((own.1, plc.1, sequence.1), (1, 1, 1), "each wrapped once");
    Row {
        id: "T5",
        fault: "process clock passes 2^31 and 2^32 ms (49.7 days) and 2^31 s; heartbeats and a sequence number pass 65,535",
        expected: "no effect",
        observed: "no shed, no missed write; each passed in CLOSED LOOP".into(),
    }
    .lay();
}
