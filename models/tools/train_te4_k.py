"""Catalyst activity of te4 from measured values: P, yA, yC, F4 -> k.

The formula is the rate of reaction turned round (`te4.activity`); what the vapour holds and what leaves as product say how active the
catalyst is, and they do so long before the slow inventory of inerts is steady. Trained on pairs that steady operation can show.
"""

import numpy as np
from scipy.stats import qmc

import contract
import te4
from network import Network

# P, yA, F4, k; yC follows
LOW = np.array([2600.0, 40.0, 80.0, 0.65])
HIGH = np.array([3000.0, 76.0, 130.0, 1.20])
YC_LOW, YC_HIGH = 5.0, 55.0
CHECK_LOW = np.array([2650.0, 44.0, 88.0, 0.75])
CHECK_HIGH = np.array([2950.0, 72.0, 120.0, 1.10])
NAMES = (("P", "kPa"), ("yA", "%"), ("yC", "%"), ("F4", "kmol/h"))
FILTER_S = 360.0  # one period of the composition analyser


def rows(count, low, high, seed):
    """Inputs P, yA, yC, F4 and truth k."""
    p, a, product, k = qmc.scale(qmc.Sobol(4, seed=seed).random(count * 4), low, high).T
    c = te4.fraction_c(p, a, product, k)
    keep = np.flatnonzero((c >= YC_LOW) & (c <= YC_HIGH) & (a + c < 98.0))[:count]
    return np.stack((p, a, c, product), axis=1)[keep], k[keep, None]


def train(folder, seed=402):
    """Trains and writes te4_k.onnx; returns its metrics."""
    x, y = rows(2**13, LOW, HIGH, seed)
    net = Network([4, 16, 16, 1], x.mean(axis=0), x.std(axis=0), y.mean(axis=0), y.std(axis=0))
    net.start(seed)
    net.fit(x, y, 3000)
    net = net.rounded()
    unseen, k = rows(2**13, CHECK_LOW, CHECK_HIGH, seed + 1)
    error = net.predict(unseen) - k
    metrics = {"k": contract.score(k[:, 0], net.predict(unseen)[:, 0]) | {"worst": float(f"{np.abs(error).max():.4g}")}}
    inputs = [contract.tag_input(name, unit, "mean", FILTER_S) for name, unit in NAMES]
    contract.write(
        folder / "te4_k.onnx",
        net,
        {
            "inputs": contract.with_statistics(inputs, x),
            "outputs": [{"name": "k", "unit": "1", "range": [0.6, 1.2]}],
            "sample_time": 36,
            "domain": contract.domain(x),
            "residuals": contract.residuals(("k",), error, 0),
            "trained_on": {"from": "rate of reaction", "to": "rate of reaction", "rows": len(x), "modes": ["steady"]},
            "metrics": metrics,
            "golden": contract.golden(net, unseen, seed),
            "card": {
                "intended_use": "Soft sensor of the catalyst activity of te4, input of its steady-state map",
                "not_for": "Start-up, shutdown; any other reactor",
                "author": "flyball authors",
                "approver": "example, not approved for a plant",
            },
            "version": "1.0",
        },
    )
    return metrics
