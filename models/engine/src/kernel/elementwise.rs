//! temporary
use crate::op::{Binary, Unary};
use fearless_simd::Simd;
pub(crate) fn unary<S: Simd>(_simd: S, f: Unary, x: &[f32], out: &mut [f32]) {
    for (o, x) in out.iter_mut().zip(x) {
        *o = f.value(f64::from(*x)) as f32;
    }
}
pub(crate) fn unary_in_place<S: Simd>(_simd: S, f: Unary, x: &mut [f32]) {
    for o in x {
        *o = f.value(f64::from(*o)) as f32;
    }
}
pub(crate) fn binary<S: Simd>(_simd: S, f: Binary, a: &[f32], b: &[f32], out: &mut [f32]) {
    for (i, o) in out.iter_mut().enumerate() {
        let a = if a.len() == 1 { a[0] } else { a[i] };
        let b = if b.len() == 1 { b[0] } else { b[i] };
        *o = f.value(f64::from(a), f64::from(b)) as f32;
    }
}
