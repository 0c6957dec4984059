//! What the functions are made of: fused multiply-add, polynomials, selections that keep NaN, sums and products with what rounding drops.

use fearless_simd::{Level, f32x16, prelude::*};

/// Fused multiply-add with the same bits on every CPU.
pub(crate) trait Fused<S: Simd>: Sized {
    /// self b + c, rounded once.
    fn fma(self, b: impl SimdInto<f32x16<S>, S>, c: impl SimdInto<f32x16<S>, S>) -> Self;
}

impl<S: Simd> Fused<S> for f32x16<S> {
    #[inline(always)]
    fn fma(self, b: impl SimdInto<f32x16<S>, S>, c: impl SimdInto<f32x16<S>, S>) -> Self {
        let simd = self.token();
        let (b, c) = (b.simd_into(simd), c.simd_into(simd));
        if has_fma(simd) {
            self.mul_add(b, c)
        } else {
            called(
                simd,
                #[inline(always)]
                |_| self.mul_add_precise(b, c),
            )
        }
    }
}

/// True if the level has a fused multiply-add instruction, which `mul_add` then is. A constant once compiled.
#[inline(always)]
fn has_fma<S: Simd>(simd: S) -> bool {
    match simd.level() {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        Level::Avx2(_) | Level::Avx512(_) => true,
        #[cfg(target_arch = "aarch64")]
        Level::Neon(_) => true,
        _ => false,
    }
}

/// `body`, copied in here on levels with fused multiply-add. On others the same work is many times more code, and one copy per function
/// and level must do: with a copy per loop, compiling the crate would take minutes.
#[inline(always)]
pub(super) fn apart<S: Simd, R>(simd: S, body: impl FnOnce(S) -> R) -> R {
    if has_fma(simd) { body(simd) } else { called(simd, body) }
}

#[inline(never)]
fn called<S: Simd, R>(simd: S, body: impl FnOnce(S) -> R) -> R {
    simd.vectorize(
        #[inline(always)]
        || body(simd),
    )
}

/// The same number in all lanes of a vector like `like`.
#[inline(always)]
pub(super) fn fill<S: Simd>(like: f32x16<S>, value: f32) -> f32x16<S> {
    f32x16::splat(like.token(), value)
}

/// c\[0\] + c\[1\] x + c\[2\] x^2 + ... by Horner's rule, one rounding per power.
#[inline(always)]
pub(super) fn polynomial<S: Simd, const N: usize>(x: f32x16<S>, c: [f32; N]) -> f32x16<S> {
    let mut sum = fill(x, c[N - 1]);
    for i in (0..N - 1).rev() {
        sum = sum.fma(x, c[i]);
    }
    sum
}

/// `value` where x > limit, else `otherwise`. A NaN in x takes `otherwise`.
#[inline(always)]
pub(super) fn above<S: Simd>(x: f32x16<S>, limit: f32, value: f32, otherwise: f32x16<S>) -> f32x16<S> {
    x.simd_gt(limit).select(fill(x, value), otherwise)
}

/// `value` where x < limit, else `otherwise`. A NaN in x takes `otherwise`.
#[inline(always)]
pub(super) fn below<S: Simd>(x: f32x16<S>, limit: f32, value: f32, otherwise: f32x16<S>) -> f32x16<S> {
    x.simd_lt(limit).select(fill(x, value), otherwise)
}

/// `value`, but NaN where x is NaN.
#[inline(always)]
pub(super) fn unless_nan<S: Simd>(x: f32x16<S>, value: f32x16<S>) -> f32x16<S> {
    x.simd_eq(x).select(value, x)
}

/// a b and what rounding dropped from it; exact unless a part underflows.
#[inline(always)]
pub(super) fn exact_product<S: Simd>(a: f32x16<S>, b: f32x16<S>) -> (f32x16<S>, f32x16<S>) {
    let product = a * b;
    (product, a.fma(b, -product))
}

/// a + b and what rounding dropped from it (Knuth, The Art of Computer Programming, volume 2, 4.2.2, theorem B).
#[inline(always)]
pub(super) fn exact_sum<S: Simd>(a: f32x16<S>, b: f32x16<S>) -> (f32x16<S>, f32x16<S>) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}
