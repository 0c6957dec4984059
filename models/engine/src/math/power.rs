//! a^b in f64, so that one rounding to f32 remains. Multiplications and additions are not fused here: f64 has digits to spare, and emulating
//! fused ones would be slow on old CPUs.

use core::f64::consts::LN_2;
use fearless_simd::{f32x16, f64x8, prelude::*, u64x8};

use super::BinaryFn;
use super::lanes::{apart, fill};

/// 2 / (k ln 2): log2(m) = 2 / ln 2 (s + s^3 / 3 + s^5 / 5 + ...) with s = (m - 1) / (m + 1); |s| < 0.172, the next term is below 2^-42.
const LOG2: [f64; 8] = [
    2.0 / LN_2,
    2.0 / (3.0 * LN_2),
    2.0 / (5.0 * LN_2),
    2.0 / (7.0 * LN_2),
    2.0 / (9.0 * LN_2),
    2.0 / (11.0 * LN_2),
    2.0 / (13.0 * LN_2),
    2.0 / (15.0 * LN_2),
];
/// (ln 2)^k / k!: Taylor's series of 2^f for |f| <= 1/2; the next term is below 2^-37.
const EXP2: [f64; 10] = {
    let mut c = [1.0; 10];
    let mut k = 1;
    while k < c.len() {
        c[k] = c[k - 1] * LN_2 / k as f64;
        k += 1;
    }
    c
};
/// Encodings: sqrt(1/2), 1, the mantissa's bits, and 2^52, whose lowest bits are whole numbers.
const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
const ONE: u64 = 0x3ff0_0000_0000_0000;
const MANTISSA: u64 = 0x000f_ffff_ffff_ffff;
const WHOLE: u64 = 0x4330_0000_0000_0000;
const EXPONENT: u32 = 52;
const BIAS: f64 = 1023.0;
/// Beyond +/-160 the power is infinite or 0 in f32.
const END: f64 = 160.0;

#[inline(always)]
fn polynomial<S: Simd, const N: usize>(x: f64x8<S>, c: [f64; N]) -> f64x8<S> {
    let mut sum = f64x8::splat(x.token(), c[N - 1]);
    for i in (0..N - 1).rev() {
        sum = sum * x + c[i];
    }
    sum
}

/// log2(a) for a >= 0.
#[inline(always)]
fn log2<S: Simd>(a: f64x8<S>) -> f64x8<S> {
    let simd = a.token();
    let bits = a.bitcast::<u64x8<S>>() + (ONE - SQRT_HALF);
    let k = ((bits >> EXPONENT) | WHOLE).bitcast::<f64x8<S>>() - ((1_u64 << EXPONENT) as f64 + BIAS);
    let m: f64x8<S> = ((bits & MANTISSA) + SQRT_HALF).bitcast();
    let s = (m - 1.0) / (m + 1.0);
    let y = k + s * polynomial(s * s, LOG2);
    let y = a.simd_lt(f64::INFINITY).select(y, a);
    a.simd_eq(0.0).select(f64x8::splat(simd, f64::NEG_INFINITY), y)
}

/// 2^y
#[inline(always)]
fn exp2<S: Simd>(y: f64x8<S>) -> f64x8<S> {
    // 1.5 2^52: rounds to a whole number, which then is the biased exponent in the lowest bits.
    const ROUND: f64 = 6_755_399_441_055_744.0 + BIAS;
    let end = f64x8::splat(y.token(), END);
    let y = y.simd_gt(END).select(end, y.simd_lt(-END).select(-end, y));
    let sum = y + ROUND;
    let scale: f64x8<S> = (sum.bitcast::<u64x8<S>>() << EXPONENT).bitcast();
    polynomial(y - (sum - ROUND), EXP2) * scale
}

/// a^b for a >= 0, except where that is 0 times infinity in the logarithm.
#[inline(always)]
fn power<S: Simd>(a: f64x8<S>, b: f64x8<S>) -> f64x8<S> {
    apart(
        a.token(),
        #[inline(always)]
        |_| exp2(log2(a) * b),
    )
}

/// a^b as IEEE 754 defines pow, except that a NaN on either side stays NaN.
#[derive(Clone, Copy)]
pub(crate) struct Power;

impl BinaryFn for Power {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, a: f32x16<S>, b: f32x16<S>) -> f32x16<S> {
        let size = a.abs();
        let ((a_low, a_high), (b_low, b_high)) = (size.widen(), b.widen());
        let power: f32x16<S> = power(a_low, b_low).narrow(power(a_high, b_high));
        // 0 times infinity above.
        let is_one = size.simd_eq(1.0) | b.simd_eq(0.0);
        let power = is_one.select(fill(a, 1.0), power);
        // Every number from 2^24 on is even.
        let (whole, half) = (b.simd_eq(b.trunc()), b * 0.5);
        let odd = whole & !half.simd_eq(half.trunc());
        let power = odd.select(power.copysign(a), power);
        let undefined = a.simd_lt(0.0) & a.simd_gt(f32::NEG_INFINITY) & !whole;
        (undefined | !a.simd_eq(a) | !b.simd_eq(b)).select(fill(a, f32::NAN), power)
    }
}
