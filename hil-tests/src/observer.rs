//! The independent observer: the invariants of docs/SAFETY.md, judged from the frozen inputs and the written cells of every scan.
//!
//! It takes nothing from the guard but the cells: limits, moves, proofs of life and ages are counted here anew, by its own simple rules. Where
//! the scan's rules are stricter (rate and frozen checks), it is content with the looser ones.

use std::collections::VecDeque;
use std::time::Duration;

use flyball_config::{Config, InputSource, Mv, OnBad, Tag, TagId};
use flyball_core::image::{LinkState, Sample};
use flyball_core::mode::Mode;
use flyball_core::ports::Phase;
use flyball_core::record::ScanRecord;
use flyball_core::status::Status;
use flyball_core::time::Timestamp;

/// Rounding that sums of moves may show, EU.
const ROUNDING: f64 = 1e-9;

/// What was seen of one MV.
#[derive(Debug, Clone, Default)]
struct Watched {
    /// It has been written since the last entry.
    begun: bool,
    sequence: Option<f64>,
    moves: VecDeque<(Timestamp, f64)>,
}

/// Watches one run.
#[derive(Debug, Clone)]
pub struct Observer {
    config: Config,
    /// Tags behind every move that have no substitute, and how long a move may follow their last fit reading.
    behind: Vec<(TagId, Duration)>,
    /// Per tag: the last scan whose reading was fit for use.
    fit: Vec<Timestamp>,
    mvs: Vec<Watched>,
    heartbeat: Option<u16>,
    plc_heartbeat: Option<f64>,
    plc_moved: Timestamp,
    /// Setpoints seen written, moves among them.
    pub written: (u64, u64),
}

impl Observer {
    /// An observer that has seen nothing.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let mut behind: Vec<(TagId, Duration)> = Vec::new();
        for model in &config.models {
            for input in &model.inputs {
                let InputSource::Tag(id) = input.source else { continue };
                let tag = config.tag(id);
                if tag.on_bad == OnBad::Bad && !behind.iter().any(|(known, _)| *known == id) {
                    // Held values may stand in, the model looks at its next run, and one scan decides.
                    behind.push((id, tag.hold + model.every.min(Duration::from_secs(30)) + config.timing.cycle));
                }
            }
        }
        Self {
            behind,
            fit: vec![Timestamp::ZERO; config.tags.len()],
            mvs: vec![Watched::default(); config.mvs.len()],
            heartbeat: None,
            plc_heartbeat: None,
            plc_moved: Timestamp::ZERO,
            written: (0, 0),
            config: config.clone(),
        }
    }

    /// Judges one scan.
    ///
    /// # Errors
    /// The invariant that is broken, with its numbers.
    pub fn see(&mut self, record: &ScanRecord) -> Result<(), String> {
        let now = record.cycle.now;
        for (i, tag) in self.config.tags.iter().enumerate() {
            if fit(&record.inputs.samples[i], tag, self.config.app.simulation, now) {
                self.fit[i] = now;
            }
        }
        self.heartbeats(record)?;
        let deadline = record.cycle.scheduled.after(self.config.timing.deadline);
        if record.flushed && record.phase_ends[Phase::Guard as usize] >= deadline {
            return Err(format!(
                "I7: flushed at {:?}, deadline {deadline:?}",
                record.phase_ends[Phase::Guard as usize]
            ));
        }
        if record.outputs.not_after != deadline {
            return Err(format!("I7: may be sent until {:?}, deadline {deadline:?}", record.outputs.not_after));
        }
        for i in 0..self.mvs.len() {
            self.judge(i, record).map_err(|why| format!("{}: {why}", self.config.mvs[i].name))?;
        }
        Ok(())
    }

    fn heartbeats(&mut self, record: &ScanRecord) -> Result<(), String> {
        let Some(signals) = &self.config.handshake else { return Ok(()) };
        let expected = self.heartbeat.map_or(record.heartbeat, |h| h.wrapping_add(1));
        let cell = record.outputs.cell(signals.heartbeat_out).map(flyball_core::value::Value::get);
        self.heartbeat = Some(record.heartbeat);
        if record.heartbeat != expected || cell != Some(f64::from(expected)) {
            return Err(format!("I6: heartbeat {} in cell {cell:?}, expected {expected}", record.heartbeat));
        }
        let beat = self.reading(record, signals.heartbeat_in);
        if beat.is_some() && beat != self.plc_heartbeat {
            self.plc_heartbeat = beat;
            self.plc_moved = record.cycle.now;
        }
        Ok(())
    }

    /// A reading that is fit for use in this very scan.
    fn reading(&self, record: &ScanRecord, tag: TagId) -> Option<f64> {
        let value = record.inputs.sample(tag).value?;
        (self.fit[tag.index()] == record.cycle.now).then(|| value.get())
    }

    fn judge(&mut self, i: usize, record: &ScanRecord) -> Result<(), String> {
        let mv = self.config.mvs[i].clone();
        let given = self.reading(record, mv.in_control).is_some_and(|x| x >= 0.5);
        let closed = record.mode.actual == Mode::ClosedLoop;
        if !(closed && given && record.mvs[i].in_service) {
            self.mvs[i].begun = false;
        }
        let Some(cell) = record.outputs.cell(mv.write).filter(|_| record.flushed) else { return Ok(()) };
        let x = cell.get();
        if !closed || !given {
            return Err(format!("I3: {x} written in {:?}, in control {given}", record.mode.actual));
        }
        if record.inputs.links[self.config.outputs[mv.write.index()].connection.index()] != LinkState::Up {
            return Err(format!("I3: {x} written to a link that is not up"));
        }
        let (low, high) = self.tight(&mv, record)?;
        if x < low || x > high {
            return Err(format!("I1: {x} outside [{low}, {high}]"));
        }
        let Some(now_at) = self.reading(record, mv.readback) else {
            return Err(format!("I4: {x} written without a read-back"));
        };
        self.sequence(i, &mv, record)?;
        self.written.0 += 1;
        let moved = x - now_at;
        if moved != 0.0 {
            self.written.1 += 1;
            self.may_move(record)?;
            if !self.mvs[i].begun {
                return Err(format!("I5: first write {x}, setpoint in use {now_at}"));
            }
        }
        self.mvs[i].begun = true;
        self.moved(i, &mv, record.cycle.scheduled, moved)
    }

    fn tight(&self, mv: &Mv, record: &ScanRecord) -> Result<(f64, f64), String> {
        let (mut low, mut high) = (mv.limits.low, mv.limits.high);
        if let Some(tag) = mv.operator_low {
            low = low.max(self.reading(record, tag).ok_or("I1: written without the operator's low limit")?);
        }
        if let Some(tag) = mv.operator_high {
            high = high.min(self.reading(record, tag).ok_or("I1: written without the operator's high limit")?);
        }
        Ok((low, high))
    }

    fn sequence(&mut self, i: usize, mv: &Mv, record: &ScanRecord) -> Result<(), String> {
        let cell = record.outputs.cell(mv.sequence).map(flyball_core::value::Value::get);
        let Some(sequence) = cell else { return Err("I8: a setpoint without its sequence number".into()) };
        let before = self.mvs[i].sequence.replace(sequence);
        if self.mvs[i].begun && before.is_some_and(|b| (b + 1.0) % 65_536.0 != sequence) {
            return Err(format!("I8: sequence {sequence} after {before:?}"));
        }
        Ok(())
    }

    /// Everything that a move stands on is measured and alive.
    fn may_move(&self, record: &ScanRecord) -> Result<(), String> {
        let now = record.cycle.now;
        for (tag, reach) in &self.behind {
            let age = now.since(self.fit[tag.index()]);
            if age > *reach {
                return Err(format!("I4: moved {age:?} after {} was last fit", self.config.tag(*tag).name));
            }
        }
        let Some(signals) = &self.config.handshake else { return Ok(()) };
        let age = now.since(self.plc_moved);
        if age > signals.lost_after + self.config.timing.cycle {
            return Err(format!("I4: moved {age:?} after the PLC's heartbeat moved last"));
        }
        Ok(())
    }

    fn moved(&mut self, i: usize, mv: &Mv, at: Timestamp, moved: f64) -> Result<(), String> {
        let moves = &mut self.mvs[i].moves;
        moves.push_back((at, moved));
        while moves.front().is_some_and(|(t, _)| at.since(*t) >= mv.move_per) {
            moves.pop_front();
        }
        let sum = |sign: f64| moves.iter().map(|(_, d)| (d * sign).max(0.0)).sum::<f64>();
        let (up, down) = (sum(1.0), sum(-1.0));
        if up > mv.move_up + ROUNDING || down > mv.move_down + ROUNDING {
            return Err(format!("I2: moved up {up}, down {down} within {:?}", mv.move_per));
        }
        Ok(())
    }
}

/// A reading that may be used as it is.
fn fit(sample: &Sample, tag: &Tag, simulation: bool, now: Timestamp) -> bool {
    let proof = if tag.sampled_at.is_some() { sample.alive.min(sample.source_time) } else { sample.alive };
    let code = sample.status.code();
    let not_real = [
        Status::UncertainInitialValue,
        Status::UncertainLastUsableValue,
        Status::UncertainNoCommunicationLastUsableValue,
        Status::UncertainTransducerInManual,
    ];
    sample.value.is_some_and(|x| tag.plausible.is_none_or(|ok| ok.contains(x.get())))
        && !sample.status.is_bad()
        && !not_real.contains(&code)
        && (simulation || code != Status::UncertainSimulatedValue)
        && now.since(proof) <= tag.stale_after
}
