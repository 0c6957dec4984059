"""Judges PLC kits with a parser that nobody here wrote: blark (Python).

Every structured text of every kit must parse, its types must fit, and its program must close the loop, move the setpoints and shed. Then the
blocks run beside the Rust port of the simulated PLC through random scenarios: every output must be equal in every scan. What the judge itself is
worth is shown by breaking the text: syntax errors, wrong types and single changed operators must all be found.

Each check prints one line. The last line is `N passed, N failed`; the exit code is 1 if anything failed.

    plckit_check.py --kits FOLDER --trace FILE

FOLDER has one kit per subfolder (`flyball plc-kit`); FILE is what the example `gate_trace` of flyball-rig prints.
"""

import argparse
import math
import pathlib
import struct
import sys

from blark.parse import parse_source_code

from judge import Checks
from st_machine import Machine, Refused

BLOCKS = ("FB_ApcLink.st", "FB_ApcSp.st")

# One operator or value each: (block, as it stands, changed). Every one must be found by the scenarios.
MUTATIONS = [
    (0, "stPlc.uiHb + 1", "stPlc.uiHb - 1"),
    (0, "stApp.uiHb <> uiHbOld", "stApp.uiHb = uiHbOld"),
    (0, "uiBeats >= 3", "uiBeats > 3"),
    (0, "(udiSigOk <> 0) AND", "(udiSigOk <> 0) OR"),
    (0, "stApp.iMode < 2", "stApp.iMode <= 2"),
    (0, "xOperEnable AND NOT xOperOld", "xOperEnable OR NOT xOperOld"),
    (0, "(iCause = 0) AND tonHealthy.Q", "(iCause = 0) OR tonHealthy.Q"),
    (0, "xLatched := NOT xReturn", "xLatched := xReturn"),
    (1, "rOpLo > rLo", "rOpLo < rLo"),
    (1, "rOpHi < rHi", "rOpHi > rHi"),
    (1, "(rLo <= rHi)", "(rLo >= rHi)"),
    (1, "(rRateUp > 0.0)", "(rRateUp >= 0.0)"),
    (1, "xMayFollow AND NOT xAccepted", "xMayFollow OR NOT xAccepted"),
    (1, "(rSpApp < 1.0E30)", "(rSpApp <= 1.0E30)"),
    (1, "(rSpApp > rEngHi)", "(rSpApp >= rEngHi)"),
    (1, "ABS(rSpApp - rSpOut)", "ABS(rSpApp + rSpOut)"),
    (1, "LIMIT(rSpOut - rRateDn * rDt", "LIMIT(rSpOut + rRateDn * rDt"),
    (1, "rSpLocal <> rLocalOld", "rSpLocal = rLocalOld"),
    (1, "rSpLocal <> rSpFallback", "rSpLocal = rSpFallback"),
    (1, "rTarget >= rHi", "rTarget > rHi"),
]
# What no compiler may take: (block, as it stands, changed).
SYNTAX = [(0, "END_IF;\n\n(* 2.", "\n(* 2."), (0, "iCause := 5;", "iCause = 5;"), (0, "ELSE\n    iCause := 0;", "ELSEIF iCause := 0;"),
          (1, "(* at the low limit *)\nEND_VAR", "(* at the low limit *)\nENDVAR"), (1, "LIMIT(rLo, rSpApp, rHi);", "LIMIT(rLo, rSpApp, rHi;")]
TYPES = [(0, "uiBeats := 0;", "uiBeats := 0.0;"), (0, "uiHbOld := stApp.uiHb", "uiHbOld := stApp.iMode"), (0, "stApp.udiSig <>", "stApp.udiSign <>"),
         (0, "PT := tHealthy", "PT := uiBeats"), (1, "iReject := 3;", "iReject := 33333;"), (1, "(rRateUp > 0.0)", "(rRateUp > xMvEnable)"),
         (1, "rLo := rEngLo;", "rEngLo := rLo;")]


def first_line(error):
    """What an error says first."""
    return str(error).strip().splitlines()[0]


def changed(texts, mutation):
    """The texts with one place changed; the place must be there exactly once."""
    at, old, new = mutation
    if texts[at].count(old) != 1:
        raise Refused(f"{old!r} stands {texts[at].count(old)} times in {BLOCKS[at]}")
    return [text.replace(old, new) if index == at else text for index, text in enumerate(texts)]


def kit_texts(folder):
    """Structured text of a kit, by path."""
    return {path: path.read_text(encoding="utf-8") for path in sorted((folder / "ST").glob("*.st"))}


# Kits

def judge_kit(checks, folder):
    """Parse, types, and a run of the program."""
    texts = kit_texts(folder)
    faults = {path.name: parse_source_code(text).exception for path, text in texts.items()}
    faults = {name: first_line(error) for name, error in faults.items() if error}
    if not checks.check(f"{folder.name}: {len(texts)} texts parse", texts and not faults, faults or ", ".join(p.name for p in texts)):
        return
    try:
        machine = Machine(*texts.values())
    except Refused as refusal:
        checks.check(f"{folder.name}: names and types fit", False, refusal)
        return
    checks.check(f"{folder.name}: names and types fit", True)
    for name in [unit.name for unit in machine.units.values() if unit.name.startswith("PRG_")]:
        run_program(checks, machine, name)


def run_program(checks, machine, name):
    """A run without faults, then the heartbeat stops: the program must close, move every setpoint in its rate, shed and hold."""
    plc = machine.new(name)
    ids = [m.removeprefix("r").removesuffix("splocal") for m in machine.units[name.lower()].members if m.endswith("splocal")]
    machine.cycle_ms = round(plc.rdt * 1000)
    plc.xoperenable = plc.xpermit = True
    plc.apc.fromapp.imode, plc.apc.fromapp.udisig = 2, plc.udisigok
    for mv in ids:
        low, high = (getattr(plc, f"r{mv}eng{end}") for end in ("lo", "hi"))
        setattr(plc, f"x{mv}loopready", True)
        setattr(plc, f"r{mv}splocal", (low + high) / 2)
        for cell, value in (("lo", low), ("hi", high), ("valid", True)):
            if hasattr(plc.apc, mv + cell):
                setattr(plc.apc, mv + cell, value)
    beat = max(1, plc.thbtimeout // 5 // machine.cycle_ms)
    closed_at, scan, steps = None, 0, {mv: 0.0 for mv in ids}
    start = {mv: getattr(plc, f"r{mv}splocal") for mv in ids}
    goal = {mv: start[mv] + getattr(plc, f"r{mv}maxjump") / 2 for mv in ids}
    longest = (plc.thealthy + 10 * beat * machine.cycle_ms) // machine.cycle_ms
    ramp = max([round((goal[mv] - start[mv]) / getattr(plc, f"r{mv}rateup") / plc.rdt) for mv in ids], default=0) + 20

    def scan_once(beats):
        nonlocal scan
        scan += 1
        if beats and scan % beat == 0:
            plc.apc.fromapp.uihb += 1
        before = {mv: getattr(plc.apc, f"{mv}spact") for mv in ids}
        machine.call(name, plc)
        for mv in ids:
            steps[mv] = max(steps[mv], abs(getattr(plc.apc, f"{mv}spact") - before[mv]) if scan > 1 else 0.0)

    while closed_at is None and scan < longest:
        scan_once(True)
        closed_at = scan if plc.apc.toapp.xclosedloop else None
    checks.check(f"{name} closes the loop", closed_at, f"after {scan * machine.cycle_ms / 1000} s, not before {plc.thealthy / 1000} s")
    for mv in ids:
        setattr(plc.apc, f"{mv}sp", struct.unpack("f", struct.pack("f", goal[mv]))[0])
        setattr(plc.apc, f"{mv}seq", getattr(plc.apc, f"{mv}seq") + 1)
    for _ in range(ramp):
        scan_once(True)
    for mv in ids:
        at, wanted, rate = getattr(plc.apc, f"{mv}spact"), getattr(plc.apc, f"{mv}sp"), getattr(plc, f"r{mv}rateup")
        arrived = at == wanted and getattr(plc.apc, f"{mv}incontrol")
        # REAL resolves a ramp to one part in eight, as the kit's rule promises.
        slow = steps[mv] <= rate * plc.rdt * 1.0626
        checks.check(f"{name} moves {mv} in its rate", arrived and slow, f"{start[mv]} to {at}, largest step {steps[mv]:.3g}, rate {rate:.3g} per s")
    held = {mv: getattr(plc.apc, f"{mv}spact") for mv in ids}
    silent = scan
    while plc.apc.toapp.xclosedloop and scan < silent + 2 * plc.thbtimeout // machine.cycle_ms:
        scan_once(False)
    after = {mv: getattr(plc.apc, f"{mv}spact") for mv in ids}
    shed = not plc.apc.toapp.xclosedloop and plc.fblink.stplc.ishedreason == 1
    checks.check(f"{name} sheds and holds when the heartbeat stops", shed and after == held, f"within {(scan - silent) * machine.cycle_ms / 1000} s")


# Scenarios

def real(bits):
    """REAL of its bits."""
    return struct.unpack("f", int(bits, 16).to_bytes(4, sys.byteorder))[0]


SETTINGS = ("rEngLo", "rEngHi", "rRateUp", "rRateDn", "rMaxJump")
OUTPUTS = ("uiHb", "iModeReq", "xClosedLoop", "xLinkOk", "iShedReason", "uiShedCount",
           "rSpOut", "xInControl", "uiSeqAck", "iReject", "xLimHi", "xLimLo", "rSpLocal")


def read_trace(path):
    """Lines as tuples: ('S', cycle, settings of link, of sp), ('P',), ('R', inputs of link, of sp, outputs)."""
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), 1):
        kind, *words = line.split()
        if kind == "P":
            yield number, ("P",)
        elif kind == "S":
            seed, cycle, hb, healthy, returns, sig, *reals = words[:11]
            data, to_fallback, fallback, dt = words[11:]
            link = {"thbtimeout": int(hb), "thealthy": int(healthy), "xreturn": returns == "1", "udisigok": int(sig)}
            sp = {name.lower(): real(bits) for name, bits in zip(SETTINGS, reals)}
            sp |= {"tdatatimeout": int(data), "xshedtofb": to_fallback == "1", "rspfallback": real(fallback), "rdt": real(dt)}
            yield number, ("S", int(cycle), link, sp, int(seed))
        else:
            given, results = words[:15], words[16:]
            hb, echo, mode, status, sig = map(int, given[:5])
            enable, permit, mv_enable, ready = (w == "1" for w in given[5:9])
            app = {"uihb": hb, "uihbecho": echo, "imode": mode, "wstatus": status, "udisig": sig}
            sp = {"xmvenable": mv_enable, "xloopready": ready, "rspapp": real(given[9]), "uiseqapp": int(given[10]), "xvalidapp": given[11] == "1",
                  "roplo": real(given[12]), "rophi": real(given[13]), "rsplocal": real(given[14])}
            want = [int(results[0]), int(results[1]), results[2] == "1", results[3] == "1", int(results[4]), int(results[5]),
                    real(results[6]), results[7] == "1", int(results[8]), int(results[9]), results[10] == "1", results[11] == "1", real(results[12])]
            yield number, ("R", app, {"xoperenable": enable, "xpermit": permit}, sp, want)


def same(got, want):
    """Equal, NaN included."""
    return got == want or (isinstance(want, float) and math.isnan(got) and math.isnan(want))


def replay(machine, trace):
    """Runs the blocks through a trace. Returns (scans, first difference in words or None, outputs that were seen)."""
    scans, seen, seed = 0, {name: set() for name in OUTPUTS if not name.startswith("r") and name not in ("uiHb", "uiSeqAck", "uiShedCount")}, None
    for number, entry in trace:
        if entry[0] in "SP":
            if entry[0] == "S":
                _, machine.cycle_ms, link_settings, sp_settings, seed = entry
            link, sp = machine.new("FB_ApcLink"), machine.new("FB_ApcSp")
            continue
        _, app, link_inputs, sp_inputs, want = entry
        vars(link.stapp).update(app)
        machine.call("FB_ApcLink", link, **link_settings, **link_inputs)
        machine.call("FB_ApcSp", sp, xclosedloop=link.stplc.xclosedloop, **sp_settings, **sp_inputs)
        scans += 1
        blocks = (link.stplc,) * 6 + (sp,) * 7
        for name, block, wanted in zip(OUTPUTS, blocks, want):
            got = getattr(block, name.lower())
            if not same(got, wanted):
                return scans, f"line {number}, seed {seed}: {name} is {got}, the port says {wanted}", seen
            if name in seen:
                seen[name].add(got)
    return scans, None, seen


def judge_blocks(checks, texts, trace):
    """Equal in every scan, and the scenarios reach every answer of the blocks."""
    scans, difference, seen = replay(Machine(*texts), trace)
    checks.check("the blocks equal the port in every output of every scan", scans and difference is None, difference or f"{scans} scans")
    every = {"iModeReq": {1, 2}, "iShedReason": set(range(6)), "iReject": set(range(6))}
    missed = {name: sorted(every.get(name, {False, True}) - found) for name, found in seen.items()}
    missed = {name: values for name, values in missed.items() if values}
    checks.check("the scenarios reach every reason, refusal and flag", not missed, missed)


def judge_judge(checks, texts, trace):
    """A broken text must be found."""
    for mutation in SYNTAX:
        error = parse_source_code(changed(texts, mutation)[mutation[0]]).exception
        checks.check(f"a syntax error is found, {mutation[2].split(chr(10))[-1]!r}", error is not None, first_line(error) if error else "")
    for mutation in TYPES:
        try:
            Machine(*changed(texts, mutation))
            checks.check(f"a type error is found, {mutation[2]!r}", False)
        except Refused as refusal:
            checks.check(f"a type error is found, {mutation[2]!r}", True, refusal)
    for mutation in MUTATIONS:
        scans, difference, _ = replay(Machine(*changed(texts, mutation)), trace)
        checks.check(f"a changed operator is found, {mutation[2]!r}", difference is not None, f"scan {scans}, {difference}")


def main():
    """Runs all checks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kits", required=True, type=pathlib.Path, help="folder with one kit per subfolder")
    parser.add_argument("--trace", required=True, type=pathlib.Path, help="what the example gate_trace prints")
    args, checks = parser.parse_args(), Checks()
    kits = sorted(p for p in args.kits.iterdir() if (p / "ST").is_dir())
    if checks.check("there are kits", kits, ", ".join(p.name for p in kits)):
        for kit in kits:
            judge_kit(checks, kit)
    blocks = next(([k / "ST" / b for b in BLOCKS] for k in kits if all((k / "ST" / b).is_file() for b in BLOCKS)), None)
    if checks.check("a kit has both blocks", blocks):
        texts = [path.read_text(encoding="utf-8") for path in blocks]
        trace = list(read_trace(args.trace))
        judge_blocks(checks, texts, trace)
        judge_judge(checks, texts, trace)
    return checks.summary()


if __name__ == "__main__":
    sys.exit(main())
