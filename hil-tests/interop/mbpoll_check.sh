#!/usr/bin/env bash
# Judges the simulated PLC's Modbus TCP server with a client that nobody here wrote: mbpoll (Debian).
#
#   mbpoll_check.sh PORT UNIT REFERENCE LOW HIGH [ORDER]
#
# REFERENCE is the first holding register, counted from 1 (40101 is 101), of a float32 that must lie within LOW .. HIGH. ORDER is CDAB (low word
# first, the default) or ABCD. Each check prints one line, the last line is `N passed, N failed`, the exit code is 1 if anything failed.
set -euo pipefail

if [ $# -lt 5 ]; then
    sed -n '2,7p' "$0" >&2
    exit 2
fi
command -v mbpoll >/dev/null || { echo "mbpoll is not installed: apt-get install mbpoll" >&2; exit 2; }
port=$1 unit=$2 reference=$3 low=$4 high=$5 order=${6:-CDAB}
case $order in
    CDAB) words=() ;;
    ABCD) words=(-B) ;;
    *) echo "ORDER is $order, allowed are CDAB and ABCD" >&2; exit 2 ;;
esac
passed=0 failed=0

check() { # NAME OUTCOME(0 is good) DETAIL
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1)); echo "ok   $1: $3"
    else
        failed=$((failed + 1)); echo "FAIL $1: $3"
    fi
}

poll() { mbpoll -m tcp -p "$port" -a "$unit" -1 -t "$1" -r "$2" -c "$3" "${@:4}" 127.0.0.1 2>&1; }
values() { sed -n 's/^\[[0-9]*\]:[[:space:]]*\([^[:space:]]*\).*$/\1/p'; }

answer=$(poll 4:float "$reference" 1 "${words[@]}") && code=0 || code=$?
value=$(values <<<"$answer")
within=1
[ "$code" -eq 0 ] && awk -v v="$value" -v l="$low" -v h="$high" 'BEGIN { exit !(v != "" && v + 0 >= l && v + 0 <= h) }' && within=0
check "float32 at $reference lies within $low .. $high" "$within" "${value:-$(tail -1 <<<"$answer")}"

answer=$(poll 4 "$reference" 2) && code=0 || code=$?
count=$(values <<<"$answer" | wc -l)
[ "$code" -eq 0 ] && [ "$count" -eq 2 ] && both=0 || both=1
check "two registers at $reference are answered" "$both" "$count values"

answer=$(poll 4 65000 1) && code=0 || code=$?
[ "$code" -ne 0 ] && grep -q "Illegal data address" <<<"$answer" && refused=0 || refused=1
check "register 65000 is refused as an illegal data address" "$refused" "$(tail -1 <<<"$answer")"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
