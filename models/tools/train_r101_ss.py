"""Steady-state map of R-101 for the optimiser: F, T, T0, cA0 -> cB, Q, learnt from the analytic steady state."""

import numpy as np
from scipy.stats import qmc

import contract
import plant
from network import Network

LOW = np.array([70.0, 103.0, 107.0, 4.6])
HIGH = np.array([210.0, 122.0, 125.0, 5.6])
CHECK_LOW = np.array([80.0, 105.0, 108.0, 4.7])
CHECK_HIGH = np.array([200.0, 120.0, 124.0, 5.5])


def truth(x):
    """cB, Q of rows F, T, T0, cA0."""
    _, cb, _, duty = plant.steady(x[:, 0], x[:, 1], x[:, 3], x[:, 2])
    return np.stack((cb, duty), axis=1)


def train(folder, seed=101):
    """Trains and writes r101_ss.onnx; returns its metrics."""
    x = qmc.scale(qmc.Sobol(4, seed=seed).random(2**13), LOW, HIGH)
    y = truth(x)
    net = Network([4, 32, 32, 2], x.mean(axis=0), x.std(axis=0), y.mean(axis=0), y.std(axis=0))
    net.start(seed)
    net.fit(x, y, 6000)
    net = net.rounded()
    unseen = qmc.scale(qmc.Sobol(4, seed=seed + 1).random(2**15), CHECK_LOW, CHECK_HIGH)
    error = net.predict(unseen) - truth(unseen)
    metrics = {}
    for i, name in enumerate(("cB", "Q")):
        metrics[name] = contract.score(truth(unseen)[:, i], net.predict(unseen)[:, i])
        metrics[name]["worst"] = float(f"{np.abs(error[:, i]).max():.4g}")
    inputs = [contract.tag_input("F", "l/h"), contract.tag_input("T", "degC"), contract.tag_input("T0", "degC"), contract.tag_input("cA0", "mol/l")]
    inputs = contract.with_statistics(inputs, x)
    for row, low, high in zip(inputs, LOW, HIGH):
        row["train_min"], row["train_max"] = float(low), float(high)
    contract.write(
        folder / "r101_ss.onnx",
        net,
        {
            "inputs": inputs,
            "outputs": [{"name": "cB", "unit": "mol/l", "range": [0.8, 1.3]}, {"name": "Q", "unit": "kJ/h", "range": [-6000.0, 12000.0]}],
            "sample_time": 0,
            "domain": contract.domain(x, explained=0.90),
            "residuals": contract.residuals(("cB", "Q"), error, 0),
            "trained_on": {"from": "analytic steady state", "to": "analytic steady state", "rows": len(x), "modes": ["steady"]},
            "metrics": metrics,
            "golden": contract.golden(net, unseen, seed),
            "card": {
                "intended_use": "Steady-state map inside the setpoint optimiser of R-101",
                "not_for": "Dynamic prediction; any other reactor",
                "author": "flyball authors",
                "approver": "example, not approved for a plant",
            },
            "version": "1.0",
        },
    )
    return metrics
