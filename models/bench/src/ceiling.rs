//! What one thread of this machine can do at best: fused multiply-adds in registers, and reads from each level of its caches.
//!
//! A model cannot be faster than its multiply-adds at the first rate, nor than one read of its weights, as much of them from the smaller
//! levels as fits there: the larger of the two is its *ceiling*. Rates are the best of many short bursts, because only disturbances make a burst slower.

use std::hint::black_box;
use std::time::Instant;

use fearless_simd::{Level, Simd, dispatch, f32x16, prelude::*};

/// Numbers of one vector.
const LANES: usize = 16;
/// Bursts per rate.
const BURSTS: usize = 200;
/// Multiply-adds per accumulator and burst.
const STEPS: usize = 2_000;
/// Bytes read per burst: some microseconds of work from any cache.
const READ_BYTES: usize = 1 << 21;
/// Cache sizes where the system does not tell: L1 data, L2, and what is read for anything larger.
const FALLBACK: [usize; 3] = [32 << 10, 512 << 10, 8 << 20];
/// At most this much is read as the last level: a shared cache is not ours alone.
const LAST_LEVEL_MAX: usize = 8 << 20;

/// A cache level with its read rate.
#[derive(Debug, Clone, PartialEq)]
pub struct Cache {
    /// "L1", "L2" or "L3".
    pub name: &'static str,
    /// Weights up to this size fit in.
    pub bytes: usize,
    /// Bytes per nanosecond, read by one thread.
    pub rate: f64,
}

/// The rates of this machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Ceiling {
    /// Vector instructions that were used.
    pub level: String,
    /// float32 multiply-adds per nanosecond.
    pub multiply_adds: f64,
    /// From the smallest.
    pub caches: Vec<Cache>,
}

impl Ceiling {
    /// Measures the calling thread.
    #[must_use]
    pub fn measure() -> Self {
        let level = Level::new();
        let few = best_rate(6 * STEPS * LANES, || dispatch!(level, simd => multiply_add::<_, 6>(simd)));
        let many = best_rate(12 * STEPS * LANES, || dispatch!(level, simd => multiply_add::<_, 12>(simd)));
        let sizes = cache_sizes();
        let caches = ["L1", "L2", "L3"].into_iter().zip(sizes).map(|(name, bytes)| {
            // Half a level leaves room for what else lives in it.
            let count = (bytes / 2).min(LAST_LEVEL_MAX) / size_of::<f32>();
            let room = vec![1.0_f32; count + LANES];
            // A vector across two cache lines costs two reads.
            let numbers = &room[room.as_ptr().align_offset(LANES * size_of::<f32>()).min(LANES)..][..count];
            let passes = (READ_BYTES / size_of_val(numbers)).max(1);
            let read = passes * size_of_val(numbers);
            Cache { name, bytes, rate: best_rate(read, || dispatch!(level, simd => read_all(simd, numbers, passes))) }
        });
        Self { level: name_of(level), multiply_adds: few.max(many), caches: caches.collect() }
    }

    /// The level that `bytes` fit in; the last one for anything larger.
    #[must_use]
    pub fn cache(&self, bytes: usize) -> &Cache {
        let fits = self.caches.iter().find(|c| bytes <= c.bytes);
        fits.or(self.caches.last()).expect("measure lists three levels")
    }

    /// Shortest time in nanoseconds of a run with so many multiply-adds that reads so many bytes of weights.
    #[must_use]
    pub fn shortest_ns(&self, multiply_adds: u64, weight_bytes: usize) -> f64 {
        let compute = multiply_adds as f64 / self.multiply_adds;
        let (mut reads, mut left) = (0.0, weight_bytes);
        for cache in &self.caches {
            let here = if Some(cache) == self.caches.last() { left } else { left.min(cache.bytes) };
            reads += here as f64 / cache.rate;
            left -= here;
        }
        compute.max(reads)
    }
}

/// Work per nanosecond in the best burst.
fn best_rate(work: usize, mut burst: impl FnMut() -> f32) -> f64 {
    let times = (0..BURSTS).map(|_| {
        let begin = Instant::now();
        black_box(burst());
        begin.elapsed().as_nanos() as f64
    });
    work as f64 / times.fold(f64::INFINITY, f64::min).max(1.0)
}

/// `N` chains of multiply-adds that do not wait for each other.
#[inline(always)]
fn multiply_add<S: Simd, const N: usize>(simd: S) -> f32 {
    let factor = f32x16::splat(simd, black_box(0.999));
    let term = f32x16::splat(simd, black_box(0.001));
    let mut chains = [f32x16::splat(simd, 1.0); N];
    for _ in 0..STEPS {
        for chain in &mut chains {
            *chain = chain.mul_add_precise(factor, term);
        }
    }
    sum(simd, &chains)
}

/// Reads all numbers, `passes` times, into eight sums.
#[inline(always)]
fn read_all<S: Simd>(simd: S, numbers: &[f32], passes: usize) -> f32 {
    let mut sums = [f32x16::splat(simd, 0.0); 8];
    for _ in 0..passes {
        for chunk in black_box(numbers).chunks_exact(8 * LANES) {
            for (sum, part) in sums.iter_mut().zip(chunk.chunks_exact(LANES)) {
                *sum += f32x16::from_slice(simd, part);
            }
        }
    }
    sum(simd, &sums)
}

#[inline(always)]
fn sum<S: Simd>(simd: S, vectors: &[f32x16<S>]) -> f32 {
    let total = vectors.iter().fold(f32x16::splat(simd, 0.0), |a, b| a + *b);
    let mut lanes = [0.0_f32; LANES];
    total.store_slice(&mut lanes);
    lanes.iter().sum()
}

fn name_of(level: Level) -> String {
    let text = format!("{level:?}");
    text.split('(').next().unwrap_or_default().to_owned()
}

/// Sizes of L1 data, L2 and L3 of core 0 in bytes, as sysfs tells them.
fn cache_sizes() -> [usize; 3] {
    let mut sizes = FALLBACK;
    for index in 0..8 {
        let read =
            |name: &str| std::fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{name}"));
        let (Ok(level), Ok(kind), Ok(size)) = (read("level"), read("type"), read("size")) else { continue };
        let place = level.trim().parse::<usize>().ok().and_then(|l| l.checked_sub(1)).filter(|p| *p < sizes.len());
        if let (Some(place), Some(bytes), true) = (place, bytes_of(&size), kind.trim() != "Instruction") {
            sizes[place] = bytes;
        }
    }
    sizes
}

/// "32K" or "8M" in bytes.
fn bytes_of(text: &str) -> Option<usize> {
    let text = text.trim();
    let (digits, unit) = text.split_at(text.len().checked_sub(1)?);
    let shift = match unit {
        "K" => 10,
        "M" => 20,
        _ => return text.parse().ok(),
    };
    digits.parse::<usize>().ok().map(|n| n << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_sysfs_are_read() {
        assert_eq!(bytes_of("32K\n"), Some(32 << 10));
        assert_eq!(bytes_of("8M"), Some(8 << 20));
        assert_eq!(bytes_of("512"), Some(512));
        assert_eq!(bytes_of(""), None);
        assert_eq!(bytes_of("lots"), None);
    }

    #[test]
    fn the_larger_of_both_bounds_counts_and_each_level_serves_what_fits_into_it() {
        let cache = |name, bytes, rate| Cache { name, bytes, rate };
        let ceiling = Ceiling {
            level: String::new(),
            multiply_adds: 10.0,
            caches: vec![cache("L1", 1_000, 100.0), cache("L2", 10_000, 50.0), cache("L3", 100_000, 5.0)],
        };
        assert_eq!(ceiling.cache(1_000).name, "L1");
        assert_eq!(ceiling.cache(1_001).name, "L2");
        assert_eq!(ceiling.cache(1_000_000).name, "L3");
        assert!((ceiling.shortest_ns(1_000, 1_000) - 100.0).abs() < 1e-9, "compute");
        assert!((ceiling.shortest_ns(1_000, 11_000) - 210.0).abs() < 1e-9, "1,000 from L1, 10,000 from L2");
        assert!((ceiling.shortest_ns(1_000, 211_000) - 40_210.0).abs() < 1e-9, "the last level serves all the rest");
    }

    #[test]
    fn both_loops_compute_what_they_say() {
        let level = Level::new();
        let fixed_point: f32 = dispatch!(level, simd => multiply_add::<_, 6>(simd));
        assert!((fixed_point / (6.0 * 16.0) - 1.0).abs() < 1e-3, "0.999 x + 0.001 stays at 1: {fixed_point}");
        let numbers = vec![1.0_f32; 1024];
        let read: f32 = dispatch!(level, simd => read_all(simd, &numbers, 3));
        assert!((read - 3072.0).abs() < 1e-3, "{read}");
    }
}
