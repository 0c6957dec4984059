"""Coefficients of the polynomials and quotients in models/engine/src/math, printed as Rust arrays.

Each is the best of its shape, P(t) or P(t) / Q(t) with Q(0) = 1, in the largest relative error of the *function* over an interval:
least squares on Chebyshev points, whose weights are multiplied by the error until it is level (C. L. Lawson, Contributions to the
Theory of Linear Least Maximum Approximation, 1961). Then the coefficients are rounded to f32, lowest powers first, and the others are fitted
again after each. No randomness: two runs print the same lines.
"""

import numpy as np
from numpy.polynomial.polynomial import polyval
from scipy.special import erf, erfcx

POINTS = 1000
ROUNDS = 200
# Where (f(x) - first terms) / x^2 is not formed: it would lose its digits.
NEAR_ZERO = 1e-4


def points(low, high):
    """Chebyshev points of an interval, without those next to 0."""
    k = np.arange(POINTS)
    x = (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * (k + 0.5) / POINTS)
    return x[np.abs(x) > NEAR_ZERO]


class Fit:
    """Minimises max |weight (P(t) / Q(t) - goal)|. `fixed` holds coefficients that do not move: index -> value, P before Q."""

    def __init__(self, t, goal, weight, p_degree, q_degree=0, fixed=None):
        self.t, self.goal, self.weight, self.p_size = t, goal, weight, p_degree + 1
        powers = t[:, None] ** np.arange(max(p_degree, q_degree) + 1)
        # P(t) - goal Q(t) is linear in the coefficients.
        self.columns = np.hstack([powers[:, : p_degree + 1], -goal[:, None] * powers[:, 1 : q_degree + 1]])
        fixed = dict(fixed or {})
        self.exact, c = self.solve(fixed)
        size = self.columns.shape[1]
        for i in sorted(range(size), key=lambda i: i if i < self.p_size else i - self.p_size + 1):
            fixed.setdefault(i, float(np.float32(c[i])))
            self.rounded, c = self.solve(fixed)
        self.c = c

    def solve(self, fixed):
        """The smallest error found and its coefficients."""
        c = np.zeros(self.columns.shape[1])
        c[list(fixed)] = list(fixed.values())
        free = [i for i in range(len(c)) if i not in fixed]
        rest = self.goal - self.columns @ c
        level, below = np.ones(len(self.t)), np.ones(len(self.t))
        best = (np.inf, c)
        for _ in range(ROUNDS if free else 1):
            if free:
                scale = self.weight * np.sqrt(level) / below
                matrix = self.columns[:, free] * scale[:, None]
                norms = np.linalg.norm(matrix, axis=0)
                c[free] = np.linalg.lstsq(matrix / norms, rest * scale, rcond=1e-16)[0] / norms
            below = polyval(self.t, np.append(1.0, c[self.p_size :]))
            error = np.abs(self.weight * (polyval(self.t, c[: self.p_size]) / below - self.goal))
            if error.max() < best[0]:
                best = (error.max(), c.copy())
            level = level * (error / error.max() + 1e-3)
            level /= level.sum()
        return best

    def value(self, t):
        return polyval(t, self.c[: self.p_size]) / polyval(t, np.append(1.0, self.c[self.p_size :]))

    def print(self, name, beyond=None):
        print(f"// {name}: largest relative error 2^{np.log2(self.exact):.1f}, after rounding 2^{np.log2(self.rounded):.1f}")
        if beyond is not None:
            print(f"// x times that, beyond the interval: at least 1 - {(1 - beyond) * 2**25:.1f} 2^-25")
        print("P", [float(str(np.float32(v))) for v in self.c[: self.p_size]])
        if len(self.c) > self.p_size:
            print("Q", [1.0] + [float(str(np.float32(v))) for v in self.c[self.p_size :]])


def main():
    # e^r = 1 + r + r^2 P(r) for |r| <= ln 2 / 2 and a little more. The weight is that of e^r - 1, the harder of the two.
    r = points(-0.3467, 0.3467)
    Fit(r, (np.expm1(r) - r) / r**2, r**2 / np.abs(np.expm1(r)), 4).print("(e^r - 1 - r) / r^2")

    # ln(1 + f) = f + f^2 P(f): between sqrt(1/2) and sqrt(2) for the logarithm, between 1 and 2 for softplus.
    for low, high in ((np.sqrt(0.5) - 1, np.sqrt(2.0) - 1), (0.0, 1.0)):
        f = points(low, high)
        Fit(f, (np.log1p(f) - f) / f**2, f**2 / np.abs(np.log1p(f)), 8).print(f"(ln(1 + f) - f) / f^2, f <= {high:.2f}")

    # x P(x^2) / Q(x^2) up to where f32 cannot tell the function from 1; from there on the quotient must not fall below 1 in f32, because the
    # kernel limits it to 1 and looks at nothing else. tanh x = x must hold exactly near 0.
    x, beyond = points(0.0, 8.66), np.linspace(8.66, 100.0, 100_000)
    fit = Fit(x**2, np.tanh(x) / x, x / np.tanh(x), 4, 4, {0: 1.0})
    fit.print("tanh x / x", (beyond * fit.value(beyond**2)).min())
    x, beyond = points(0.0, 3.85), np.linspace(3.85, 100.0, 100_000)
    fit = Fit(x**2, erf(x) / x, x / erf(x), 6, 4)
    fit.print("erf x / x", (beyond * fit.value(beyond**2)).min())

    # The normal distribution's upper tail over its bell, up to where the tail leaves f32: erfc(a / sqrt 2) e^(a^2 / 2) / 2.
    a = points(0.0, 14.6)
    tail = erfcx(a / np.sqrt(2.0)) / 2
    Fit(a, tail, 1 / tail, 4, 5).print("upper tail / e^(-a^2 / 2)")


if __name__ == "__main__":
    main()
