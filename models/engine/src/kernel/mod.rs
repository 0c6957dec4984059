//! The kernels: the only code that runs per scan. Every kernel is written once over 16 lanes and compiled for each instruction set.
//!
//! One rule makes all paths agree to the bit: an output element is accumulated by fused multiply-adds in an order that depends on the
//! shape of its operator alone ([`order`]), never on the instruction set, the number of rows or the place of the element.
//! Lanes lie across outputs, never across a sum (but for [`reduce`], whose 16 partial sums are part of its order).

pub(crate) mod dense;
pub(crate) mod elementwise;
pub(crate) mod order;
pub(crate) mod reduce;
pub(crate) mod slide;

use fearless_simd::{Fallback, Level, Simd, SimdBase, f32x16};

/// Numbers in one vector, on every instruction set.
pub(crate) const LANES: usize = 16;

/// An instruction set that the kernels can run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Plain Rust, one number at a time. For comparison; slow.
    Scalar,
    /// 128-bit vectors: SSE2 on x86-64 (multiply-add in software, slow), NEON on aarch64.
    Vector128,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 as of Ice Lake and Zen 4.
    Avx512,
}

impl Path {
    /// Paths of this processor, slowest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let level = Level::new();
        #[cfg(target_arch = "x86_64")]
        let more = [level.as_avx2().map(|_| Self::Avx2), level.as_avx512().map(|_| Self::Avx512)];
        #[cfg(not(target_arch = "x86_64"))]
        let more = [None; 2];
        let _ = level;
        [Some(Self::Scalar), Some(Self::Vector128)].into_iter().chain(more).flatten().collect()
    }

    /// The fastest path of this processor.
    #[must_use]
    pub fn best() -> Self {
        Self::available().pop().unwrap_or(Self::Scalar)
    }

    /// The level that carries out this path; a lower one when the processor lacks it.
    pub(crate) fn level(self) -> Level {
        let best = Level::new();
        match self {
            Self::Scalar => Level::fallback(),
            Self::Vector128 => Level::baseline(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => best.as_avx2().map_or(Level::baseline(), Level::Avx2),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => best,
            #[cfg(not(target_arch = "x86_64"))]
            _ => best,
        }
    }
}

impl core::fmt::Display for Path {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::Vector128 => "128-bit",
            Self::Avx2 => "AVX2",
            Self::Avx512 => "AVX-512",
        })
    }
}

/// What is done on one instruction set.
pub(crate) trait Work {
    /// Called once.
    fn run<S: Simd>(self, simd: S);
}

/// Does it there. Written out instead of the crate's macro, which compiles all of it for SSE4.2 too: nothing would be gained over SSE2.
pub(crate) fn on(level: Level, work: impl Work) {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(simd) => work.run(simd),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(simd) => work.run(simd),
        #[cfg(target_arch = "x86_64")]
        Level::Sse2(simd) => work.run(simd),
        #[cfg(target_arch = "aarch64")]
        Level::Neon(simd) => work.run(simd),
        _ => work.run(Fallback::new()),
    }
}

/// The first 16 numbers of a slice; zeros where it is shorter.
#[inline(always)]
pub(crate) fn load<S: Simd>(simd: S, from: &[f32]) -> f32x16<S> {
    match from.first_chunk::<LANES>() {
        Some(full) => f32x16::load_array_ref(simd, full),
        None => {
            let mut padded = [0.0; LANES];
            padded[..from.len()].copy_from_slice(from);
            f32x16::load_array(simd, padded)
        }
    }
}

/// Writes as many lanes as the slice has room for.
#[inline(always)]
pub(crate) fn store<S: Simd>(value: f32x16<S>, to: &mut [f32]) {
    match to.first_chunk_mut::<LANES>() {
        Some(full) => value.store_array(full),
        None => {
            let n = to.len();
            to.copy_from_slice(&value.to_array()[..n]);
        }
    }
}
