"""Steady-state map of te4 for the optimiser: P, yA, F4, k -> P, F3, yC, v1..v4, learnt from the balances of `te4.py`.

Half of the rows fill the domain evenly; the other half lies where all valves work inside 0-100 %, because there the optimum is found
and there the money must be right. Beyond the valves' ranges the outputs are bent (`bent`), so that the map stays small there.
P goes through: the CV that keeps the pressure needs it as an output, which the plant then corrects.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import qmc

import contract
import te4
from network import Network

INPUTS = (("P", "kPa"), ("yA", "%"), ("F4", "kmol/h"), ("k", "1"))
LOW = np.array([2640.0, 42.0, 85.0, 0.75])
HIGH = np.array([2900.0, 74.0, 125.0, 1.10])
CHECK_LOW = np.array([2650.0, 44.0, 88.0, 0.80])
CHECK_HIGH = np.array([2890.0, 72.0, 120.0, 1.08])
# name, unit, EU range, where it is exact, width of the bend
OUTPUTS = (
    ("P", "kPa", (2600.0, 3000.0), (2600.0, 3000.0), 1.0),
    ("F3", "kmol/h", (0.0, 30.0), (0.0, 22.0), 4.0),
    ("yC", "%", (0.0, 60.0), (0.0, 55.0), 10.0),
    ("v1", "%", (0.0, 100.0), (0.0, 105.0), 15.0),
    ("v2", "%", (0.0, 100.0), (-20.0, 105.0), 15.0),
    ("v3", "%", (0.0, 100.0), (0.0, 105.0), 15.0),
    ("v4", "%", (0.0, 100.0), (0.0, 105.0), 15.0),
)
# k, F4 of the cases whose optimum is checked
CASES = ((1.0, 100.0), (0.829, 100.0), (1.0, 115.0), (0.9, 110.0), (1.05, 90.0))
LIMIT = 2850.0  # kPa


def bent(value, low, high, width):
    """The value inside [low, high], its logarithm beyond, joined without a kink."""
    above = high + width * np.log1p(np.maximum(value - high, 0.0) / width)
    below = low - width * np.log1p(np.maximum(low - value, 0.0) / width)
    return np.where(value > high, above, np.where(value < low, below, value))


def truth(x):
    """Outputs of rows P, yA, F4, k."""
    s = te4.steady(x[:, 0], x[:, 1], x[:, 2], x[:, 3]) | {"P": x[:, 0]}
    return np.stack([bent(s[name], *exact, width) for name, _, _, exact, width in OUTPUTS], axis=1)


def workable(x):
    """Rows in which every valve works inside its range."""
    s = te4.steady(x[:, 0], x[:, 1], x[:, 2], x[:, 3])
    valves = np.stack([s[f"v{i}"] for i in (1, 2, 3, 4)])
    return (s["slack"] > te4.SLACK_LEAST) & (valves.min(axis=0) >= 0.0) & (valves.max(axis=0) <= 100.0)


def rows(count, low, high, seed):
    """Half of them anywhere in the box, half of them workable."""
    anywhere = qmc.scale(qmc.Sobol(4, seed=seed).random(count // 2), low, high)
    many = qmc.scale(qmc.Sobol(4, seed=seed + 1000).random(count * 4), low, high)
    return np.concatenate((anywhere, many[workable(many)][: count // 2]))


def regret(net, k, product):
    """By how much of the best cost one pays too much with the yA that the map calls best, at the pressure limit."""

    def point(a):
        return np.array([[LIMIT, a, product, k]])

    def true_cost(a):
        return te4.steady(*point(a)[0])["cost"]

    def map_cost(a):
        y = net.predict(point(a))[0]
        return te4.cost(y[1], a, y[2], product)

    grid = np.linspace(44.0, 72.0, 561)
    grid = grid[workable(np.concatenate([point(a) for a in grid]))]

    def best(cost):
        start = min(grid, key=cost)
        return minimize_scalar(cost, bounds=(max(start - 1, 44.0), min(start + 1, 72.0)), method="bounded").x

    return true_cost(best(map_cost)) / true_cost(best(true_cost)) - 1.0


def train(folder, seed=401, iterations=6000):
    """Trains and writes te4_ss.onnx; returns its metrics."""
    x = rows(2**13, LOW, HIGH, seed)
    y = truth(x)
    net = Network([4, 32, 32, len(OUTPUTS)], x.mean(axis=0), x.std(axis=0), y.mean(axis=0), y.std(axis=0))
    net.start(seed)
    net.fit(x, y, iterations)
    net = net.rounded()
    unseen = rows(2**14, CHECK_LOW, CHECK_HIGH, seed + 1)
    unseen = unseen[workable(unseen)]
    error = net.predict(unseen) - truth(unseen)
    names = [name for name, *_ in OUTPUTS]
    metrics = {}
    for i, name in enumerate(names):
        metrics[name] = contract.score(truth(unseen)[:, i], net.predict(unseen)[:, i])
        metrics[name]["worst"] = float(f"{np.abs(error[:, i]).max():.4g}")
    # A share of the cost; rounding would make --check compare noise, so it counts from 0.1 % on.
    metrics["optimum"] = {"worst_regret": float(f"{max(0.001, *(regret(net, k, f) for k, f in CASES)):.4g}")}
    inputs = contract.with_statistics([contract.tag_input(name, unit) for name, unit in INPUTS], x)
    for row, low, high in zip(inputs, LOW, HIGH):
        row["train_min"], row["train_max"] = float(low), float(high)
    contract.write(
        folder / "te4_ss.onnx",
        net,
        {
            "inputs": inputs,
            "outputs": [{"name": name, "unit": unit, "range": list(span)} for name, unit, span, *_ in OUTPUTS],
            "sample_time": 0,
            "domain": contract.domain(x, explained=0.90),
            "residuals": contract.residuals(names, error, 0),
            "trained_on": {"from": "steady-state balances", "to": "steady-state balances", "rows": len(x), "modes": ["steady"]},
            "metrics": metrics,
            "golden": contract.golden(net, unseen, seed),
            "card": {
                "intended_use": "Steady-state map inside the setpoint optimiser of te4",
                "not_for": "Dynamic prediction; any other reactor; points where a valve would be outside 0-100 %",
                "author": "flyball authors",
                "approver": "example, not approved for a plant",
            },
            "version": "1.0",
        },
    )
    return metrics
