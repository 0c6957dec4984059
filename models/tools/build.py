"""Builds every example model:  python build.py [--check] [NAME...]

Without --check the files in models/examples are written. With --check the models are trained again into a temporary
folder and their metrics are compared with those in the committed files: equal within CHECK_RELATIVE. Bits may differ between
BLAS builds and CPUs, and with them the path of L-BFGS; the quality must not. The temporary files are thrown away.
"""

import json
import pathlib
import sys
import tempfile

import contract
import train_r101_cb
import train_r101_ss
import train_te4_k
import train_te4_ss
import train_turbine

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples"
JOBS = {
    "r101_cb": (train_r101_cb.train, ["r101_cb"]),
    "r101_ss": (train_r101_ss.train, ["r101_ss"]),
    "te4_k": (train_te4_k.train, ["te4_k"]),
    "te4_ss": (train_te4_ss.train, ["te4_ss"]),
    "turbine": (train_turbine.train, ["turbine", "turbine_ridge"]),
}
CHECK_RELATIVE = 0.25  # of each error; an R2 may differ by a tenth of its distance to 1
CHECK_R2 = 0.10


def worse(old, new, where):
    """Sentences for each metric that got worse than allowed."""
    said = []
    for key, before in old.items():
        after = new.get(key)
        if isinstance(before, dict):
            said += worse(before, after or {}, f"{where}.{key}")
        elif isinstance(before, float) and after is None:
            said.append(f"{where}.{key}: missing after retraining")
        elif isinstance(before, float):
            allowed = before - CHECK_R2 * max(0.05, abs(1 - before)) if key == "r2" else before * (1 + CHECK_RELATIVE)
            if (after < allowed) if key == "r2" else (after > allowed):
                said.append(f"{where}.{key}: {after:g} after retraining, the committed file says {before:g}, allowed {allowed:g}")
    return said


def main(arguments):
    """Returns the exit code."""
    check = "--check" in arguments
    names = [a for a in arguments if a != "--check"] or list(JOBS)
    unknown = [n for n in names if n not in JOBS]
    if unknown:
        print(f"unknown model {unknown[0]}; allowed: {', '.join(JOBS)}")
        return 2
    said = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) if check else EXAMPLES
        folder.mkdir(exist_ok=True)
        for name in names:
            train, files = JOBS[name]
            print(json.dumps(train(folder), indent=1))
            for file in files if check else []:
                said += worse(contract.read_metrics(EXAMPLES / f"{file}.onnx"), contract.read_metrics(folder / f"{file}.onnx"), file)
    for sentence in said:
        print(sentence)
    if check:
        print("check failed" if said else "check passed: every metric as good as in the committed file")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
