"""Our steady-state solve beside SciPy's SLSQP and CasADi's IPOPT: same ONNX file, same bounds, limits and start, in one run.

    python3 -m venv models/tools/.venv && models/tools/.venv/bin/pip install -r models/tools/requirements-compare.txt
    models/tools/.venv/bin/python models/tools/compare_optimisers.py            # some minutes
    models/tools/.venv/bin/python models/tools/compare_optimisers.py --short    # about two

Goals per problem: an answer within 0.1 % of the best that anybody found, in at most 1/100 of the time of the faster of the two others that says it
has converged. What misses a goal is printed as MISSED. Ends with 1 when our answer with eight starts misses the first goal on R-101 or
te4; times are never judged.

Contenders take turns on one core, problem by problem. Only the solve itself is timed, from the same cold start every time. One judge
evaluates the file at every answer in 64 bits: objective, and how far limits are violated.
"""

import os

# One thread for everybody; before NumPy and CasADi load their libraries.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import casadi
import numpy as np
import scipy

import compare_problems
from compare_solvers import MET, Ipopt, Net, Slsqp, faster_form, judge

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Goals: gap to the best answer, share; time, share of the faster of the others.
GAP = 1e-3
RATIO = 1.0 / 100.0
OUR_STARTS = (1, 8)
TURNS = 3
# Sleep after a turn, as share of it: the kernel pauses a real-time thread that fills its core.
REST = 0.08


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--short", action="store_true", help="two seeds per size and short turns")
    arguments.add_argument("--seeds", type=int, help="random networks per size (5)")
    arguments.add_argument("--only", default="", help="only problems whose name contains this")
    arguments.add_argument("--require-te4", action="store_true", help="te4 missing is a failure")
    arguments.add_argument("--program", help="the built example 'optimise' of flyball-models (built here without it)")
    asked = arguments.parse_args()
    seeds = asked.seeds or (2 if asked.short else 5)
    turn = 0.1 if asked.short else 0.4

    program = asked.program or built()
    print(f"NumPy {np.__version__}, SciPy {scipy.__version__}, CasADi {casadi.__version__}; Python {sys.version.split()[0]}")
    print(f"ours says: {subprocess.run([program], check=True, capture_output=True, text=True).stderr.strip()}")
    print(f"the others: {scheduled()}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        problems, missing = posed(pathlib.Path(folder), seeds, asked)
        results = []
        for problem in problems:
            results.append(measured(problem, program, turn))
            print(f"  {problem['name']} done", flush=True)
    table(results)
    failed = summary(results)
    if missing and asked.require_te4:
        failed.append("te4: its map is missing")
    for failure in failed:
        print(f"FAILED: {failure}")
    sys.exit(1 if failed else 0)


def built():
    """Builds our side, and says where it is."""
    command = ["cargo", "build", "--release", "-p", "flyball-models", "--example", "optimise", "--message-format=json"]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "optimise")


def scheduled():
    """Asks for what our side asks for: the last core, and SCHED_FIFO at 80. Says what was granted."""
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(80))
        return f"SCHED_FIFO 80 on core {core}"
    except PermissionError as refusal:
        return f"core {core}; SCHED_FIFO refused ({refusal})"


def posed(folder, seeds, asked):
    """All problems, and whether te4 is missing."""
    problems = compare_problems.r101(ROOT, folder)
    te4 = compare_problems.te4(ROOT, folder)
    if not te4:
        print("NOT COMPARED: te4, because config/examples/te4.toml or models/examples/te4_ss.onnx is not there")
    problems += te4
    for mvs in compare_problems.RANDOM_MVS:
        problems += compare_problems.random_networks(folder, mvs, seeds)
    return [p for p in problems if asked.only in p["name"]], not te4


def measured(problem, program, turn):
    """Everybody's answer and times; contenders take turns."""
    net = Net(pathlib.Path(problem["path"]).parent / problem["onnx"])
    others = [faster_form(kind, problem, net) for kind in (Slsqp, Ipopt)]
    ours = {starts: [] for starts in OUR_STARTS}
    theirs = {solver.name: [] for solver, _ in others}
    for _ in range(TURNS):
        for starts, runs in ours.items():
            begin = time.perf_counter()
            command = [program, "--starts", str(starts), "--milliseconds", str(int(1000 * turn)), problem["path"]]
            runs.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
            time.sleep(REST * (time.perf_counter() - begin))
        for solver, _ in others:
            begin = time.perf_counter()
            solver.solve()
            while time.perf_counter() - begin < turn:
                theirs[solver.name].append(solver.solve())
            time.sleep(REST * (time.perf_counter() - begin))
    answers = {}
    for starts, runs in ours.items():
        first = runs[0]
        if any(run["mvs"] != first["mvs"] for run in runs):
            raise SystemExit(f"{problem['name']}: our answer differs from one process to the next")
        answers[f"ours {starts}"] = judge(problem, net, np.array(first["mvs"])) | {
            "seconds": float(np.median([run["p50_ns"] for run in runs])) * 1e-9,
            "p999": max(run["p999_ns"] for run in runs) * 1e-9,
            "max": max(run["max_ns"] for run in runs) * 1e-9,
            "converged": first["status"] not in ("Failed", "Waiting"),
            "status": first["status"],
            "iterations": first["iterations"],
            "solves": sum(run["solves"] for run in runs),
        }
    for solver, form in others:
        runs = theirs[solver.name]
        answers[solver.name] = judge(problem, net, runs[-1][1]) | {
            "seconds": float(np.median([run[0] for run in runs])),
            "converged": runs[-1][2],
            "iterations": runs[-1][3],
            "form": form,
            "solves": len(runs),
        }
    return verdict(problem, answers)


def verdict(problem, answers):
    """Gap of every answer to the best, and our goals. Where a limit cannot be met, what counts is how nearly it is met."""
    sign = 1.0 if problem["maximise"] else -1.0
    feasible = {name: a for name, a in answers.items() if a["violation"] <= MET}
    elastic = "elastic" in problem
    if elastic:
        best = min((a["relaxed"] for a in feasible.values()), default=0.0)
        gap_of = lambda a: a["relaxed"] - best
    else:
        best = sign * max((sign * a["objective"] for a in feasible.values()), default=float("nan"))
        gap_of = lambda a: sign * (best - a["objective"]) / abs(best)
    for name, answer in answers.items():
        answer["gap"] = gap_of(answer) if name in feasible else float("inf")
    others = [a for name, a in answers.items() if not name.startswith("ours")]
    converged = [a["seconds"] for a in others if a["converged"]] or [a["seconds"] for a in others]
    for starts in OUR_STARTS:
        answer = answers[f"ours {starts}"]
        answer["ratio"] = answer["seconds"] / min(converged)
        answer["near"], answer["fast"] = answer["gap"] <= GAP, answer["ratio"] <= RATIO
    return {"problem": problem, "answers": answers, "best": best, "elastic": elastic}


def table(results):
    """One row per problem and setting of ours."""
    print()
    print("Times are medians in us of single solves; in brackets iterations. Objective: that of the judge, INFEASIBLE where a limit is violated by")
    print(f"more than {MET:g} of its scale. Problems marked * have a limit that nothing can meet: the numbers are then how far it is violated, % of scale.")
    print("A time marked ! is that of a solver that says it has not converged. Ratio: the faster one that has converged, over ours.")
    print()
    print("| problem | starts | best | ours | gap % | SLSQP | IPOPT | ours us | p99.9 | max | SLSQP us | IPOPT us | ratio | 0.1 % | 1/100 |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|---|")
    for result in results:
        answers, elastic = result["answers"], result["elastic"]

        def value(a):
            if a["violation"] > MET:
                return "INFEASIBLE"
            return f"{100.0 * a['relaxed']:.3f}" if elastic else f"{a['objective']:.5g}"

        def duration(a):
            return f"{1e6 * a['seconds']:.1f}{'' if a['converged'] else '!'} ({a['iterations']})"

        best = f"{100.0 * result['best']:.3f}" if elastic else f"{result['best']:.5g}"
        for starts in OUR_STARTS:
            ours = answers[f"ours {starts}"]
            cells = [
                result["problem"]["name"] + ("*" if elastic else ""),
                str(starts),
                best,
                value(ours),
                f"{100.0 * ours['gap']:.3f}",
                value(answers["SLSQP"]),
                value(answers["IPOPT"]),
                duration(ours),
                f"{1e6 * ours['p999']:.1f}",
                f"{1e6 * ours['max']:.1f}",
                duration(answers["SLSQP"]),
                duration(answers["IPOPT"]),
                f"1/{1.0 / ours['ratio']:.0f}",
                "met" if ours["near"] else "MISSED",
                "met" if ours["fast"] else "MISSED",
            ]
            print("| " + " | ".join(cells) + " |")


def summary(results):
    """Counts of goals met; returns what must be met and is not."""
    print()
    failed = []
    groups = [("R-101 and te4", [r for r in results if r["problem"]["must"]])]
    groups += [("random networks", [r for r in results if not r["problem"]["must"]])]
    for name, group in groups:
        for starts in OUR_STARTS:
            ours = [r["answers"][f"ours {starts}"] for r in group]
            if not ours:
                continue
            ratios = sorted(1.0 / a["ratio"] for a in ours)
            print(
                f"{name}, {starts} start(s), {len(ours)} problems: within 0.1 % of the best {sum(a['near'] for a in ours)}, "
                f"1/100 of the time {sum(a['fast'] for a in ours)}, both {sum(a['near'] and a['fast'] for a in ours)}; "
                f"infeasible {sum(a['violation'] > MET for a in ours)}; "
                f"time ratio from 1/{ratios[0]:.0f} to 1/{ratios[-1]:.0f}, median 1/{float(np.median(ratios)):.0f}"
            )
    for kind in ("SLSQP", "IPOPT"):
        found = [r["answers"][kind] for r in results]
        forms = [a["form"] for a in found]
        print(
            f"{kind}: within 0.1 % of the best {sum(a['gap'] <= GAP for a in found)} of {len(found)}, not converged "
            f"{sum(not a['converged'] for a in found)}; faster as MX {forms.count('MX')}, as SX {forms.count('SX')}"
        )
    for result in groups[0][1]:
        if not result["answers"]["ours 8"]["near"]:
            failed.append(f"{result['problem']['name']}: our answer is infeasible or more than 0.1 % worse than the best")
    return failed


if __name__ == "__main__":
    main()
