#!/usr/bin/env bash
# Where a replay spends its time: a flame graph of `ringtap replay` into a journal, sampled by perf.
#
#   scripts/flamegraph.sh                               # target/bench/flame.svg
#   scripts/flamegraph.sh --out docs/flame-replay.svg   # the one that docs/performance.md shows
#   scripts/flamegraph.sh --calls 200000 --no-build
#
# 50,000 calls of the benchmark's workload unless told otherwise, one worker, release build. Installs perf (Debian: linux-perf) and inferno
# (crates.io, into target/bench/peers) if they are not there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

INFERNO_VERSION=0.12.8
# Samples a second of each thread; no divisor of anything that ticks.
HERTZ=1999
CALLS=50000
BUILD=yes
OUT=$TARGET_DIR/bench/flame.svg
while [[ $# -gt 0 ]]; do
    case $1 in
    --calls) CALLS=${2:?--calls N} && shift ;;
    --out) OUT=${2:?--out FILE} && shift ;;
    --no-build) BUILD= ;;
    *)
        say "usage: scripts/flamegraph.sh [--calls N] [--out FILE] [--no-build]" >&2
        exit 2
        ;;
    esac
    shift
done
[[ $CALLS =~ ^[1-9][0-9]{0,7}$ ]] || die "--calls $CALLS: a number"

[[ -d $(dirname "$OUT") || $OUT == "$TARGET_DIR"/* ]] || die "$OUT: no such folder"

RELEASE=$TARGET_DIR/release
PEERS=$TARGET_DIR/bench/peers
if [[ -n $BUILD ]]; then
    need_rust
    need_c_compiler
    need_capture_tools
    cargo build --release --locked -p ringtap -p ringtap-benches --bins
fi
[[ -x $RELEASE/ringtap && -x $RELEASE/gen-ims-pcap ]] || die "nothing is built yet: leave --no-build out"
command -v perf >/dev/null || install_debian linux-perf || die "no perf (Debian: linux-perf)"
if [[ ! -x $PEERS/bin/inferno-flamegraph ]]; then
    say "building inferno $INFERNO_VERSION"
    cargo install --quiet --locked inferno --version "$INFERNO_VERSION" --root "$PEERS" --target-dir "$PEERS/build"
fi
CAPTURE=$TARGET_DIR/bench/ims-$CALLS.pcap
if [[ ! -e $CAPTURE ]]; then
    mkdir -p "$TARGET_DIR/bench"
    "$RELEASE/gen-ims-pcap" --calls "$CALLS" --seed 1 --cps 500 --out "$CAPTURE.part" --csv "${CAPTURE%.pcap}.csv" >/dev/null
    mv "$CAPTURE.part" "$CAPTURE"
fi

SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/ringtap-flame.XXXXXX")
trap 'rm -rf "$SCRATCH"' EXIT
: >"$SCRATCH/ringtap.toml"
# Into the page cache first.
cat "$CAPTURE" >/dev/null
perf record --quiet -e cpu-clock -F "$HERTZ" --call-graph dwarf,16384 -o "$SCRATCH/perf.data" \
    "$RELEASE/ringtap" replay --config "$SCRATCH/ringtap.toml" --journal "$SCRATCH/journal.db" "$CAPTURE"
# Inlined calls are left out: to look each up takes longer than the run.
perf script --no-inline -i "$SCRATCH/perf.data" 2>"$SCRATCH/script.log" >"$SCRATCH/samples" ||
    die "perf script: $(tail -n 1 "$SCRATCH/script.log")"
"$PEERS/bin/inferno-collapse-perf" --quiet "$SCRATCH/samples" >"$SCRATCH/stacks"
[[ -s $SCRATCH/stacks ]] || die "perf took no samples: $(tail -n 1 "$SCRATCH/script.log")"
"$PEERS/bin/inferno-flamegraph" --quiet --title "ringtap replay, $CALLS calls" --minwidth 0.2 "$SCRATCH/stacks" >"$SCRATCH/flame.svg"
mkdir -p "$(dirname "$OUT")"
# Without the script in it and what only that uses: a picture, for a page that runs none.
python3 - "$SCRATCH/flame.svg" "$OUT" <<'PYTHON'
import pathlib
import re
import sys

made, out = map(pathlib.Path, sys.argv[1:])
text = re.sub(r"<script.*?</script>", "", made.read_text(), flags=re.DOTALL)
text = re.sub(r' onload="[^"]*"', "", text)
text = re.sub(r'<text id="(?:details|unzoom|search|matched)".*?</text>', "", text, flags=re.DOTALL)
out.write_text(text + "\n")
PYTHON
say "$OUT: $(wc -c <"$OUT") octets"
