//! Starting points that are spread evenly and are the same in every run: Halton's low-discrepancy sequence, no randomness.

/// The first points of a Halton sequence are strongly correlated in higher bases.
const HALTON_SKIP: u32 = 20;
const PRIMES: [u32; 32] = [
    2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131,
];

/// Coordinate `i` of the spread start `k`.
#[must_use]
pub(crate) fn spread(k: usize, i: usize) -> f64 {
    halton(k as u32 + HALTON_SKIP, PRIMES[i % PRIMES.len()])
}

/// Halton's low-discrepancy sequence (Numer. Math. 2 (1960) 84-90), in (0, 1).
fn halton(mut index: u32, base: u32) -> f64 {
    let (mut share, mut digit) = (0.0, 1.0);
    while index > 0 {
        digit /= f64::from(base);
        share += digit * f64::from(index % base);
        index /= base;
    }
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_haltons_and_fills_the_unit_interval_evenly() {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-15;
        assert!(
            close(halton(1, 2), 0.5)
                && close(halton(2, 2), 0.25)
                && close(halton(3, 2), 0.75)
                && close(halton(5, 3), 7.0 / 9.0)
        );
        for i in 0..PRIMES.len() {
            let points: Vec<f64> = (0..4096).map(|k| spread(k, i)).collect();
            assert!(points.iter().all(|p| (0.0..1.0).contains(p)));
            for tenth in 0..10 {
                let low = f64::from(tenth) / 10.0;
                let inside = points.iter().filter(|p| (low..low + 0.1).contains(*p)).count();
                assert!((350..470).contains(&inside), "base {}: {inside} of 4096 in the tenth from {low}", PRIMES[i]);
            }
        }
    }
}
