#!/usr/bin/env bash
# What a message and a packet cost in instructions, by stage and as a whole, beside the figures that are kept in
# benches/instructions.tsv. Counted by callgrind, so other work on the machine does not matter.
#
#   scripts/instructions.sh              # counts, and prints the change in per cent
#   scripts/instructions.sh --update     # and writes the figures
#   scripts/instructions.sh --no-build   # with the programs that were built last
#
# 5,000 calls of the benchmark's workload, seed 1. The build is for x86-64-v3, in target/x86-64-v3: callgrind knows no AVX-512, and the
# choice of instructions is not to depend on who builds. It never fails for a figure. Installs valgrind if it is not there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

CALLS=5000
BUILD=yes
PASSED=()
for argument; do
    case $argument in
    --no-build) BUILD= ;;
    --update) PASSED+=("$argument") ;;
    *)
        say "usage: scripts/instructions.sh [--update] [--no-build]" >&2
        exit 2
        ;;
    esac
done

need_valgrind || die "no valgrind: install it"
# Beside what else is built, for each build throws the other's away otherwise.
V3_DIR=$TARGET_DIR/x86-64-v3
if [[ -n $BUILD ]]; then
    need_rust
    need_c_compiler
    need_capture_tools
    RUSTFLAGS="-C target-cpu=x86-64-v3" CARGO_TARGET_DIR=$V3_DIR cargo build --release --locked \
        -p ringtap --bin ringtap -p ringtap-benches --bin stage-counts --bin gen-ims-pcap
fi
[[ -x $V3_DIR/release/stage-counts ]] || die "nothing is built yet: leave --no-build out"

CAPTURE=$TARGET_DIR/bench/ims-$CALLS.pcap
if [[ ! -e $CAPTURE ]]; then
    mkdir -p "$TARGET_DIR/bench"
    "$V3_DIR/release/gen-ims-pcap" --calls $CALLS --seed 1 --cps 500 --out "$CAPTURE.part" --csv "${CAPTURE%.pcap}.csv" >/dev/null
    mv "$CAPTURE.part" "$CAPTURE"
fi
ABOUT="Instructions by callgrind: $CALLS calls, seed 1, release build for x86-64-v3, rustc $(rustc_version), $(date +%F). Renewed by scripts/instructions.sh --update."
exec python3 scripts/bench/instructions.py --programs "$V3_DIR/release" --capture "$CAPTURE" --about "$ABOUT" "${PASSED[@]}"
