"""The other side of the comparison: SLSQP of SciPy and IPOPT of CasADi on a problem of `compare_problems.py`, and the judge of all answers.

Both get the problem in the form that suits them: MVs as shares of their box, limits in units of their scale, exact derivatives of the same
network by CasADi. Whatever can be made once per problem is made before the clock starts: that is what a plant would do.

SLSQP calls compiled CasADi functions through their buffers, which costs a microsecond per call: what remains is SciPy's own work.
IPOPT gets exact Hessians and its default options. Both functions are built as SX (one operation per number) and as MX (one per matrix);
the faster one on this problem is measured and used.
"""

import re
import time

import casadi as ca
import numpy as np
import onnx
from onnx import numpy_helper
from scipy.optimize import minimize

# Weight of the slack of a limit that cannot be met, in objectives at the start: large enough that nothing is worth more.
ELASTIC = 1e3
# A limit is met within this, in units of its scale: the tolerance of IPOPT's defaults, and ours.
MET = 1e-4
# Solves per form that decide between SX and MX.
TRIAL_SOLVES = 7


class Net:
    """A network's file, evaluated in 64 bits: by NumPy for the judge, by CasADi for the others. Input [1, n], output [1, m]."""

    def __init__(self, path):
        graph = onnx.load(str(path)).graph
        self.constants = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in graph.initializer}
        self.nodes = list(graph.node)
        self.input, self.output = graph.input[0].name, graph.output[0].name

    def values(self, x):
        """Outputs at the inputs x."""
        return self._run(np.asarray(x, np.float64).reshape(1, -1), np.tanh, lambda v: v).reshape(-1)

    def symbolic(self, x):
        """Outputs as expressions, both as rows."""
        return self._run(x, ca.tanh, lambda v: ca.DM(np.atleast_2d(v)))

    def _run(self, x, tanh, constant):
        known = {name: constant(v) for name, v in self.constants.items()} | {self.input: x}
        for node in self.nodes:
            a = [known[name] for name in node.input]
            match node.op_type:
                case "Sub":
                    y = a[0] - a[1]
                case "Div":
                    y = a[0] / a[1]
                case "Mul":
                    y = a[0] * a[1]
                case "Add":
                    y = a[0] + a[1]
                case "MatMul":
                    y = a[0] @ a[1]
                case "Gemm":
                    if node.attribute:
                        raise SystemExit(f"node {node.name} (Gemm) has attributes; only plain products are known here")
                    y = a[0] @ a[1] + a[2]
                case "Tanh":
                    y = tanh(a[0])
                case other:
                    raise SystemExit(f"node {node.name}: operator {other} is not known here; add it to compare_solvers.py")
            known[node.output[0]] = y
        return known[self.output]


def objective(problem, x, y):
    """The objective at inputs x and outputs y, numbers or expressions."""
    names = {name: x[i] for i, name in enumerate(problem["inputs"])}
    names |= {name: y[j] for j, name in enumerate(problem["outputs"])}
    names |= dict(problem["prices"])
    return eval(re.sub(r"\^", "**", problem["objective"]), {"__builtins__": {}}, names)


def box(problem):
    """Bounds of the MVs: limits inside the range in which the map is believed."""
    ranges = [problem["ranges"][mv["input"]] for mv in problem["mvs"]]
    low = np.array([max(mv["low"], r[0]) for mv, r in zip(problem["mvs"], ranges)])
    high = np.array([min(mv["high"], r[1]) for mv, r in zip(problem["mvs"], ranges)])
    return low, high


class Posed:
    """A problem as minimise f(s), g(s) >= 0, 0 <= s <= 1, start s0; a limit that cannot be met has a slack as last variable."""

    def __init__(self, problem, net, form):
        self.problem = problem
        self.low, self.high = box(problem)
        n = len(self.low)
        start = np.array([problem["x"][mv["input"]] for mv in problem["mvs"]])
        s0 = np.clip((start - self.low) / (self.high - self.low), 0.0, 1.0)
        elastic = problem.get("elastic")
        s = form.sym("s", n + (elastic is not None))
        cells = [form(v) for v in problem["x"]]
        for i, mv in enumerate(problem["mvs"]):
            cells[mv["input"]] = self.low[i] + s[i] * (self.high[i] - self.low[i])
        y = net.symbolic(ca.horzcat(*cells))
        f = (-1.0 if problem["maximise"] else 1.0) * objective(problem, cells, [y[j] for j in range(y.shape[1])])
        rows = []
        for j, cv in enumerate(problem["cvs"]):
            slack = s[n] if elastic == j else 0.0
            if cv["low"] is not None:
                rows.append((y[cv["output"]] - cv["low"]) / cv["scale"] + slack)
            if cv["high"] is not None:
                rows.append((cv["high"] - y[cv["output"]]) / cv["scale"] + slack)
        if elastic is not None:
            at_start = abs(float(ca.Function("f", [s], [f])(np.append(s0, 0.0))))
            f = f / at_start + ELASTIC * s[n]
            s0 = np.append(s0, 1.0)
        self.s, self.f, self.g, self.s0, self.n = s, f, ca.vertcat(*rows), s0, n

    def setpoints(self, s):
        """MVs in EU."""
        return self.low + np.clip(np.asarray(s).reshape(-1)[: self.n], 0.0, 1.0) * (self.high - self.low)


class Buffered:
    """A CasADi function without Python objects in its calls: numbers go in and out of fixed memory."""

    def __init__(self, function):
        self.x = np.zeros(function.numel_in(0))
        self.outs = [np.zeros(function.size_out(i), order="F") for i in range(function.n_out())]
        self.buffer, self.call = function.buffer()
        self.buffer.set_arg(0, memoryview(self.x))
        for i, out in enumerate(self.outs):
            self.buffer.set_res(i, memoryview(out.reshape(-1, order="F")))

    def at(self, x):
        self.x[:] = x
        self.call()
        return self.outs


class Slsqp:
    """SciPy's SLSQP with its default tolerance and 200 iterations."""

    name = "SLSQP"

    def __init__(self, problem, net, form):
        self.posed = posed = Posed(problem, net, form)
        f, g, s = posed.f, ca.densify(posed.g), posed.s
        values = Buffered(ca.Function("values", [s], [ca.densify(f), g]))
        slopes = Buffered(ca.Function("slopes", [s], [ca.densify(ca.gradient(f, s)), ca.densify(ca.jacobian(g, s))]))
        self.kept = {}

        def at(which, function, x):
            # SciPy asks for the objective and for the limits at the same place, one after the other.
            seen = self.kept.get(which)
            if seen is None or not np.array_equal(seen, x):
                function.at(x)
                self.kept[which] = x.copy()
            return function.outs

        options = {"method": "SLSQP", "bounds": [(0.0, 1.0)] * posed.n + [(0.0, None)] * (len(posed.s0) - posed.n)}
        self.arguments = options | {
            "fun": lambda x: float(at("v", values, x)[0][0, 0]),
            "jac": lambda x: at("s", slopes, x)[0].reshape(-1).copy(),
            "constraints": [
                {
                    "type": "ineq",
                    "fun": lambda x: at("v", values, x)[1].reshape(-1).copy(),
                    "jac": lambda x: at("s", slopes, x)[1].copy(),
                }
            ],
            "options": {"maxiter": 200},
        }

    def solve(self):
        """Seconds, setpoints, whether it says that it has converged, iterations."""
        self.kept.clear()
        begin = time.perf_counter()
        found = minimize(x0=self.posed.s0, **self.arguments)
        taken = time.perf_counter() - begin
        return taken, self.posed.setpoints(found.x), bool(found.success), int(found.nit)


class Ipopt:
    """IPOPT with exact Hessians and default options; only its printing is off."""

    name = "IPOPT"

    def __init__(self, problem, net, form):
        self.posed = posed = Posed(problem, net, form)
        quiet = {"ipopt.print_level": 0, "print_time": False, "ipopt.sb": "yes", "error_on_fail": False}
        self.solver = ca.nlpsol("solver", "ipopt", {"x": posed.s, "f": posed.f, "g": posed.g}, quiet)
        extra = len(posed.s0) - posed.n
        self.arguments = {
            "x0": ca.DM(posed.s0),
            "lbx": ca.DM.zeros(posed.n + extra),
            "ubx": ca.DM([1.0] * posed.n + [np.inf] * extra),
            "lbg": ca.DM.zeros(posed.g.numel()),
            "ubg": ca.DM.inf(posed.g.numel()),
        }

    def solve(self):
        """Seconds, setpoints, whether it says that it has converged, iterations."""
        begin = time.perf_counter()
        found = self.solver(**self.arguments)
        taken = time.perf_counter() - begin
        stats = self.solver.stats()
        return taken, self.posed.setpoints(found["x"].full()), bool(stats["success"]), int(stats["iter_count"])


def faster_form(kind, problem, net):
    """A solver in the form that is faster on this problem, and the form's name."""
    best = None
    for name, form in (("SX", ca.SX), ("MX", ca.MX)):
        solver = kind(problem, net, form)
        solver.solve()
        taken = float(np.median([solver.solve()[0] for _ in range(TRIAL_SOLVES)]))
        if best is None or taken < best[0]:
            best = taken, solver, name
    return best[1], best[2]


def judge(problem, net, setpoints):
    """Objective and the largest violation in units of scale, of the limit that may be relaxed and of all others, at setpoints in EU."""
    low, high = box(problem)
    x = np.array(problem["x"], np.float64)
    outside = float(max(0.0, np.max((low - setpoints) / (high - low)), np.max((setpoints - high) / (high - low))))
    for mv, value in zip(problem["mvs"], setpoints):
        x[mv["input"]] = value
    y = net.values(x)
    relaxed, worst = 0.0, outside
    for j, cv in enumerate(problem["cvs"]):
        value = y[cv["output"]]
        below = (cv["low"] - value) / cv["scale"] if cv["low"] is not None else 0.0
        above = (value - cv["high"]) / cv["scale"] if cv["high"] is not None else 0.0
        violation = max(below, above, 0.0)
        if problem.get("elastic") == j:
            relaxed = violation
        else:
            worst = max(worst, violation)
    return {"objective": float(objective(problem, list(x), list(y))), "violation": float(worst), "relaxed": float(relaxed)}
