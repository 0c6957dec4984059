//! Functions over slices of any length: for tests, measurements and whoever stands outside of a program. The loops are the kernels' own.

use fearless_simd::Simd;

use crate::kernel::{Path, Work, elementwise, on};
use crate::op::{Binary, Unary};

/// `function` of every number of `from`, written to `to`. The same bits on every path. Bounded by the length; allocates nothing.
///
/// # Panics
/// The lengths differ.
pub fn apply_unary(path: Path, function: Unary, from: &[f32], to: &mut [f32]) {
    assert_eq!(from.len(), to.len(), "numbers read and written");
    on(path.level(), One { function, from, to });
}

/// `function` of every pair of `a` and `b`, written to `to`. The same bits on every path. Bounded by the length; allocates nothing.
///
/// # Panics
/// The lengths differ.
pub fn apply_binary(path: Path, function: Binary, a: &[f32], b: &[f32], to: &mut [f32]) {
    assert_eq!(a.len(), b.len(), "numbers on both sides");
    assert_eq!(a.len(), to.len(), "numbers read and written");
    on(path.level(), Two { function, a, b, to });
}

struct One<'a> {
    function: Unary,
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Work for One<'_> {
    fn run<S: Simd>(self, simd: S) {
        elementwise::unary(simd, self.function, self.from, self.to);
    }
}

struct Two<'a> {
    function: Binary,
    a: &'a [f32],
    b: &'a [f32],
    to: &'a mut [f32],
}

impl Work for Two<'_> {
    fn run<S: Simd>(self, simd: S) {
        elementwise::binary(simd, self.function, self.a, self.b, self.to);
    }
}
