//! Functions over slices of any length, by the loops that programs use: for tests, measurements and whoever stands outside of a program.

use fearless_simd::{Fallback, Level};

use crate::kernel::{Path, elementwise};
use crate::op::{Binary, Unary};

/// `function` of every number of `from`, written to `to`. The same bits on every path. Bounded by the length; allocates nothing.
///
/// # Panics
/// The lengths differ.
pub fn apply_unary(path: Path, function: Unary, from: &[f32], to: &mut [f32]) {
    assert_eq!(from.len(), to.len(), "numbers read and written");
    match path.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(simd) => elementwise::unary(simd, function, from, to),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(simd) => elementwise::unary(simd, function, from, to),
        #[cfg(target_arch = "x86_64")]
        Level::Sse2(simd) => elementwise::unary(simd, function, from, to),
        #[cfg(target_arch = "aarch64")]
        Level::Neon(simd) => elementwise::unary(simd, function, from, to),
        _ => elementwise::unary(Fallback::new(), function, from, to),
    }
}

/// `function` of every pair of `a` and `b`, written to `to`. The same bits on every path. Bounded by the length; allocates nothing.
///
/// # Panics
/// The lengths differ.
pub fn apply_binary(path: Path, function: Binary, a: &[f32], b: &[f32], to: &mut [f32]) {
    assert_eq!(a.len(), b.len(), "numbers on both sides");
    assert_eq!(a.len(), to.len(), "numbers read and written");
    match path.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(simd) => elementwise::binary(simd, function, a, b, to),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(simd) => elementwise::binary(simd, function, a, b, to),
        #[cfg(target_arch = "x86_64")]
        Level::Sse2(simd) => elementwise::binary(simd, function, a, b, to),
        #[cfg(target_arch = "aarch64")]
        Level::Neon(simd) => elementwise::binary(simd, function, a, b, to),
        _ => elementwise::binary(Fallback::new(), function, a, b, to),
    }
}
