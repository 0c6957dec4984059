"""Van de Vusse reactor R-101: the equations that the example models learn from.

Why it exists: the soft sensor and the steady-state map need many runs of the plant, so the equations stand here in
vectorised form (one column = one run). Parameters are the published Klatt-Engell set. Prices are no part of the plant.

Words: F feed [l/h], T reactor, TK jacket, T0 feed temperature [degC], cA0 feed concentration [mol/l],
cA, cB concentrations in the reactor [mol/l], Q cooling duty [kJ/h], positive when heat is taken out.
"""

import numpy as np

K10 = K20 = 1.287e12  # 1/h
K30 = 9.043e9  # l/(mol h)
E12, E3 = 9758.3, 8560.0  # K
H1, H2, H3 = 4.2, -11.0, -41.85  # kJ/mol
RHO, CP = 0.9342, 3.01  # kg/l, kJ/(kg K)
KW, AR = 4032.0, 0.215  # kJ/(h m2 K), m2
VOLUME = 10.0  # l
MK, CPK = 5.0, 2.0  # kg, kJ/(kg K)

DUTY_MAX = 9000.0  # kJ/h, the slave loop saturates here and at 0
KC, TI = 600.0, 180.0  # PI slave loop on duty: kJ/(h K), s


def rates(temperature):
    """Arrhenius rates k1, k2 [1/h] and k3 [l/(mol h)] at a temperature in degC."""
    t = temperature + 273.15
    k12 = K10 * np.exp(-E12 / t)
    return k12, k12, K30 * np.exp(-E3 / t)


def steady(feed, temperature, ca0, t0):
    """Analytic steady state: cA, cB, TK, Q."""
    d = feed / VOLUME
    k1, k2, k3 = rates(temperature)
    ca = (-(d + k1) + np.sqrt((d + k1) ** 2 + 4 * k3 * d * ca0)) / (2 * k3)
    cb = k1 * ca / (d + k2)
    generated = -(k1 * ca * H1 + k2 * cb * H2 + k3 * ca * ca * H3) * VOLUME
    tk = temperature - (generated + feed * RHO * CP * (t0 - temperature)) / (KW * AR)
    return ca, cb, tk, KW * AR * (temperature - tk)


def derivatives(x, feed, duty, ca0, t0):
    """Time derivatives [per h] of x = (cA, cB, T, TK), each a row of columns."""
    ca, cb, t, tk = x
    d = feed / VOLUME
    k1, k2, k3 = rates(t)
    reaction = k1 * ca * H1 + k2 * cb * H2 + k3 * ca * ca * H3
    return np.stack(
        (
            d * (ca0 - ca) - k1 * ca - k3 * ca * ca,
            -d * cb + k1 * ca - k2 * cb,
            d * (t0 - t) - reaction / (RHO * CP) + KW * AR / (RHO * CP * VOLUME) * (tk - t),
            (-duty + KW * AR * (t - tk)) / (MK * CPK),
        )
    )


def rk4(x, hours, *inputs):
    """One Runge-Kutta step of the fourth order with constant inputs."""
    a = derivatives(x, *inputs)
    b = derivatives(x + hours / 2 * a, *inputs)
    c = derivatives(x + hours / 2 * b, *inputs)
    d = derivatives(x + hours * c, *inputs)
    return x + hours / 6 * (a + 2 * b + 2 * c + d)


def run(feed_sp, temperature_sp, t0, ca0, feed_lag_s):
    """Simulates the reactor with its two slave loops in steps of 1 s.

    Arguments are arrays [seconds, runs] (feed_lag_s: [runs]). Starts in the steady state of the first row.
    Returns a dict of arrays [seconds, runs]: F, T, TK, Q as they are (no noise) and the truth cB.
    """
    seconds, runs = feed_sp.shape
    feed = feed_sp[0].copy()
    ca, cb, tk, duty = steady(feed, temperature_sp[0], ca0[0], t0[0])
    x = np.stack((ca, cb, temperature_sp[0], tk))
    integral = -duty
    share = 1.0 - np.exp(-1.0 / feed_lag_s)
    out = {name: np.empty((seconds, runs), np.float32) for name in ("F", "T", "TK", "Q", "cB")}
    for s in range(seconds):
        feed += share * (feed_sp[s] - feed)
        error = temperature_sp[s] - x[2]
        integral += KC * error / TI
        u = np.clip(integral + KC * error, -DUTY_MAX, 0.0)
        saturated = (u == -DUTY_MAX) | (u == 0.0)
        integral -= np.where(saturated, KC * error / TI, 0.0)
        x = rk4(x, 1.0 / 3600.0, feed, -u, ca0[s], t0[s])
        for name, value in (("F", feed), ("T", x[2]), ("TK", x[3]), ("Q", -u), ("cB", x[1])):
            out[name][s] = value
    return out
