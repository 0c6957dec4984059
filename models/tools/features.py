"""The runtime's causal filters, formula for formula, so that training and scan see the same numbers.

Axis 0 is time, one row per scan. A filter that is not full yet works on what it has, as the runtime does.
"""

import numpy as np


def mean(x, window):
    """Mean over the last `window` scans, the present one included."""
    sums = np.cumsum(x, axis=0, dtype=np.float64)
    out = sums.copy()
    out[window:] -= sums[:-window]
    counts = np.minimum(np.arange(1, len(x) + 1), window)
    return out / counts.reshape((-1,) + (1,) * (x.ndim - 1))


def first_order(x, tau_s, scan_s=1.0):
    """y += (1 - exp(-scan/tau)) (x - y), begun at the first value."""
    alpha = 1.0 - np.exp(-scan_s / tau_s)
    out = np.empty(x.shape, np.float64)
    y = x[0].astype(np.float64)
    for i in range(len(x)):
        y = y + alpha * (x[i] - y)
        out[i] = y
    return out


def delay(x, scans):
    """The value of `scans` scans ago; the first value before that."""
    out = np.empty_like(x)
    out[scans:] = x[: len(x) - scans]
    out[:scans] = x[0]
    return out
