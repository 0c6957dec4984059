"""Judges a recording with readers that nobody here wrote: the packages mcap and mcap-protobuf-support, as Foxglove's own tools use them.

Opens a file with its summary and all checksums, decodes /scan by the schema that is in the file, and looks for fields by the names of the plant;
then cuts the file off and reads it again as a crash would have left it.

Each check prints one line. The last line is `N passed, N failed`; the exit code is 1 if anything failed.

    mcap_reader.py recordings/R101-OPT_20261130T145626Z.mcap --tag TI_101 --prediction cB_cB --mv feed --cv quality
"""

import argparse
import io
import json
import math
import pathlib
import sys

from mcap.exceptions import EndOfFile
from mcap.reader import NonSeekingReader, make_reader
from mcap_protobuf.decoder import DecoderFactory

from judge import Checks

TOPICS = {"/scan", "/events", "/replay"}


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=pathlib.Path)
    for kind in ("tag", "prediction", "mv", "cv"):
        parser.add_argument(f"--{kind}", required=True, help=f"name of a {kind} as a field")
    return parser.parse_args()


def whole(args, checks):
    """The whole file, through its summary."""
    with args.file.open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True, decoder_factories=[DecoderFactory()])
        summary = reader.get_summary()
        topics = {channel.topic for channel in summary.channels.values()}
        checks.check("library", reader.get_header().library.startswith("flyball "), reader.get_header().library)
        checks.check("topics", topics == TOPICS, sorted(topics))
        metadata = {record.name: record.metadata for record in reader.iter_metadata()}
        unit = metadata["flyball.units"].get(f"tag.{args.tag}")
        checks.check("header", metadata["flyball"]["application"] != "", metadata["flyball"]["application"])
        checks.check("unit of the tag", unit, unit)
        names = [attachment.name for attachment in reader.iter_attachments()]
        configuration = metadata["flyball"]["configuration"]
        checks.check("configuration attached", configuration in names, ", ".join(names))
        checks.check("models attached", sum(n.endswith(".onnx") for n in names) == len([k for k in metadata["flyball"] if k.startswith("model ")]))

        scans = [(m.log_time, m.sequence, decoded) for _, _, m, decoded in reader.iter_decoded_messages(topics=["/scan"])]
        times = [time for time, _, _ in scans]
        sequences = [sequence for _, sequence, _ in scans]
        checks.check("scans", len(scans) > 100, len(scans))
        checks.check("times rise", all(a < b for a, b in zip(times, times[1:])))
        checks.check("no hole", sequences == list(range(sequences[0], sequences[0] + len(scans))))
        values = [getattr(scan.tag, args.tag) for _, _, scan in scans]
        finite = [value for value in values if math.isfinite(value)]
        checks.check(f"tag.{args.tag}", len(set(finite)) > 10, f"{min(finite):.3f} to {max(finite):.3f} {unit}")
        last = scans[-1][2]
        prediction = getattr(last.prediction, args.prediction)
        checks.check(f"prediction.{args.prediction}.value", math.isfinite(prediction.value), f"{prediction.value:.4f}")
        mv = getattr(last.mv, args.mv)
        checks.check(f"mv.{args.mv}.readback", math.isfinite(mv.readback), f"{mv.readback:.3f}")
        held = mv.DESCRIPTOR.fields_by_name["held_by"].enum_type.values_by_number[mv.held_by].name
        checks.check(f"mv.{args.mv}.held_by", held != "", held)
        cv = getattr(last.cv, args.cv)
        checks.check(f"cv.{args.cv}.value", math.isfinite(cv.value), f"{cv.value:.4f}")
        modes = {scan.DESCRIPTOR.fields_by_name["mode"].enum_type.values_by_number[scan.mode].name for _, _, scan in scans}
        checks.check("mode", modes <= {"OFF", "ADVISORY", "CLOSED_LOOP"}, ", ".join(sorted(modes)))

        lines = [json.loads(message.data) for _, _, message in reader.iter_messages(topics=["/events"])]
        checks.check("events are sentences", lines and all(line["message"] and line["level"] in (2, 3) for line in lines), lines[0]["message"])
        replay = sum(1 for _ in reader.iter_messages(topics=["/replay"]))
        checks.check("an exact record per scan", replay == len(scans), replay)
        return len(scans)


def cut_off(args, checks, scans):
    """The first two thirds, as after kill -9: no summary, and the last chunk broken off."""
    data = args.file.read_bytes()
    reader = NonSeekingReader(io.BytesIO(data[: len(data) * 2 // 3]), decoder_factories=[DecoderFactory()])
    found = 0
    try:
        for _ in reader.iter_decoded_messages(topics=["/scan"], log_time_order=False):
            found += 1
    except EndOfFile:
        pass
    checks.check("a file cut off is read up to the cut", 0 < found < scans, f"{found} of {scans} scans")


def main():
    """Runs all checks."""
    args = arguments()
    checks = Checks()
    scans = whole(args, checks)
    cut_off(args, checks, scans)
    return checks.summary()


if __name__ == "__main__":
    sys.exit(main())
