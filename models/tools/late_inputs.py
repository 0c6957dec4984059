"""Would late analyser values and their age help the gas turbine's network? Trained on 2011, judged on 2012, three seeds. Prints a table.

python late_inputs.py. 2013 is not read. In training each row sees the CO and NOX values of 12 to 36 rows ago, drawn anew, and their age in
seconds; on 2012 the analyser is 24 rows late. The network without them stands beside it, on the same rows.
"""

import numpy as np

import contract
import train_turbine as turbine

OLDEST = 36  # rows; the first rows have no value that old
YOUNGEST = 12
L2 = (1e-3, 3e-3)
SEEDS = (3, 4, 5)


def with_late(x, y, rows_late):
    """Inputs, the late CO and NOX, and their age; without the first rows."""
    at = np.arange(OLDEST, len(x))
    return np.concatenate((x[at], y[at - rows_late][:, 1:], (rows_late * 3600.0)[:, None]), axis=1)


def main():
    (x1, y1), (x2, y2) = turbine.year(2011), turbine.year(2012)
    print("R2 on 2012: CO, NOX; then with late values and age: CO, NOX")
    for seed in SEEDS:
        drawn = np.random.default_rng(seed).integers(YOUNGEST, OLDEST + 1, len(x1) - OLDEST)
        late1 = with_late(x1, y1, drawn)
        late2 = with_late(x2, y2, np.full(len(x2) - OLDEST, turbine.LATE))
        for l2 in L2:
            scores = []
            for a, b in ((x1[OLDEST:], x2[OLDEST:]), (late1, late2)):
                predicted = turbine.dense(a, y1[OLDEST:], l2, seed).predict(turbine.limited(b, a))
                scores += [contract.score(y2[OLDEST:, i], predicted[:, i])["r2"] for i in (1, 2)]
            print(f"seed {seed}, l2 {l2:g}: " + " ".join(f"{s:.3f}" for s in scores), flush=True)


if __name__ == "__main__":
    main()
