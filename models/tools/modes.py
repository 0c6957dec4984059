"""Operating modes of the training data: k-means over standardised inputs (scikit-learn), written as `plc.modes`.

k is the one of 2 to 6 with the best mean silhouette. A mode's radius holds 99.9 % of its training rows. By how much an interval must be wider
in a mode is judged on rows that were not trained on: their 90 % error quantile in the mode over that of all modes, at least 1.
"""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

COUNTS = range(2, 7)
STARTS = 10
SILHOUETTE_ROWS = 2000
RADIUS_QUANTILE = 0.999
ERROR_QUANTILE = 90
ROWS_MIN = 100  # fewer judged rows say nothing about a quantile: such a mode gets the largest factor of the others


def modes(inputs, outputs, x, judged_x, errors, seed):
    """`x`: training rows. `judged_x`, `errors`: inputs and errors of rows that were not trained on. Names are those of the contract."""
    mean, std = x.mean(axis=0), x.std(axis=0)
    z = (x - mean) / std
    found = []
    for k in COUNTS:
        fit = KMeans(n_clusters=k, n_init=STARTS, random_state=seed).fit(z)
        score = silhouette_score(z, fit.labels_, sample_size=min(SILHOUETTE_ROWS, len(z)), random_state=seed)
        found.append((score, k, fit))
    score, k, fit = max(found, key=lambda f: f[:2])
    # Biggest first, so that the order does not hang on the start.
    order = np.argsort(-np.bincount(fit.labels_, minlength=k), kind="stable")
    centroids = fit.cluster_centers_[order]
    own = nearest(z, centroids)
    judged = nearest((judged_x - mean) / std, centroids)
    size = np.abs(errors)
    overall = np.quantile(size, ERROR_QUANTILE / 100.0, axis=0)
    factors = np.full((k, len(outputs)), np.nan)
    quantiles = np.tile(overall, (k, 1))
    for m in range(k):
        rows = size[judged == m]
        if len(rows) >= ROWS_MIN:
            quantiles[m] = np.quantile(rows, ERROR_QUANTILE / 100.0, axis=0)
            factors[m] = np.maximum(1.0, quantiles[m] / overall)
    largest = np.nanmax(np.vstack((factors, np.ones(len(outputs)))), axis=0)
    factors = np.where(np.isnan(factors), largest, factors)
    listed = []
    for m, name in enumerate(names(inputs, centroids)):
        distance = np.linalg.norm(z[own == m] - centroids[m], axis=1)
        listed.append(
            {
                "name": name,
                "centroid": [_short(v) for v in centroids[m]],
                "radius": _short(np.quantile(distance, RADIUS_QUANTILE)),
                "share": _short(np.mean(own == m)),
                "judged_rows": int(np.sum(judged == m)),
                "outputs": [
                    {"name": o, "quantiles": {str(ERROR_QUANTILE): _short(quantiles[m, i])}, "factor": _short(factors[m, i])}
                    for i, o in enumerate(outputs)
                ],
            }
        )
    return {"mean": [_short(v) for v in mean], "std": [_short(v) for v in std], "silhouette": _short(score), "modes": listed}


def nearest(z, centroids):
    """Number of the nearest centroid per row."""
    return np.argmin(((z[:, None, :] - centroids[None]) ** 2).sum(axis=2), axis=1)


def names(inputs, centroids):
    """The input that lies farthest from the mean names a mode; more of them until all names differ."""
    order = np.argsort(-np.abs(centroids), axis=1)
    word = lambda m, i: f"{inputs[i]} {'high' if centroids[m, i] > 0 else 'low'}"
    for words in range(1, len(inputs) + 1):
        found = [", ".join(word(m, i) for i in order[m, :words]) for m in range(len(centroids))]
        if len(set(found)) == len(found):
            return found
    return [f"mode {m + 1}" for m in range(len(centroids))]


def _short(v):
    return float(f"{float(v):.7g}")
