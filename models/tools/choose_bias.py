"""Which share of each error the bias of the gas turbine should take, chosen on 2012 with models trained on 2011. Prints a table.

python choose_bias.py. 2013 is not read. The stream is the runtime's: at each row the sample of 24 rows ago changes the bias by the share of
its error, and the row's prediction was made before. The chosen shares are used by hil-tests/tests/turbine_stream.rs.
"""

import numpy as np

import contract
import train_turbine as turbine

SHARES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
STRENGTHS = {"network": [1e-5, 1e-4, 1e-3, 3e-3], "ridge": [1e-4, 1e-3, 1e-2, 1e-1]}


def corrected(raw, truth, share):
    """The raw predictions with the bias that was in force at each row."""
    bias, out = 0.0, np.empty(len(raw))
    for row in range(len(raw)):
        out[row] = raw[row] + bias
        late = row - turbine.LATE
        if late >= 0:
            bias += share * (truth[late] - raw[late] - bias)
    return out


def main(seed=3):
    (x1, y1), (x2, y2) = turbine.year(2011), turbine.year(2012)
    makers = {"network": lambda a, b, c: turbine.dense(a, b, c, seed), "ridge": turbine.ridge}
    print("R2 on 2012 by share of each error, models trained on 2011")
    print(f"{'model':<8} {'output':<6} " + " ".join(f"{100 * s:>6g} %" for s in SHARES) + "   best")
    for name, make in makers.items():
        strength = turbine.choose(make, STRENGTHS[name])
        raw = make(x1, y1, strength).predict(turbine.limited(x2, x1))
        for i, output in enumerate(turbine.OUT):
            scores = [contract.score(y2[turbine.LATE :, i], corrected(raw[:, i], y2[:, i], s)[turbine.LATE :])["r2"] for s in SHARES]
            best = SHARES[int(np.argmax(scores))]
            print(f"{name:<8} {output:<6} " + " ".join(f"{s:>8.3f}" for s in scores) + f"   {100 * best:g} %")


if __name__ == "__main__":
    main()
