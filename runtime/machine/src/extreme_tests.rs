//! Tests of the extreme-value statistics: against formulas and fits of scipy, against known quantiles, and of every doubt.
//!
//! Numbers marked scipy are of scipy 1.17.1: `stats.lmoment(x, order=[1, 2, 3])`, `stats.genextreme.fit(x)` (maximum likelihood) and
//! `genextreme.isf`, with x made by the same generator and seed, c = -shape.

use super::*;

/// A GEV sample: location 10, scale 2.
fn sample(seed: u64, n: usize, shape: f64) -> Vec<f64> {
    let gev = Gev { location: 10.0, scale: 2.0, shape };
    let mut random = SplitMix(seed);
    (0..n).map(|_| gev.at(-random.unit().ln())).collect()
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

fn close(what: &str, got: f64, want: f64, relative: f64) {
    assert!((got / want - 1.0).abs() <= relative, "{what}: {got} for {want}");
}

#[test]
fn distribution_and_quantiles_are_those_of_scipy() {
    let gev = Gev { location: 10.0, scale: 2.0, shape: 0.1 };
    let y = |p: f64| -(-p).ln_1p();
    close("isf 1e-2", gev.at(y(1e-2)), 21.681952475926458, 1e-9);
    close("isf 1e-6", gev.at(y(1e-6)), 69.62143012962619, 1e-9);
    close("cdf", gev.below(15.0), 0.8981895233920782, 1e-12);
    let gumbel = Gev { shape: 0.0, ..gev };
    close("isf gumbel", gumbel.at(y(1e-6)), 37.63102011592813, 1e-9);
    close("cdf gumbel", gumbel.below(15.0), 0.9211936551755158, 1e-12);
    close("cdf light", Gev { shape: -0.2, ..gev }.below(15.0), 0.969233234476344, 1e-12);
    assert_eq!(Gev { shape: -0.2, ..gev }.below(21.0), 1.0, "beyond its end");
}

#[test]
fn l_moments_are_those_of_scipy_and_the_fit_is_near_its_maximum_likelihood() {
    let x = sample(7, 2000, 0.1);
    close("the same sample", x[1], 7.373557343708335, 1e-12);
    let x = sorted(x);
    let [mean, l2, t3] = l_moments(&x).expect("spreads");
    close("mean", mean, 11.256513728223169, 1e-10);
    close("L-scale", l2, 1.4834847691033577, 1e-10);
    close("L-skewness", t3, 0.2336873698596801, 1e-10);
    let fit = Gev::fit(&x).expect("fits");
    close("location", fit.location, 9.930934298673307, 5e-3);
    close("scale", fit.scale, 1.936055681415329, 0.02);
    assert!((fit.shape - 0.09884873466982996).abs() < 0.02, "{fit:?}");
    close("once in 10^4", fit.at(1e-4), 39.02365176195246, 0.05);
}

#[test]
fn distances_and_trends_are_those_of_scipy() {
    let x = sample(7, 2000, 0.1);
    let gev = Gev { location: 10.0, scale: 2.0, shape: 0.1 };
    close("Anderson-Darling", anderson_darling(&gev, &sorted(x[..40].to_vec())), 0.5967301849177389, 1e-9);
    close("Kendall", kendall(&x[..40]), -0.24467172577489446, 1e-9);
}

#[test]
fn a_known_quantile_lies_in_its_interval_about_as_often_as_is_said() {
    // Sixty blocks, as half an hour of R-101 gives. Gumbel is the tail of most light-tailed times.
    for (shape, least) in [(0.0, 85), (0.15, 80)] {
        let truth = Gev { location: 10.0, scale: 2.0, shape }.at(-(-1e-4f64).ln_1p());
        let quantiles = (0..100).map(|seed| estimate(&sample(1000 + seed, 60, shape), 1, &[1e-4], 1).quantiles[0]);
        let quantiles: Vec<Quantile> = quantiles.collect();
        let inside = quantiles.iter().filter(|q| (q.low..=q.high).contains(&truth)).count();
        let above = quantiles.iter().filter(|q| q.high >= truth).count();
        println!("shape {shape}: interval holds the quantile in {inside} of 100, its upper end lies above in {above}");
        assert!(inside >= least && above >= least, "shape {shape}: {inside} inside, {above} above");
    }
}

#[test]
fn blocks_are_maxima_and_the_exceedance_counts_cycles() {
    // Exponential times: the maximum of a block of b is Gumbel with location ln(b), and the quantile per cycle is -ln(p).
    let mut random = SplitMix(3);
    let times: Vec<f64> = (0..20_000).map(|_| -random.unit().ln()).collect();
    let e = estimate(&times, 50, &[1e-6], 1);
    assert_eq!((e.blocks, e.block), (400, 50));
    assert_eq!(e.doubts, []);
    let q = e.quantiles[0];
    close("location", e.fit.expect("fits").location, 50f64.ln(), 0.05);
    close("once in 10^6", q.value, 1e6f64.ln(), 0.15);
    assert!(q.low < q.value && q.value < q.high, "{q:?}");
    assert_eq!(estimate(&times, 50, &[1e-6], 1), e, "same seed, same bits");
}

#[test]
fn a_tail_that_seems_to_end_is_not_believed() {
    let x = sample(5, 200, -0.3);
    let e = estimate(&x, 1, &[1e-6], 1);
    let fit = e.fit.expect("fits");
    assert!(fit.shape < -0.1, "{fit:?}");
    let end = fit.location - fit.scale / fit.shape;
    assert!(e.quantiles[0].value > end, "{} beyond the end at {end}", e.quantiles[0].value);
}

fn doubts(times: &[f64]) -> Vec<Doubt> {
    estimate(times, 1, &[1e-6], 1).doubts
}

#[test]
fn every_doubt_is_raised_by_what_it_is_for() {
    assert_eq!(doubts(&sample(1, 100, 0.1)), [], "nothing to doubt");
    assert_eq!(doubts(&sample(1, 29, 0.1)), [Doubt::FewBlocks(29)]);
    assert_eq!(doubts(&[3.0; 100]), [Doubt::NoSpread]);
    let rising: Vec<f64> = sample(1, 100, 0.0).iter().enumerate().map(|(i, x)| x + i as f64 * 0.05).collect();
    assert!(matches!(doubts(&rising)[..], [Doubt::Trend(z), ..] if z > 2.5), "{:?}", doubts(&rising));
    let waves: Vec<f64> =
        sample(1, 100, 0.0).iter().enumerate().map(|(i, x)| x + 5.0 * ((i / 10) % 2) as f64).collect();
    assert!(doubts(&waves).iter().any(|d| matches!(d, Doubt::Dependent(r) if *r > 0.3)), "{:?}", doubts(&waves));
    let two: Vec<f64> =
        sample(1, 100, 0.0).iter().enumerate().map(|(i, x)| if i % 2 == 0 { *x } else { x + 90.0 }).collect();
    assert!(doubts(&two).iter().any(|d| matches!(d, Doubt::PoorFit(p) if *p < 0.01)), "{:?}", doubts(&two));
    let heavy = sample(2, 200, 0.9);
    assert!(doubts(&heavy).iter().any(|d| matches!(d, Doubt::HeavyTail(xi) if *xi > 0.5)), "{:?}", doubts(&heavy));
    for doubt in [Doubt::FewBlocks(3), Doubt::NoSpread, Doubt::Trend(-3.0), Doubt::PoorFit(0.001)] {
        assert!(doubt.to_string().len() > 30, "{doubt}");
    }
}
