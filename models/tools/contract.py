"""The model contract: everything a runtime must know about a model, as `plc.*` strings in the file's metadata_props.

Keys and meaning: docs of flyball-models `contract.rs`, which reads them. All values but plc.version and plc.scaling are JSON.
"""

import json

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

SCHEMA = 1
GOLDEN_TOLERANCE_OF_SPAN = 1e-4


def tag_input(name, unit, filter_kind="none", filter_s=0.0, lag_s=0.0):
    """One row of plc.inputs before the training data are known."""
    return {"name": name, "unit": unit, "filter": filter_kind, "filter_s": filter_s, "lag_s": lag_s}


def with_statistics(inputs, x):
    """Completes rows of plc.inputs with the training data's ranges, moments and deciles; `nominal` is the median."""
    done = []
    for i, row in enumerate(inputs):
        column = x[:, i]
        done.append(
            row
            | {
                "train_min": _short(column.min()),
                "train_max": _short(column.max()),
                "mean": _short(column.mean()),
                "std": _short(column.std()),
                "nominal": _short(np.median(column)),
                "deciles": [_short(v) for v in np.quantile(column, np.arange(1, 10) / 10.0)],
            }
        )
    return done


def domain(x, explained=0.99):
    """PCA of the standardised training inputs and the 95/99/99.9 % quantiles of T2 and SPE over them."""
    mean, std = x.mean(axis=0), x.std(axis=0)
    z = (x - mean) / std
    values, vectors = np.linalg.eigh(np.cov(z.T))
    order = np.argsort(values)[::-1]
    values, vectors = values[order], vectors[:, order]
    keep = int(np.searchsorted(np.cumsum(values) / values.sum(), explained) + 1)
    keep = min(keep, max(1, x.shape[1] - 1))
    loadings = vectors[:, :keep].T
    loadings *= np.sign(loadings[np.arange(keep), np.abs(loadings).argmax(axis=1)])[:, None]
    scores = z @ loadings.T
    t2 = np.sum(scores**2 / values[:keep], axis=1)
    spe = np.sum((z - scores @ loadings) ** 2, axis=1)
    limits = lambda v: {str(q): _short(np.quantile(v, q / 100.0)) for q in (95, 99, 99.9)}
    return {
        "mean": [_short(v) for v in mean],
        "std": [_short(v) for v in std],
        "loadings": [[_short(v) for v in row] for row in loadings],
        "eigenvalues": [_short(v) for v in values[:keep]],
        "t2": limits(t2),
        "spe": limits(spe),
    }


def residuals(names, errors, period_s):
    """Split-conformal quantiles of the absolute error on rows that were not trained on, and the RMSEP on them."""
    outputs = []
    for i, name in enumerate(names):
        size = np.abs(errors[:, i])
        quantiles = {str(q): _short(np.quantile(size, q / 100.0)) for q in (50, 90, 95, 99)}
        outputs.append({"name": name, "quantiles": quantiles, "rmsep": _short(np.sqrt(np.mean(size**2)))})
    return {"outputs": outputs, "rows": int(len(errors)), "period_s": period_s}


def golden(network, x, seed, pairs=12):
    """Input/output pairs for the check at load: random rows, answered in float64 with the file's float32 weights."""
    rows = np.random.default_rng(seed).choice(len(x), pairs, replace=False)
    inputs = x[rows].astype(np.float32).astype(np.float64)
    answers = network.predict(inputs)
    return {
        "tolerance_of_span": GOLDEN_TOLERANCE_OF_SPAN,
        "pairs": [{"in": [float(v) for v in a], "out": [float(v) for v in b]} for a, b in zip(inputs, answers)],
    }


def write(path, network, properties):
    """Writes the file and proves that an independent evaluator answers its golden vectors."""
    network = network.rounded()
    model = network.to_onnx(path.stem)
    texts = {}
    for key, value in properties.items():
        texts["plc." + key] = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    texts["plc.schema"] = json.dumps(SCHEMA)
    texts["plc.scaling"] = "in_graph"
    for key in sorted(texts):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, texts[key]
    session = ReferenceEvaluator(model)
    spans = [o["range"][1] - o["range"][0] for o in properties["outputs"]]
    for pair in properties["golden"]["pairs"]:
        got = session.run(None, {"x": np.asarray([pair["in"]], np.float32)})[0][0]
        worst = np.max(np.abs(got - pair["out"]) / spans)
        if worst > GOLDEN_TOLERANCE_OF_SPAN:
            raise SystemExit(f"{path.name}: golden vector off by {worst:.2e} of span in the reference evaluator")
    onnx.save_model(model, str(path))


def read_metrics(path):
    """plc.metrics of a file."""
    for entry in onnx.load(str(path)).metadata_props:
        if entry.key == "plc.metrics":
            return json.loads(entry.value)
    raise SystemExit(f"{path}: no plc.metrics")


def score(truth, predicted):
    """RMSEP and R2."""
    error = predicted - truth
    return {
        "rmsep": _short(np.sqrt(np.mean(error**2))),
        "r2": _short(1.0 - np.sum(error**2) / np.sum((truth - truth.mean()) ** 2)),
    }


def _short(v):
    return float(f"{float(v):.7g}")
