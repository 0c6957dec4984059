//! The cost of leaving the domain in which a map was trained: Hotelling's T2 and SPE of its inputs beyond their limits.
//!
//! T2 = sum t_a^2 / lambda_a with scores t = P z of the standardised inputs z, SPE = |z - P't|^2 (Jackson and Mudholkar, Technometrics 21
//! (1979) 341-349). An optimiser that is free to extrapolate finds the errors of its model; the cost makes it stay where there were data.

/// PCA of the training inputs with the limits beyond which leaving costs.
#[derive(Debug, Clone, PartialEq)]
pub struct DomainCost {
    /// Mean of each input, EU, in the map's order.
    pub mean: Vec<f64>,
    /// Standard deviation of each input, EU.
    pub std: Vec<f64>,
    /// One row per component, one entry per input.
    pub loadings: Vec<Vec<f64>>,
    /// Variance of each score.
    pub eigenvalues: Vec<f64>,
    /// Limit of T2.
    pub t2: f64,
    /// Limit of SPE.
    pub spe: f64,
    /// Cost of being outside by a whole limit, units of the objective.
    pub cost: f64,
}

impl DomainCost {
    /// Cost at `x`, one number per input; its derivatives are added to `slopes`. Linear beyond the limits.
    pub(crate) fn add(&self, x: &[f64], z: &mut [f64], slopes: &mut [f64]) -> f64 {
        for (((z, x), mean), std) in z.iter_mut().zip(x).zip(&self.mean).zip(&self.std) {
            *z = (x - mean) / std;
        }
        let (mut t2, mut inside) = (0.0, 0.0);
        for (row, eigenvalue) in self.loadings.iter().zip(&self.eigenvalues) {
            let score: f64 = row.iter().zip(z.iter()).map(|(p, z)| p * z).sum();
            t2 += score * score / eigenvalue;
            inside += score * score;
        }
        // Loadings are orthonormal: what the plane does not explain is the rest of the length.
        let spe = (z.iter().map(|z| z * z).sum::<f64>() - inside).max(0.0);
        let over = |value: f64, limit: f64| if limit > 0.0 { (value / limit - 1.0).max(0.0) } else { 0.0 };
        let (t2_over, spe_over) = (over(t2, self.t2), over(spe, self.spe));
        if t2_over > 0.0 || spe_over > 0.0 {
            let by_t2 = if t2_over > 0.0 { self.cost / self.t2 } else { 0.0 };
            let by_spe = if spe_over > 0.0 { self.cost / self.spe } else { 0.0 };
            for ((slope, z), std) in slopes.iter_mut().zip(z.iter()).zip(&self.std) {
                *slope += 2.0 * by_spe * z / std;
            }
            for (row, eigenvalue) in self.loadings.iter().zip(&self.eigenvalues) {
                let score: f64 = row.iter().zip(z.iter()).map(|(p, z)| p * z).sum();
                let by = 2.0 * score * (by_t2 / eigenvalue - by_spe);
                for ((slope, p), std) in slopes.iter_mut().zip(row).zip(&self.std) {
                    *slope += by * p / std;
                }
            }
        }
        self.cost * (t2_over + spe_over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_central_differences_and_inside_costs_nothing() {
        let r = std::f64::consts::FRAC_1_SQRT_2;
        let domain = DomainCost {
            mean: vec![1.0, 2.0],
            std: vec![0.5, 2.0],
            loadings: vec![vec![r, r]],
            eigenvalues: vec![1.6],
            t2: 3.0,
            spe: 0.5,
            cost: 7.0,
        };
        let at = |x: &[f64]| domain.add(x, &mut [0.0; 2], &mut [0.0; 2]);
        assert_eq!(at(&[1.1, 2.2]), 0.0);
        for x in [[3.0, 9.0], [1.0, 5.0], [4.0, -6.0]] {
            let mut slopes = [0.0; 2];
            let cost = domain.add(&x, &mut [0.0; 2], &mut slopes);
            assert!(cost > 0.0);
            for i in 0..2 {
                let near = |by: f64| at(&std::array::from_fn::<f64, 2, _>(|k| x[k] + if k == i { by } else { 0.0 }));
                let difference = (near(1e-6) - near(-1e-6)) / 2e-6;
                assert!((slopes[i] - difference).abs() < 1e-6 * (1.0 + difference.abs()), "{x:?} {i}");
            }
        }
    }
}
