"""The same horizon problems solved by flyball and by CasADi's IPOPT, from the same start.

    cargo run --release -p flyball-optimiser --example horizon_time 400 cases.json
    python models/tools/compare_horizon.py cases.json

Each question is posed to IPOPT as it is to flyball: moves in blocks, CV limits at every step, move limits between blocks, the mean of the
objective. The network is written out in CasADi's SX, so that IPOPT gets exact first derivatives; it is run with its own limited-memory
curvature and with exact second derivatives, and the faster one counts. Building is not timed, only the solve is. Both answers are judged by
NumPy in 64 bits; a limit may be overstepped by 1e-4, flyball's resolution of a limit. A second argument is the number of questions.
"""

import json
import sys
import time

import casadi as ca
import numpy as np

STEPS = 20
# What flyball counts as no violation, in units of concern (1 here).
ALLOWED = 1e-4


def arrays(case):
    return [np.array(w["data"], dtype=np.float32).astype(float).reshape(w["shape"]) for w in case["weights"]]


class Model:
    """One step of a network over rows of a window; works on NumPy arrays and on CasADi's symbols."""

    def __init__(self, case):
        self.case, self.w = case, arrays(case)

    def start(self):
        return np.zeros((1, self.case["hidden"])) if self.case["name"].startswith("gru") else []

    def step(self, state, row, lib):
        """Answer to a row [1, n], and what is remembered after it."""
        if self.case["name"].startswith("gru"):
            _, wx, bx, wh, bh, wo, bo = self.w
            h, n = state, self.case["hidden"]
            x, r = lib.mtimes(row, wx) + bx, lib.mtimes(h, wh) + bh
            sigmoid = lambda v: 1 / (1 + lib.exp(-v))
            keep, reset = sigmoid(x[:, :n] + r[:, :n]), sigmoid(x[:, n : 2 * n] + r[:, n : 2 * n])
            new = lib.tanh(x[:, 2 * n :] + reset * r[:, 2 * n :])
            h = new + keep * (h - new)
            return lib.mtimes(h, wo) + bo, h
        w1, b1, w2, b2, w3, b3 = self.w
        rows = (state + [row])[-self.case["window"] :]
        if len(rows) < self.case["window"]:
            return np.zeros((1, w3.shape[1])), rows
        x = lib.tanh(lib.mtimes(lib.horzcat(*rows), w1) + b1)
        x = lib.tanh(lib.mtimes(x, w2) + b2)
        return lib.mtimes(x, w3) + b3, rows


class Numbers:
    """NumPy under CasADi's names."""

    mtimes, exp, tanh = staticmethod(np.matmul), staticmethod(np.exp), staticmethod(np.tanh)

    @staticmethod
    def horzcat(*parts):
        return np.concatenate(parts, axis=1)


def block_of(case):
    return np.repeat(np.arange(len(case["blocks"])), case["blocks"])


def past(model, question):
    state, answer = model.start(), None
    for row in question["rows"]:
        answer, state = model.step(state, np.array([row]), Numbers)
    return state, np.array([question["plant"]]) - answer


def future(model, case, question, plan, lib):
    """Outputs at every step for a plan [blocks x MVs], and the objective's mean."""
    state, bias = past(model, question)
    mvs, blocks = case["mvs"], block_of(case)
    present = np.array([question["present"]])
    outputs, total, fed = [], 0.0, present[:, mvs + 1 :]
    for step in range(STEPS):
        moves = plan[blocks[step] * mvs : (blocks[step] + 1) * mvs]
        moves = moves.reshape(1, -1) if lib is Numbers else moves.T
        parts = [moves, present[:, mvs : mvs + 1]] + ([fed] if case["fed_back"] else [])
        answer, state = model.step(state, lib.horzcat(*parts), lib)
        answer = answer + bias
        outputs.append(answer)
        fed = answer
        total += question["price"] * answer[0, 2] - 0.1 * moves[0, 0] ** 2 - 0.1 * moves[0, 1] ** 2
    return outputs, total / STEPS


def rows_of(case, question, plan, outputs, lib):
    """Everything with limits: values, low, high."""
    mvs = case["mvs"]
    values, low, high = [], [], []
    for answer in outputs:
        for j, (lo, hi) in enumerate(question["limits"]):
            values.append(answer[0, j])
            low.append(lo)
            high.append(hi)
    now = question["present"][:mvs]
    for v in range(len(case["blocks"]) * mvs):
        before = plan[v - mvs] if v >= mvs else now[v]
        values.append(plan[v] - before)
        low.append(-question["move"])
        high.append(question["move"])
    return values, np.array(low), np.array(high)


def judge(model, case, question, plan):
    outputs, mean = future(model, case, question, plan, Numbers)
    values, low, high = rows_of(case, question, plan, outputs, Numbers)
    values = np.array(values, dtype=float)
    return float(mean), float(np.max(np.maximum(np.maximum(low - values, values - high), 0.0)))


def ipopt(model, case, question):
    """Plan, time in us and success of the faster of IPOPT's two ways to curvature."""
    n = len(case["blocks"]) * case["mvs"]
    plan = ca.SX.sym("plan", n)
    outputs, mean = future(model, case, question, plan, ca)
    values, low, high = rows_of(case, question, plan, outputs, ca)
    start = np.tile(question["present"][: case["mvs"]], len(case["blocks"]))
    answers = []
    for curvature, repeats in [("limited-memory", 3), ("exact", 1)]:
        quiet = {"print_time": False, "ipopt.print_level": 0, "ipopt.sb": "yes", "ipopt.hessian_approximation": curvature}
        solver = ca.nlpsol("solver", "ipopt", {"x": plan, "f": -mean, "g": ca.vertcat(*values)}, quiet)
        times, found = [], None
        for _ in range(repeats):
            begin = time.perf_counter()
            found = solver(x0=start, lbx=-1.0, ubx=1.0, lbg=low, ubg=high)
            times.append(time.perf_counter() - begin)
        success = bool(solver.stats()["success"])
        answers.append((not success, float(np.median(times)) * 1e6, np.array(found["x"]).ravel()))
    failed, us, point = min(answers, key=lambda answer: answer[:2])
    return point, us, not failed


def main():
    with open(sys.argv[1]) as file:
        cases = json.load(file)
    most = int(sys.argv[2]) if len(sys.argv) > 2 else len(cases[0]["questions"])
    print("| model | question | flyball | IPOPT | behind, % of the best | flyball us | IPOPT us | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    fails = 0
    for case in cases:
        model = Model(case)
        for number, question in enumerate(case["questions"][:most]):
            ours, over = judge(model, case, question, np.array(question["plan"]))
            plan, us, success = ipopt(model, case, question)
            theirs, their_over = judge(model, case, question, plan)
            if not success or their_over > 2 * ALLOWED:
                theirs = -np.inf
            best = max(ours, theirs)
            behind = 100 * (best - ours) / abs(best)
            ratio = us / question["us"]
            fails += behind > 0.1 or ratio < 50 or over > 1.5 * ALLOWED
            print(
                f"| {case['name']} | {number} | {ours:.6f} | {theirs:.6f} | {behind:.4f} | {question['us']:.0f} | {us:.0f} | {ratio:.0f} |",
                flush=True,
            )
    print(f"\n{fails} questions miss the goal: within 0.1 % of the best, at most 1/50 of IPOPT's time")
    return 1 if fails else 0


if __name__ == "__main__":
    sys.exit(main())
