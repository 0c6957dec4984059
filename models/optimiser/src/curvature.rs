//! Damped BFGS update of the curvature and of its inverse (Powell 1978; Nocedal and Wright, "Numerical Optimization", 2nd ed., procedure 18.2).

/// Takes in one step: `change` of the variables and `bend`, that of the Lagrangian's gradient. `bend` is damped, so that the curvature stays positive;
/// `memory` has room for one number per variable.
pub(crate) fn update(hessian: &mut [f64], inverse: &mut [f64], change: &[f64], bend: &mut [f64], memory: &mut [f64]) {
    let n = change.len();
    let mut curved = 0.0;
    for i in 0..n {
        memory[i] = hessian[i * n..(i + 1) * n].iter().zip(change.iter()).map(|(h, s)| h * s).sum();
        curved += memory[i] * change[i];
    }
    let measured: f64 = bend.iter().zip(change.iter()).map(|(y, s)| y * s).sum();
    if !(curved > 1e-20 && measured.is_finite()) {
        return;
    }
    let theta = if measured >= 0.2 * curved { 1.0 } else { 0.8 * curved / (curved - measured) };
    for (y, hs) in bend.iter_mut().zip(memory.iter()) {
        *y = theta * *y + (1.0 - theta) * hs;
    }
    let damped: f64 = bend.iter().zip(change.iter()).map(|(y, s)| y * s).sum();
    for i in 0..n {
        let (by_bend, by_step) = (bend[i] / damped, memory[i] / curved);
        let row = &mut hessian[i * n..(i + 1) * n];
        for ((h, y), hs) in row.iter_mut().zip(bend.iter()).zip(memory.iter()) {
            *h += by_bend * y - by_step * hs;
        }
    }
    // The inverse by the same update (Sherman and Morrison): V - (V y s' + s y'V) / s'y + (1 + y'V y / s'y) s s' / s'y.
    let mut quadratic = 0.0;
    for i in 0..n {
        memory[i] = inverse[i * n..(i + 1) * n].iter().zip(bend.iter()).map(|(v, y)| v * y).sum();
        quadratic += memory[i] * bend[i];
    }
    let outer = (1.0 + quadratic / damped) / damped;
    for i in 0..n {
        let (by_step, by_bent) = (outer * change[i] - memory[i] / damped, change[i] / damped);
        let row = &mut inverse[i * n..(i + 1) * n];
        for ((v, s), vy) in row.iter_mut().zip(change.iter()).zip(memory.iter()) {
            *v += by_step * s - by_bent * vy;
        }
    }
}
