//! Largest error of every transcendental function over all finite f32, as a Markdown table on stdout; progress on stderr.
//!
//! `cargo run --release -p flyball-engine --example accuracy [STRIDE]` looks at every STRIDE-th number, at all of them by default: some
//! minutes on two cores. The reference is f64 (`libm`), whose own error is below 1e-8 of what is measured.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};

use flyball_engine::{Path, Unary};

#[path = "../tests/support/sweep.rs"]
mod sweep;

use sweep::{Found, RELATIVE, TRANSCENDENTAL, Worst, sweep as measure};

const ALL: u64 = 1 << 32;
/// Encodings that a thread takes at once.
const SHARE: u64 = 1 << 24;

fn main() -> Result<(), Box<dyn Error>> {
    let stride: u64 = std::env::args().nth(1).map_or(Ok(1), |a| a.parse())?;
    if stride == 0 {
        return Err("STRIDE: 0 found, 1 or more allowed".into());
    }
    println!(
        "| function | largest error, ulp | at x | largest relative error | at x | results below 2^-126: largest error, 2^-149 |"
    );
    println!("|---|---|---|---|---|---|");
    let mut broken = Vec::new();
    for (function, limit) in TRANSCENDENTAL {
        let worst = over_all(function, stride);
        let cells = [&worst.ulp, &worst.relative].map(|Found { at, .. }| format!("{at:e}"));
        println!(
            "| {} | {:.2} | {} | {:.1e} | {} | {} |",
            function.name(),
            worst.ulp.error,
            cells[0],
            worst.relative.error,
            cells[1],
            if worst.subnormal.error > 0.0 { format!("{:.2}", worst.subnormal.error) } else { "none".into() },
        );
        let kept = worst.ulp.error <= limit && worst.relative.error <= RELATIVE && worst.subnormal.error <= limit;
        if !kept || worst.wrong.is_some() {
            broken.push(format!("{} (limit {limit} ulp): {worst:?}", function.name()));
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(format!("stated limits are broken: {}", broken.join("; ")).into()) }
}

fn over_all(function: Unary, stride: u64) -> Worst {
    let next = AtomicU64::new(0);
    let work = || {
        let mut worst = Worst::default();
        loop {
            let begin = next.fetch_add(SHARE, Ordering::Relaxed);
            if begin >= ALL {
                return worst;
            }
            eprint!("\r{:<14} {:>3} %", function.name(), begin * 100 / ALL);
            let first = begin.next_multiple_of(stride);
            let encodings = (first..begin + SHARE).step_by(stride as usize).map(|bits| bits as u32);
            worst = worst.merge(&measure(Path::best(), function, encodings));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let worst = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter().map(|t| t.join().expect("a measuring thread does not panic")).reduce(|a, b| a.merge(&b))
    });
    eprint!("\r{:<20}\r", "");
    worst.unwrap_or_default()
}
