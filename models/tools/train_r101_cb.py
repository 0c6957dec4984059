"""Soft sensor of product B in R-101, learnt from many simulated runs of the plant with its slave loops.

The feed concentration moves and is not measured: the network has to infer it from the heat balance.
Rows are taken every STRIDE seconds at a random phase, only after every window is full. Runs for training, interval and test are different.
"""

import numpy as np

import contract
import features
import plant
from network import Network

SECONDS = 4800
WARM = 400  # s: the longest delay and both filters are full
STRIDE = 120  # s between two rows of one run
NOISE = {"F": 0.2, "T": 0.015, "TK": 0.02, "T0": 0.04, "Q": 8.0}  # standard deviation, EU
UP = {"F": 2.0 / 30.0, "T": 0.2 / 30.0}  # largest move per second, as configured
DOWN = {"F": 4.0 / 30.0, "T": 0.5 / 30.0}
INPUTS = [
    contract.tag_input("F", "l/h", "mean", 15.0),
    contract.tag_input("F_60", "l/h", "mean", 15.0, 60.0),
    contract.tag_input("F_180", "l/h", "mean", 15.0, 180.0),
    contract.tag_input("T", "degC", "mean", 15.0),
    contract.tag_input("TK", "degC", "mean", 15.0),
    contract.tag_input("T0", "degC", "first-order", 30.0),
    contract.tag_input("Q", "kJ/h", "first-order", 30.0),
]


def setpoint(rng, name, low, high, beyond, step_share, step_max):
    """One setpoint track: new targets about every ten minutes, reached by the configured ramps or by a step.

    Targets are drawn beyond the limits and clipped, so that the limits themselves are visited often.
    """
    track = np.empty(SECONDS)
    value = float(np.clip(rng.uniform(low - beyond, high + beyond), low, high))
    target, wait, stepping = value, rng.exponential(400.0), False
    for s in range(SECONDS):
        if s >= wait:
            stepping = rng.random() < step_share
            target = float(np.clip(rng.uniform(low - beyond, high + beyond), low, high))
            if stepping:
                value = float(np.clip(target, value - step_max, value + step_max))
                target = value
            wait = s + rng.exponential(600.0)
        value += float(np.clip(target - value, -DOWN[name], UP[name]))
        track[s] = value
    return track


def disturbance(rng, low, high, step_max, ramp_s):
    """One disturbance: constant, with a few steps and ramps of up to `step_max`."""
    track = np.full(SECONDS, rng.uniform(low, high))
    for _ in range(rng.poisson(2.0)):
        at = int(rng.uniform(0, SECONDS))
        end = np.clip(track[at] + rng.uniform(-step_max, step_max), low, high)
        length = 1 if rng.random() < 0.4 else int(rng.uniform(60, ramp_s))
        shape = np.clip((np.arange(SECONDS - at) + 1) / length, 0.0, 1.0)
        track[at:] = track[at] + (end - track[at]) * shape
    return track


def scenario(rng, runs):
    """Setpoints and disturbances [seconds, runs] whose start the cooling can hold."""
    columns = []
    while len(columns) < runs:
        feed = setpoint(rng, "F", 80.0, 200.0, 20.0, 0.15, 20.0)
        temperature = setpoint(rng, "T", 105.0, 120.0, 3.0, 0.10, 1.0)
        t0 = disturbance(rng, 110.0, 122.0, 4.0, 1200)
        ca0 = disturbance(rng, 4.8, 5.4, 0.3, 2400)
        duty = plant.steady(feed[0], temperature[0], ca0[0], t0[0])[3]
        if 100.0 < duty < 8000.0:
            columns.append((feed, temperature, t0, ca0))
    return [np.stack([c[i] for c in columns], axis=1) for i in range(4)]


def rows(seed, runs):
    """Feature rows and the true cB of so many runs, without rows where the cooling saturates."""
    rng = np.random.default_rng(seed)
    feed, temperature, t0, ca0 = scenario(rng, runs)
    truth = plant.run(feed, temperature, t0, ca0, rng.uniform(0.5, 6.0, runs))
    x = measured(rng, truth, t0)
    y = truth["cB"].astype(np.float64)
    at = np.arange(WARM + rng.integers(0, STRIDE), SECONDS, STRIDE)
    x, y, duty = x[at].reshape(-1, len(INPUTS)), y[at].reshape(-1), truth["Q"][at].reshape(-1)
    hot = truth["T"][at].reshape(-1)
    usable = (duty > 20.0) & (duty < 8800.0) & (np.abs(hot - 112.5) < 9.5)
    return x[usable], y[usable]


def measured(rng, truth, t0):
    """Instrument noise, then the runtime's filters: array [seconds, runs, inputs]."""
    noisy = {n: truth[n] + rng.normal(0.0, NOISE[n], truth[n].shape) for n in ("F", "T", "TK", "Q")}
    noisy["T0"] = t0 + rng.normal(0.0, NOISE["T0"], t0.shape)
    feed = features.mean(noisy["F"], 15)
    return np.stack(
        (
            feed,
            features.delay(feed, 60),
            features.delay(feed, 180),
            features.mean(noisy["T"], 15),
            features.mean(noisy["TK"], 15),
            features.first_order(noisy["T0"], 30.0),
            features.first_order(noisy["Q"], 30.0),
        ),
        axis=2,
    )


def commissioning(net, seed, t0_after, ramp_s):
    """The acceptance run: hold, ramp to the optimum, then the feed temperature changes and the feed is cut. Worst |error|."""
    feed, temperature, t0 = np.full(SECONDS, 140.0), np.full(SECONDS, 114.0), np.full(SECONDS, 116.0)
    for s in range(600, SECONDS):
        goal = 200.0 if s < 2700 else 176.0
        feed[s] = feed[s - 1] + np.clip(goal - feed[s - 1], -DOWN["F"], UP["F"])
        temperature[s] = temperature[s - 1] + np.clip(120.0 - temperature[s - 1], -DOWN["T"], UP["T"])
        t0[s] = 116.0 + (t0_after - 116.0) * np.clip((s - 2670) / ramp_s, 0.0, 1.0)
    rng = np.random.default_rng(seed)
    shape = (SECONDS, 1)
    truth = plant.run(feed.reshape(shape), temperature.reshape(shape), t0.reshape(shape), np.full(shape, 5.1), np.array([3.0]))
    x = measured(rng, truth, t0.reshape(shape))[WARM:, 0]
    return float(np.abs(net.predict(x) - truth["cB"][WARM:].astype(np.float64)).max())


def train(folder, seed=7):
    """Trains and writes r101_cb.onnx; returns its metrics."""
    parts = [rows(seed + i, 400) for i in range(4)]
    x, y = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    y = y[:, None]
    net = Network([7, 24, 24, 1], x.mean(axis=0), x.std(axis=0), y.mean(axis=0), y.std(axis=0))
    net.start(seed)
    net.fit(x, y, 1100, l2=1e-8, whiten_inputs=True)
    net = net.rounded()
    calibration_x, calibration_y = rows(seed + 50, 200)
    test_x, test_y = rows(seed + 60, 200)
    metrics = {"cB": contract.score(test_y, net.predict(test_x)[:, 0])}
    metrics["cB"]["train_rmse"] = contract.score(y[:, 0], net.predict(x)[:, 0])["rmsep"]
    metrics["cB"]["worst_commissioning_step"] = float(f"{commissioning(net, seed, 120.0, 1):.4g}")
    metrics["cB"]["worst_commissioning_ramp"] = float(f"{commissioning(net, seed, 120.0, 600):.4g}")
    errors = (net.predict(calibration_x)[:, 0] - calibration_y)[:, None]
    contract.write(
        folder / "r101_cb.onnx",
        net,
        {
            "inputs": contract.with_statistics(INPUTS, x),
            "outputs": [{"name": "cB", "unit": "mol/l", "range": [0.8, 1.3]}],
            "sample_time": 5,
            "domain": contract.domain(x),
            "residuals": contract.residuals(("cB",), errors, STRIDE),
            "trained_on": {"from": "simulated runs", "to": "simulated runs", "rows": len(x), "modes": ["steady", "ramps", "steps"]},
            "metrics": metrics,
            "golden": contract.golden(net, test_x, seed),
            "card": {
                "intended_use": "Product B now in R-101 with both slave loops in automatic, cA0 4.8 to 5.4 mol/l, T0 110 to 122 degC",
                "not_for": "Start-up, shutdown, saturated cooling, any other reactor",
                "author": "flyball authors",
                "approver": "example, not approved for a plant",
            },
            "version": "1.0",
        },
    )
    return metrics
