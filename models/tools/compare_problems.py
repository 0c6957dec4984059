"""The problems of the comparison: R-101 and te4 as their configurations pose them, and random tanh networks.

A problem is a dictionary that is written as JSON for `models/examples/optimise.rs` and read by `compare_solvers.py`: the same file, bounds,
limits and start for everybody. Limits have no back-off here, as in the tables of reference answers. A CV's `scale` is the unit in which its
violations are weighed: the span of its model output.
"""

import json
import tomllib

import numpy as np
import onnx

from compare_solvers import Net
from network import Network

# Rows of disturbances: cA0 mol/l, T0 degC.
R101_ROWS = [(5.10, 116.0), (5.30, 116.0), (5.10, 112.0), (5.10, 120.0), (4.95, 120.0), (4.90, 116.0), (4.90, 122.0)]
# Rows in which quality cannot be met whatever is moved: what is best then is the best quality, with cooling kept.
R101_INFEASIBLE = {(4.90, 116.0), (4.90, 122.0)}
# Rows of demand kmol/h and activity of the catalyst.
TE4_ROWS = [(100.0, 1.0), (100.0, 0.829), (115.0, 1.0)]
TE4_OUTPUT_OF_CV = {"pressure": "P", "v1": "v1", "v2": "v2", "v3": "v3", "v4": "v4"}
# Hidden neurons of each of two layers, MVs, and how far weights reach, in 1 / sqrt(inputs of the layer).
HIDDEN = 32
RANDOM_MVS = [2, 4, 8, 16, 32]
WEIGHTS = 1.5
BIASES = 0.5
# Where limits lie beyond a point that is known to meet them, share of the span.
ROOM = 0.05


def r101(root, folder):
    """R-101 from F = 140 l/h, T = 114 degC."""
    setup = _configured(root / "config/examples/r101.toml", {"quality": "cB", "cooling": "Q"})
    problems = []
    for ca0, t0 in R101_ROWS:
        problem = setup | {"name": f"R-101 cA0 {ca0:.2f} T0 {t0:.0f}", "x": [140.0, 114.0, t0, ca0], "must": True}
        if (ca0, t0) in R101_INFEASIBLE:
            problem["elastic"] = 0
        problems.append(_written(problem, folder, f"r101_{ca0:.2f}_{t0:.0f}"))
    return problems


def te4(root, folder):
    """te4 from P = 2700 kPa, yA = 47 %; none when its map is not there."""
    path = root / "config/examples/te4.toml"
    if not path.exists() or not (root / "models/examples/te4_ss.onnx").exists():
        return []
    setup = _configured(path, TE4_OUTPUT_OF_CV)
    problems = []
    for demand, activity in TE4_ROWS:
        problem = setup | {"name": f"te4 F4 {demand:.0f} k {activity:.3f}", "x": [2700.0, 47.0, demand, activity], "must": True}
        problems.append(_written(problem, folder, f"te4_{demand:.0f}_{activity:.3f}"))
    return problems


def random_networks(folder, mvs, seeds):
    """Networks with two disturbances and one output more than CVs, which is money; half as many CVs as MVs."""
    return [_random(folder, mvs, seed) for seed in range(1, seeds + 1)]


def _random(folder, mvs, seed):
    rng = np.random.default_rng([seed, mvs])
    cvs, n = mvs // 2, mvs + 2
    stem = f"random_{mvs}_{seed}"
    network = Network([n, HIDDEN, HIDDEN, cvs + 1], np.zeros(n), np.ones(n), np.zeros(cvs + 1), np.ones(cvs + 1))
    for fan_in, fan_out in zip(network.sizes, network.sizes[1:]):
        reach = WEIGHTS / np.sqrt(fan_in)
        network.layers.append((rng.uniform(-reach, reach, (fan_in, fan_out)), rng.uniform(-BIASES, BIASES, fan_out)))
    onnx.save_model(network.rounded().to_onnx(stem), str(folder / f"{stem}.onnx"))
    net = Net(folder / f"{stem}.onnx")

    disturbances = rng.uniform(-1.0, 1.0, 2)
    points = np.hstack([rng.uniform(-1.0, 1.0, (4000, mvs)), np.tile(disturbances, (4000, 1))])
    answers = np.array([net.values(p) for p in points])
    money = answers[:, cvs] - 0.1 * points[:, 0] ** 2
    # Limits are put where they hinder: on the side to which the money pulls, just beyond a point that meets them all.
    anchor = rng.integers(len(points))
    limits = []
    for j in range(cvs):
        span = float(np.ptp(answers[:, j]))
        pulls_up = np.corrcoef(answers[:, j], money)[0, 1] > 0.0
        at = float(answers[anchor, j] + (ROOM if pulls_up else -ROOM) * span)
        low, high = (None, at) if pulls_up else (at, None)
        limits.append({"output": j, "low": low, "high": high, "priority": 1 + j % 4, "scale": span})
    problem = {
        "name": f"random {mvs} MVs {cvs} CVs seed {seed}",
        "onnx": f"{stem}.onnx",
        "inputs": [f"x{i}" for i in range(n)],
        "outputs": [f"y{j}" for j in range(cvs + 1)],
        "objective": f"price*y{cvs} - 0.1*x0^2",
        "maximise": True,
        "prices": [["price", 1.0]],
        "mvs": [{"input": i, "low": -1.0, "high": 1.0} for i in range(mvs)],
        "x": [float(v) for v in rng.uniform(-0.8, 0.8, mvs)] + [float(v) for v in disturbances],
        "ranges": [[-1.0, 1.0]] * n,
        "cvs": limits,
        "must": False,
    }
    return _written(problem, folder, stem)


def _configured(path, output_of_cv):
    """What a configuration says about its optimiser's problem."""
    with open(path, "rb") as file:
        config = tomllib.load(file)
    optimiser = config["optimiser"]
    model = config["model"][optimiser["model"]]
    file = (path.parent / model["file"]).resolve()
    contract = {e.key: e.value for e in onnx.load(str(file)).metadata_props}
    inputs, outputs = json.loads(contract["plc.inputs"]), json.loads(contract["plc.outputs"])
    names = [i["name"] for i in inputs]
    mvs = []
    for mv, table in config["mv"].items():
        at = next(names.index(name) for name, source in model["inputs"].items() if source == f"mv:{mv}")
        low, high = table["limits"]
        mvs.append({"input": at, "low": float(low), "high": float(high)})
    cvs = []
    for cv, table in config["cv"].items():
        at = [o["name"] for o in outputs].index(output_of_cv[cv])
        low, high = (float(table[k].split()[0]) if k in table else None for k in ("low", "high"))
        low_end, high_end = outputs[at]["range"]
        cvs.append({"output": at, "low": low, "high": high, "priority": table["priority"], "scale": high_end - low_end})
    return {
        "onnx": str(file),
        "inputs": names,
        "outputs": [o["name"] for o in outputs],
        "objective": optimiser.get("maximise") or optimiser["minimise"],
        "maximise": "maximise" in optimiser,
        "prices": [[name, float(text.split()[0])] for name, text in optimiser["prices"].items()],
        "mvs": mvs,
        "ranges": [[i["train_min"], i["train_max"]] for i in inputs],
        "cvs": cvs,
    }


def _written(problem, folder, stem):
    path = folder / f"{stem}.json"
    path.write_text(json.dumps(problem, indent=1))
    return problem | {"path": str(path)}
