"""Gas turbine: network and ridge on the same eight inputs for TEY, CO and NOX, learnt from 2011 and 2012, judged on 2013.

Honest by construction: hyper-parameters are chosen on 2012 with 2011 as training data; 2013 is touched once, for the score.
Inputs outside the training range are limited to it, as the runtime does.
"""

import pathlib

import numpy as np

import contract
import modes
from network import Network

DATA = pathlib.Path(__file__).resolve().parent.parent / "data" / "gas_turbine"
IN = ["AT", "AP", "AH", "AFDP", "GTEP", "TIT", "TAT", "CDP"]
OUT = ["TEY", "CO", "NOX"]
UNITS = {"AT": "degC", "AP": "mbar", "AH": "%", "AFDP": "mbar", "GTEP": "mbar", "TIT": "degC", "TAT": "degC", "CDP": "mbar"}
OUT_UNITS = {"TEY": "MWh", "CO": "mg/m3", "NOX": "mg/m3"}
OUT_RANGES = {"TEY": [90.0, 180.0], "CO": [0.0, 50.0], "NOX": [20.0, 120.0]}
LATE = 24  # rows: the analyser value arrives this late


def year(number):
    """Inputs and outputs of one year in row order."""
    path = DATA / f"gt_{number}.csv"
    header = path.read_text().splitlines()[0].split(",")
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    column = {name: i for i, name in enumerate(header)}
    return table[:, [column[n] for n in IN]], table[:, [column[n] for n in OUT]]


def ridge(x, y, strength):
    """Ridge regression on standardised inputs as a network of one layer."""
    net = Network([x.shape[1], y.shape[1]], x.mean(axis=0), x.std(axis=0), y.mean(axis=0), y.std(axis=0))
    z, t = (x - net.x_mean) / net.x_std, (y - net.y_mean) / net.y_std
    w = np.linalg.solve(z.T @ z + strength * len(x) * np.eye(x.shape[1]), z.T @ t)
    net.layers = [(w, np.zeros(y.shape[1]))]
    return net


def dense(x, y, l2, seed):
    """The network."""
    net = Network([x.shape[1], 16, 16, y.shape[1]], x.mean(axis=0), x.std(axis=0), y.mean(axis=0), y.std(axis=0))
    net.start(seed)
    net.fit(x, y, 400, l2=l2)
    return net


def limited(x, like):
    """Limited to the training range."""
    return np.clip(x, like.min(axis=0), like.max(axis=0))


def choose(make, candidates):
    """The candidate with the best mean R2 on 2012 after training on 2011."""
    (x1, y1), (x2, y2) = year(2011), year(2012)
    scored = []
    for c in candidates:
        predicted = make(x1, y1, c).predict(limited(x2, x1))
        scored.append((np.mean([contract.score(y2[:, i], predicted[:, i])["r2"] for i in range(len(OUT))]), c))
    return max(scored)[1]


def train(folder, seed=3):
    """Trains and writes turbine.onnx and turbine_ridge.onnx; returns the scores of 2013, persistence included."""
    (x1, y1), (x2, y2), (x3, y3) = year(2011), year(2012), year(2013)
    x, y = np.concatenate((x1, x2)), np.concatenate((y1, y2))
    l2 = choose(lambda a, b, c: dense(a, b, c, seed), [1e-5, 1e-4, 1e-3, 3e-3])
    strength = choose(ridge, [1e-4, 1e-3, 1e-2, 1e-1])
    models = {
        "turbine": (dense(x, y, l2, seed).rounded(), dense(x1, y1, l2, seed), f"dense tanh network 8-16-16-3, l2 {l2:g}"),
        "turbine_ridge": (ridge(x, y, strength).rounded(), ridge(x1, y1, strength), f"ridge regression, strength {strength:g}"),
    }
    persistence = {n: contract.score(y3[LATE:, i], y3[:-LATE, i]) for i, n in enumerate(OUT)}
    all_metrics = {"persistence_24": persistence}
    for name, (net, first_year, kind) in models.items():
        predicted = net.predict(limited(x3, x))
        metrics = {n: contract.score(y3[:, i], predicted[:, i]) for i, n in enumerate(OUT)}
        metrics["judged_on"] = "2013"
        all_metrics[name] = metrics
        errors = first_year.predict(limited(x2, x1)) - y2
        inputs = contract.with_statistics([contract.tag_input(n, UNITS[n]) for n in IN], x)
        contract.write(
            folder / f"{name}.onnx",
            net,
            {
                "inputs": inputs,
                "outputs": [{"name": n, "unit": OUT_UNITS[n], "range": OUT_RANGES[n]} for n in OUT],
                "sample_time": 3600,
                "domain": contract.domain(x),
                "residuals": contract.residuals(OUT, errors, 3600),
                "modes": modes.modes(IN, OUT, x, x2, errors, seed),
                "trained_on": {"from": "2011-01-01", "to": "2012-12-31", "rows": len(x), "modes": ["normal operation"]},
                "metrics": metrics | {"persistence_24": persistence},
                "golden": contract.golden(net, limited(x3, x), seed),
                "card": {
                    "intended_use": f"Example of a predictive emission monitor: {kind}",
                    "not_for": "Emission reporting; any other turbine; NOX after a change of the burner without bias update",
                    "author": "flyball authors",
                    "approver": "example, not approved for a plant",
                    "data": "UCI Gas Turbine CO and NOx Emission Data Set, CC BY 4.0",
                },
                "version": "1.0",
            },
        )
    return all_metrics
