//! Quantiles against simple ones, and coverage under the drifts that intervals are for.

use super::*;

const RULE: Interval = Interval { coverage: 0.9, adapt: 0.02, required: false };

/// Standard normal errors, as a file would give them.
fn normal() -> ErrorQuantiles {
    ErrorQuantiles::new(vec![(0.5, 0.6745), (0.9, 1.6449), (0.95, 1.96), (0.99, 2.5758)]).expect("rising")
}

/// Normal errors from a counter (sum of twelve uniforms, minus six).
struct Errors(u64);

impl Errors {
    fn next(&mut self) -> f64 {
        let mut uniform = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 11) as f64 / (1_u64 << 53) as f64
        };
        (0..12).map(|_| uniform()).sum::<f64>() - 6.0
    }
}

/// Share covered of errors as they come; each is judged by the interval before it.
fn covered(c: &mut Conformal, errors: impl Iterator<Item = f64>) -> f64 {
    let (mut inside, mut all) = (0, 0);
    for error in errors {
        let within = error.abs() <= c.half_width();
        c.learn(error, within);
        inside += u32::from(within);
        all += 1;
    }
    f64::from(inside) / f64::from(all)
}

#[test]
fn the_files_quantiles_are_read_as_they_are_written() {
    let q = normal();
    for (share, size) in [(0.5, 0.6745), (0.9, 1.6449), (0.95, 1.96), (0.99, 2.5758)] {
        assert!((q.size_at(share) - size).abs() < 1e-9, "{share}: {}", q.size_at(share));
    }
    assert!((q.size_at(0.7) - (0.6745 + 0.5 * (1.6449 - 0.6745))).abs() < 1e-9, "straight between");
    assert!(q.size_at(0.995) > 2.5758 && q.size_at(0.995) < 10.0, "finite beyond the last: {}", q.size_at(0.995));
    assert!((q.sigma() - 1.0).abs() < 1e-3);
    let mut last = 0.0;
    for i in 0..=1000 {
        let share = q.share_within(f64::from(i) * 0.01);
        assert!((last..1.0).contains(&share), "never falls: {share} after {last}");
        last = share;
    }
}

#[test]
fn quantiles_that_are_none_are_refused() {
    for bad in [
        vec![],
        vec![(0.0, 1.0)],
        vec![(1.0, 1.0)],
        vec![(0.9, 1.0), (0.5, 2.0)],
        vec![(0.5, 2.0), (0.9, 1.0)],
        vec![(0.5, -1.0)],
        vec![(0.5, f64::NAN)],
        vec![(0.5, f64::INFINITY)],
        vec![(0.5, 0.0), (0.9, 0.0)],
    ] {
        assert_eq!(ErrorQuantiles::new(bad.clone()), None, "{bad:?}");
    }
    assert!(ErrorQuantiles::new(vec![(0.5, 0.0), (0.9, 0.0), (0.95, 1.0)]).is_some(), "a model that is often exact");
}

#[test]
fn the_interval_begins_with_the_files_and_stays_there_without_samples_or_without_adaptation() {
    let mut c = Conformal::new(RULE, normal());
    assert!((c.half_width() - 1.6449).abs() < 1e-9);
    assert_eq!((c.tracked(), c.aimed()), (None, 0.9));
    let mut fixed = Conformal::new(Interval { adapt: 0.0, ..RULE }, normal());
    for _ in 0..50 {
        c.learn(5.0, false);
        fixed.learn(5.0, false);
    }
    assert!((fixed.half_width() - 1.6449).abs() < 1e-9, "{}", fixed.half_width());
    assert_eq!(fixed.tracked(), Some((0.0, 50)), "what it misses is counted all the same");
    assert!(c.half_width() > 4.9, "{}", c.half_width());
}

#[test]
fn the_mixture_is_the_formula() {
    let mut c = Conformal::new(Interval { adapt: 1e-9, ..RULE }, normal());
    for i in 0..30 {
        c.learn(f64::from(i) * 0.1, true);
    }
    // (20 F_file(h) + number <= h) / 50 crosses 0.9 at h.
    let f = |s: f64| {
        (20.0 * normal().share_within(s) + f64::from((0..30).filter(|i| f64::from(*i) * 0.1 <= s).count() as u32))
            / 50.0
    };
    let h = c.half_width();
    assert!(f(h) >= 0.9 - 1e-9 && f(h - 1e-6) < 0.9, "{h}: {} {}", f(h), f(h - 1e-6));
    // An old error leaves the ring after a hundred newer ones.
    c.learn(1e3, false);
    (0..100).for_each(|_| c.learn(1.0, true));
    assert_eq!(c.tracked(), Some((1.0, 100)));
}

#[test]
fn coverage_is_kept_when_errors_stay_as_in_training() {
    let mut e = Errors(1);
    let share = covered(&mut Conformal::new(RULE, normal()), (0..5000).map(|_| e.next()));
    assert!((0.88..=0.92).contains(&share), "{share}");
}

#[test]
fn coverage_returns_when_errors_grow_shrink_or_drift() {
    // What the file promises is wrong by these factors; and a spread that doubles and halves every 300 samples.
    type Spread = fn(u32) -> f64;
    let cases: [(&str, Spread); 4] = [
        ("three times as large", |_| 3.0),
        ("a third", |_| 1.0 / 3.0),
        ("growing", |i| 1.0 + f64::from(i) / 1500.0),
        ("waves", |i| if i / 300 % 2 == 0 { 0.7 } else { 1.4 }),
    ];
    for (name, spread) in cases {
        let mut e = Errors(7);
        let mut c = Conformal::new(RULE, normal());
        let first = covered(&mut c, (0..200).map(|i| e.next() * spread(i)));
        let share = covered(&mut c, (200..3000).map(|i| e.next() * spread(i)));
        assert!((0.87..=0.93).contains(&share), "{name}: {first:.3} while it learned, {share:.3} after");
        let mut e = Errors(7);
        let mut fixed = Conformal::new(Interval { adapt: 0.0, ..RULE }, normal());
        let without = covered(&mut fixed, (0..3000).map(|i| e.next() * spread(i)));
        assert!((without - 0.9).abs() > (share - 0.9).abs(), "{name}: {without} without adaptation, {share} with");
    }
}

#[test]
fn offsets_are_not_its_business_but_they_widen_it() {
    let mut e = Errors(3);
    let mut c = Conformal::new(RULE, normal());
    let share = covered(&mut c, (0..2000).map(|_| 2.0 + e.next()));
    assert!(share > 0.85 && c.half_width() > 2.5, "{share}, {}", c.half_width());
}

#[test]
fn whatever_comes_it_stays_finite_and_positive() {
    for (sizes, misses) in [(0.0, true), (0.0, false), (1e300, false), (f64::MIN_POSITIVE, true), (f64::NAN, false)] {
        let mut c = Conformal::new(Interval { coverage: 0.99, adapt: 0.1, required: false }, normal());
        for _ in 0..500 {
            c.learn(sizes, !misses);
            assert!(c.half_width().is_finite() && c.half_width() > 0.0, "{sizes}: {}", c.half_width());
        }
    }
}
