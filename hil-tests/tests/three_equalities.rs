//! Promise: a run can be had again from its record, to the last bit. Run A = run B; the replay of A = A; a replay from any keyframe = the tail of A.
//!
//! R-101 on the virtual clock with restless inputs and operators: `FLYBALL_CYCLES` scans (20,000 unless told; a million take some minutes).

use std::time::{Duration, Instant};

use flyball::replay::derive::{Replay, difference};
use flyball_config::{Config, ModelId, MvId, PredictionId, Role};
use flyball_core::command::{Action, Command};
use flyball_core::image::{InputImage, LinkState, Sample};
use flyball_core::mode::Mode;
use flyball_core::ports::Phase;
use flyball_core::record::ScanRecord;
use flyball_core::status::Status;
use flyball_core::time::{ScanCycle, Timestamp};
use flyball_hil_tests::{Spoil, VirtualRun, engines, example};
use flyball_rig::random::Random;
use flyball_rig::scenario::{Disturbance, Plan};

/// Scans between two keyframes.
const KEYFRAME_EVERY: u32 = 250;
/// Scans between two switchings of the operator, who brings the loop back after sheds.
const SWITCH_EVERY: u64 = 1200;
/// A tail is replayed from every so many-th keyframe, up to the next such one.
const TAIL_EVERY: u32 = 20;

/// The operator switches on at once, and the story never ends.
const STORY: Plan = Plan {
    enable_at: Duration::from_secs(5),
    disturbance: Disturbance::None,
    disturb_after: Duration::from_secs(1 << 40),
    end_after: Duration::from_secs(1 << 40),
    give_up_at: Duration::from_secs(1 << 40),
};

fn cycles() -> u64 {
    std::env::var("FLYBALL_CYCLES").map_or(20_000, |n| n.parse().expect("FLYBALL_CYCLES is a whole number"))
}

/// Bad, doubtful, frozen and wild inputs, lost links, and people who type, all drawn from a seed.
fn unrest(config: &Config, seed: u64) -> Spoil {
    let mut random = Random::new(seed);
    let (tags, links) = (config.tags.len() as u64, config.connections.len() as u64);
    let mut fault: Option<(u64, u64, u64)> = None;
    Box::new(move |cycle: &ScanCycle, image: &mut InputImage| {
        if random.next_u64().is_multiple_of(400) {
            // What, where, and until when.
            fault = Some((random.next_u64() % 5, random.next_u64(), cycle.number + 1 + random.next_u64() % 60));
        }
        if let Some((what, place, until)) = fault.filter(|f| cycle.number < f.2) {
            let (tag, link) = ((place % tags) as usize, (place % links) as usize);
            let before = image.samples[tag];
            match what {
                0 => image.samples[tag] = Sample::bad(Status::BadDeviceFailure, cycle.now),
                1 => image.samples[tag].status = Status::UncertainSubNormal,
                2 => image.samples[tag] = Sample::new(1e30, Status::Good, before.source_time, cycle.now),
                3 => image.links[link] = LinkState::Down,
                // Stands still until the fault ends.
                _ => image.samples[tag].alive = Timestamp(cycle.now.0.saturating_sub(until * 1000)),
            }
        }
        if random.next_u64().is_multiple_of(300) {
            let x = random.uniform();
            let action = match random.next_u64() % 7 {
                0 => Action::Hold(x < 0.5),
                1 => Action::MvService(MvId((2.0 * x) as u32), x < 0.8),
                2 => Action::SetPrice((3.0 * x) as u32, x),
                3 => Action::LabSample(PredictionId(0), 1.0 + 0.2 * x, cycle.now.before(Duration::from_secs(400))),
                4 => Action::ResetBias(ModelId(0)),
                5 => Action::SetMode(if x < 0.2 { Mode::Advisory } else { Mode::ClosedLoop }),
                _ => Action::Acknowledge,
            };
            let id = cycle.number as u32;
            image.commands.push(Command { id, role: Role::Engineer, action }).expect("the rig sends no commands");
        }
    })
}

fn restless(config: &Config, seed: u64) -> VirtualRun {
    let spoil = unrest(config, seed ^ 0xF1B);
    let mut run = VirtualRun::with(config, STORY, seed, engines(config).engines, spoil);
    run.executive = run.executive.with_keyframes(KEYFRAME_EVERY);
    run
}

/// One scan; the operator comes by from time to time.
fn scan(run: &mut VirtualRun, number: u64) -> &ScanRecord {
    if number.is_multiple_of(SWITCH_EVERY) {
        run.rig.with_plc(|plc| plc.panel.enable = false);
    } else if number % SWITCH_EVERY == 10 {
        run.rig.with_plc(|plc| plc.panel.enable = true);
    }
    run.scan()
}

fn replay(config: &Config) -> Replay {
    Replay::new(config, engines(config).engines, false)
}

#[test]
fn a_run_its_twin_its_replay_and_the_tail_from_a_keyframe_are_equal_to_the_last_bit() {
    let config = example("r101.toml");
    let (mut a, mut b) = (restless(&config, 11), restless(&config, 11));
    let mut whole = replay(&config);
    let mut tail: Option<Replay> = None;
    let (mut keyframes, mut tails, mut largest, mut bytes) = (0u32, 0u32, 0, 0usize);
    let (mut closed, mut sheds, mut writes) = (0u64, 0u64, 0u64);
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    let (mut in_runs, mut in_replay) = (Duration::ZERO, Duration::ZERO);
    for number in 0..cycles() {
        let begin = Instant::now();
        let record = scan(&mut a, number);
        in_runs += begin.elapsed();
        of_a.clear();
        record.to_bytes(&mut of_a);
        of_b.clear();
        scan(&mut b, number).to_bytes(&mut of_b);
        assert!(of_a == of_b, "run A and run B differ in scan {number}");
        bytes += of_a.len();

        // Through the bytes, as from a file.
        let record = ScanRecord::from_bytes(&of_a).expect("its own bytes");
        let begin = Instant::now();
        let differs = whole.verify(&record);
        in_replay += begin.elapsed();
        assert_eq!(differs, None, "the replay differs");
        if let Some(tail) = &mut tail {
            assert_eq!(tail.verify(&record), None, "the tail from a keyframe differs");
        }
        if !record.keyframe.is_empty() {
            if keyframes % TAIL_EVERY == 0 {
                let mut fresh = replay(&config);
                fresh.begin(&record.keyframe).expect("a keyframe of this configuration");
                tail = Some(fresh);
                tails += 1;
            }
            keyframes += 1;
            largest = largest.max(record.keyframe.len());
        }
        closed += u64::from(record.mode.actual == Mode::ClosedLoop);
        sheds += record.events.iter().filter(|e| matches!(e, flyball_core::record::Event::Shed(_))).count() as u64;
        writes += record.mvs.iter().filter(|mv| mv.guard.verdict != flyball_core::guard::Verdict::Idle).count() as u64;
    }
    let n = cycles();
    println!(
        "{n} scans: closed {closed}, sheds {sheds}, guard verdicts {writes}; {keyframes} keyframes of at most {largest} bytes, {tails} tails; {} bytes per scan; \
         run {:.0} and replay {:.0} times faster than the process",
        bytes as u64 / n,
        n as f64 / in_runs.as_secs_f64(),
        n as f64 / in_replay.as_secs_f64()
    );
    assert!(closed > n / 4 && sheds > n / 20_000, "the run was no test: closed {closed}, sheds {sheds}");
    assert!(keyframes > 10 && tails >= 1);
}

/// What a changed record is told by.
fn told(
    config: &Config,
    records: &[ScanRecord],
    change: impl Fn(&mut ScanRecord),
) -> Option<(u64, Phase, &'static str)> {
    let mut replay = replay(config);
    let at = records.len() - 1;
    for (i, record) in records.iter().enumerate() {
        let mut record = record.clone();
        if i == at {
            change(&mut record);
        }
        if let Some(d) = replay.verify(&record) {
            return Some((d.cycle, d.phase, d.field));
        }
    }
    None
}

/// A field, its phase, and a change of it.
type Change = (&'static str, Phase, fn(&mut ScanRecord));

#[test]
fn a_record_that_was_changed_is_detected_with_its_cycle_phase_and_field() {
    let config = example("r101.toml");
    let mut run = restless(&config, 5);
    let records: Vec<ScanRecord> = (0..400).map(|n| scan(&mut run, n).clone()).collect();
    let last = records[399].cycle.number;
    assert_eq!(told(&config, &records, |_| {}), None);
    let flip = |x: f64| f64::from_bits(x.to_bits() ^ 1);
    let cases: [Change; 5] = [
        ("predictions", Phase::Predict, |r| r.predictions[0].raw = f64::from_bits(r.predictions[0].raw.to_bits() ^ 1)),
        ("heartbeat", Phase::Guard, |r| r.heartbeat ^= 1),
        ("mvs", Phase::Guard, |r| r.mvs[1].guard.high += 1.0),
        ("status_bits", Phase::Guard, |r| r.status_bits ^= 1 << 31),
        ("mode", Phase::Guard, |r| r.mode.advisory_scans ^= 1),
    ];
    for (field, phase, change) in cases {
        assert_eq!(told(&config, &records, change), Some((last, phase, field)), "{field}");
    }
    // A reading that was changed shows in what was made of it.
    let reading = told(&config, &records, |r| {
        let sample = &mut r.inputs.samples[0];
        let value = flip(sample.value.map_or(1.0, flyball_core::value::Value::get));
        *sample = Sample::new(value, sample.status, sample.source_time, sample.alive);
    });
    assert_eq!(reading, Some((last, Phase::Condition, "tags")));
}

#[test]
fn every_byte_of_a_record_counts() {
    let config = example("r101.toml");
    let mut run = restless(&config, 5);
    for number in 0..300 {
        scan(&mut run, number);
    }
    let mut bytes = Vec::new();
    let record = scan(&mut run, 300).clone();
    record.to_bytes(&mut bytes);
    assert!(ScanRecord::from_bytes(&bytes[..bytes.len() - 1]).is_err(), "a byte less");
    let mut unseen = 0;
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x01;
        if let Ok(other) = ScanRecord::from_bytes(&changed) {
            // Stage times are measurements.
            unseen += u32::from(difference(&record, &other).is_none() && other.phase_ends == record.phase_ends);
        }
    }
    assert_eq!(unseen, 0, "bytes whose change nobody sees");
}

#[test]
fn a_keyframe_of_another_configuration_or_cut_off_is_refused_in_words() {
    let config = example("r101.toml");
    let mut run = restless(&config, 5);
    let keyframe = (0..100).find_map(|n| Some(scan(&mut run, n).keyframe.clone()).filter(|k| !k.is_empty()));
    let keyframe = keyframe.expect("the first scan brings one");
    let refused = |config: &Config, bytes: &[u8]| replay(config).begin(bytes).expect_err("refused").to_string();
    assert!(refused(&config, &keyframe[..keyframe.len() - 1]).contains("damaged at byte"));
    assert!(refused(&example("turbine.toml"), &keyframe).contains("the keyframe"), "another configuration");
}
