//! Stress: threads of normal priority that keep processors and memory busy while the loop is measured, as a neighbour on the machine would.
//!
//! Each worker takes turns: arithmetic that stays in registers, then copies between buffers that no cache holds. Bounded: a fixed number of
//! threads and bytes, and each ends by itself at a time that is given at the start, whatever becomes of the rest.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use flyball_core::ports::Clock;

use crate::clock::SystemClock;

/// Bytes of each of a worker's two buffers: beyond the last-level cache of most machines.
const BUFFER: usize = 32 << 20;
/// Steps of arithmetic in one turn, some ten milliseconds.
const STEPS: u32 = 5_000_000;

/// Running workers. Dropping it ends them.
pub struct Stress {
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<u64>>,
}

impl Stress {
    /// Starts `workers` threads that end after `longest`, real time.
    ///
    /// # Errors
    /// A sentence: the operating system gives no thread.
    pub fn start(workers: u32, longest: Duration) -> Result<Self, String> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut stress = Self { stop: Arc::clone(&stop), workers: Vec::new() };
        for i in 0..workers {
            let stop = Arc::clone(&stop);
            let worker = std::thread::Builder::new().name(format!("stress-{i}")).spawn(move || work(&stop, longest, i));
            stress.workers.push(worker.map_err(|e| format!("no thread for stress ({e}); give a smaller --stress"))?);
        }
        Ok(stress)
    }

    /// Ends the workers; answers how many turns they made in all.
    #[must_use]
    pub fn stop(mut self) -> u64 {
        self.end()
    }

    fn end(&mut self) -> u64 {
        // SYNC POINT: Relaxed is enough, a worker looks at it once per turn.
        self.stop.store(true, Ordering::Relaxed);
        self.workers.drain(..).map(|w| w.join().unwrap_or(0)).sum()
    }
}

impl Drop for Stress {
    fn drop(&mut self) {
        self.end();
    }
}

fn work(stop: &AtomicBool, longest: Duration, seed: u32) -> u64 {
    let (mut from, mut to) = (vec![seed as u8; BUFFER], vec![0u8; BUFFER]);
    let clock = SystemClock::start(1);
    let end = clock.now().after(longest);
    let (mut turns, mut state) = (0, u64::from(seed) | 1);
    loop {
        for _ in 0..STEPS {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        }
        black_box(state);
        to.copy_from_slice(black_box(&from));
        std::mem::swap(&mut from, &mut to);
        turns += 1;
        if stop.load(Ordering::Relaxed) || clock.now() >= end {
            return turns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_work_and_end_by_themselves() {
        let stress = Stress::start(2, Duration::from_millis(100)).expect("threads");
        let clock = SystemClock::start(1);
        while !stress.workers.iter().all(JoinHandle::is_finished) {
            clock.wait_until(clock.now().after(Duration::from_millis(5)));
        }
        assert!(stress.stop() >= 2, "each at least one turn");
    }

    #[test]
    fn workers_end_when_told() {
        let stress = Stress::start(1, Duration::from_secs(3600)).expect("a thread");
        // Returns at all: the joined worker has seen the flag.
        let _ = stress.stop();
    }
}
