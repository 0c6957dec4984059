#!/usr/bin/env bash
# Fetches the library of ONNX Runtime for the inference bench: the PyPI wheel of models/tools/onnxruntime.txt, unpacked under target/.
# Prints the path of libonnxruntime.so. Nothing is installed outside target/; delete target/onnxruntime to get rid of it.
#
#   models/tools/fetch_onnxruntime.sh        then `cargo bench -p flyball-models` finds it there
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

place=target/onnxruntime
python=python3
if ! "$python" -m pip --version >/dev/null 2>&1; then
    "$python" -m venv "$place.venv" || { echo "python3 has neither pip nor venv: install python3-venv" >&2; exit 1; }
    python=$place.venv/bin/python
fi
rm -rf "$place"
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --target "$place" \
    -r models/tools/onnxruntime.txt >&2
library=$(find "$PWD/$place/onnxruntime/capi" -maxdepth 1 -name 'libonnxruntime.so*' | head -1)
[ -n "$library" ] || { echo "the wheel has no libonnxruntime.so: this is not Linux, or the wheel has changed" >&2; exit 1; }
echo "$library"
