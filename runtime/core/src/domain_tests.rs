//! T2 and SPE against another way of computing them, and the verdict over several runs.

use super::*;

/// Three inputs, two components that are orthonormal but no axes.
fn pca() -> Pca {
    Pca {
        mean: vec![10.0, -5.0, 100.0],
        std: vec![2.0, 0.5, 25.0],
        loadings: vec![vec![0.8, 0.6, 0.0], vec![0.0, 0.0, 1.0]],
        eigenvalues: vec![1.9, 1.0],
        t2: [6.0, 9.0, 14.0],
        spe: [0.3, 0.5, 0.9],
    }
}

fn watch() -> DomainWatch {
    DomainWatch::new(pca(), &Trust::default())
}

/// Plus or minus one, from a counter: a fixed sequence without a generator.
fn wobble(i: u32, of: u32) -> f64 {
    f64::from((i.wrapping_mul(2_654_435_761) >> 8) % (2 * of + 1)) / f64::from(of) - 1.0
}

#[test]
fn statistics_are_those_of_the_whole_matrices() {
    // By matrices: M = P' diag(1/lambda) P, R = I - P'P; T2 = z'Mz, SPE = z'R'Rz. Written out for this P.
    let p = pca();
    let rows = [[0.8, 0.6, 0.0], [0.0, 0.0, 1.0]];
    let entry = |i: usize, j: usize, weight: &dyn Fn(usize) -> f64| -> f64 {
        (0..2).map(|k| rows[k][i] * rows[k][j] * weight(k)).sum()
    };
    for n in 0..500 {
        let x = [10.0 + 6.0 * wobble(n, 50), -5.0 + 2.0 * wobble(n + 7, 50), 100.0 + 90.0 * wobble(n + 99, 50)];
        let z = [(x[0] - 10.0) / 2.0, (x[1] + 5.0) / 0.5, (x[2] - 100.0) / 25.0];
        let (mut t2, mut spe) = (0.0, 0.0);
        for i in 0..3 {
            let mut residual = z[i];
            for (j, z_j) in z.iter().enumerate() {
                t2 += z[i] * entry(i, j, &|k| 1.0 / p.eigenvalues[k]) * z_j;
                residual -= entry(i, j, &|_| 1.0) * z_j;
            }
            spe += residual * residual;
        }
        let (mut on, mut off) = ([0.0; 3], [0.0; 3]);
        let got = p.statistics(&x, &mut on, &mut off);
        assert!((got.0 - t2).abs() < 1e-9 && (got.1 - spe).abs() < 1e-9, "{x:?}: {got:?}, not {t2} {spe}");
        assert!((on.iter().sum::<f64>() - t2).abs() < 1e-9, "contributions to T2 add up: {on:?}");
        assert!((off.iter().sum::<f64>() - spe).abs() < 1e-9, "contributions to SPE add up: {off:?}");
    }
}

#[test]
fn the_worst_input_is_the_one_that_was_moved() {
    // Far along the plane: input 2 alone is a component of its own.
    let (reading, level) = watch().judge(&[10.0, -5.0, 100.0 + 25.0 * 3.0]);
    assert_eq!((reading.statistic, reading.worst, level), (Statistic::T2, 2, DomainLevel::Outside));
    assert!((reading.t2 - 9.0).abs() < 1e-12 && reading.spe < 1e-12);
    // Off the plane: inputs 0 and 1 went together in the training; input 1 moves alone.
    let (reading, _) = watch().judge(&[10.0, -5.0 + 0.5 * 1.2, 100.0]);
    assert_eq!((reading.statistic, reading.worst), (Statistic::Spe, 1), "{reading:?}");
    assert_eq!((reading.t2_limit, reading.spe_limit), (6.0, 0.3));
}

/// The verdicts of a sequence of input 2 in standard deviations; its T2 is the square.
fn verdicts(w: &mut DomainWatch, z: &[f64]) -> Vec<DomainLevel> {
    z.iter().map(|z| w.judge(&[10.0, -5.0, 100.0 + 25.0 * z]).1).collect()
}

#[test]
fn one_run_changes_nothing_and_three_in_a_row_do() {
    use DomainLevel::{FarOutside as F, Inside as I, Outside as O};
    let (inside, outside, far) = (1.0, 3.0, 9.0);
    let of = |z: &[f64]| verdicts(&mut watch(), z);
    assert_eq!(of(&[inside, outside, outside, inside, outside]), [I, I, I, I, I]);
    assert_eq!(of(&[inside, outside, outside, outside]), [I, I, I, O]);
    // A spike beyond the limit for Bad is said at once, but only as Uncertain.
    assert_eq!(of(&[inside, far, inside, inside, inside]), [I, O, O, O, I]);
    assert_eq!(of(&[inside, far, far, far]), [I, O, O, F]);
    // Coming back goes as far as the worst of the three.
    assert_eq!(of(&[far, far, far, outside, inside, inside]), [O, O, F, F, F, O]);
    assert_eq!(of(&[far, far, far, inside, inside, inside]), [O, O, F, F, F, I]);
    // The first run speaks for itself.
    assert_eq!(of(&[outside]), [O]);
    // Two outside and one far outside are outside, whatever the order.
    assert_eq!(of(&[inside, outside, outside, far])[3], O);
    assert_eq!(of(&[inside, outside, far, outside])[3], O);
}

#[test]
fn noise_at_the_limit_does_not_flap() {
    // One run in ten outside a 95 % limit, as of two statistics that do not know each other.
    let mut w = watch();
    let mut changes = 0;
    let mut last = DomainLevel::Inside;
    for n in 0..10_000u32 {
        let outside = (n.wrapping_mul(2_654_435_761) >> 16).is_multiple_of(10);
        let level = w.judge(&[10.0, -5.0, if outside { 175.0 } else { 100.0 }]).1;
        changes += u32::from(level != last);
        last = level;
    }
    assert!(changes <= 40, "{changes} changes in 10,000 runs, of 1,000 runs outside");
}

#[test]
fn never_bad_when_the_configuration_says_so_and_limits_are_those_asked_for() {
    let mut w = DomainWatch::new(pca(), &Trust { bad_at: None, uncertain_at: DomainLimit::P999, ..Trust::default() });
    assert_eq!(verdicts(&mut w, &[3.7, 3.7, 3.7]), [DomainLevel::Inside; 3], "T2 of 13.7 is inside 99.9 %");
    assert_eq!(verdicts(&mut w, &[1e6; 5])[4], DomainLevel::Outside);
}

#[test]
fn numbers_that_overflow_are_far_outside() {
    let mut w = watch();
    let levels: Vec<_> = (0..4).map(|_| w.judge(&[1e200, 1e300, -1e300]).1).collect();
    assert_eq!(levels[3], DomainLevel::FarOutside);
}
