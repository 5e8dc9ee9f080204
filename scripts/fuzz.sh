#!/usr/bin/env bash
# Tries hostile input, guided by coverage: one libFuzzer program for each body in engine/fuzz/bodies.
#
#   scripts/fuzz.sh [--seconds N] [TARGET...]
#
# Each target, or each that is named, runs for N seconds (10 if not given), beginning with seeds out of the testkit and,
# where it is there, out of RINGTAP_DATA or ../shared/data. What it finds interesting stays in engine/fuzz/corpus for the
# next time. Prints a line for each target. Ends with 1 if one crashed, after telling where the input is; with 3 if
# this machine has no compiler for it and none can be had.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

FUZZ=engine/fuzz
CORPUS=$FUZZ/corpus
ARTIFACTS=$FUZZ/artifacts
DICTIONARY=$FUZZ/sip.dict
CARGO_FUZZ_VERSION=0.13.1
# Where libFuzzer's programs are; they never share a folder with the product's, whose flags are others.
FUZZ_TARGET_DIR=$PWD/$FUZZ/target
PROGRAMS=$FUZZ_TARGET_DIR/$(uname -m)-unknown-linux-gnu/release

usage() {
    say "usage: scripts/fuzz.sh [--seconds N] [TARGET...]" >&2
    say "targets: $(known_targets | tr '\n' ' ')" >&2
    exit 2
}

known_targets() {
    local file
    for file in "$FUZZ"/targets/*.rs; do
        basename "$file" .rs
    done
}

# need_fuzzer: a nightly compiler, whose flags libFuzzer needs, and cargo-fuzz.
need_fuzzer() {
    if ! rustup run nightly rustc --version >/dev/null 2>&1; then
        say "installing Rust nightly, for fuzzing only"
        rustup toolchain install nightly --profile minimal >/dev/null 2>&1 || return 1
    fi
    cargo fuzz --version >/dev/null 2>&1 && return
    say "installing cargo-fuzz $CARGO_FUZZ_VERSION"
    cargo install --quiet --locked --version "$CARGO_FUZZ_VERSION" cargo-fuzz
}

# All is safe Rust: without an address sanitizer it finds the same and runs faster. Checks of overflows and assertions
# are on.
build() {
    CARGO_TARGET_DIR=$FUZZ_TARGET_DIR cargo +nightly fuzz build --fuzz-dir "$FUZZ" -s none --codegen-units 16
}

write_seeds() {
    cargo build --quiet --locked -p ringtap-fuzz-bodies --bin ringtap-fuzz-seeds || return 1
    "$(realpath "$TARGET_DIR")/debug/ringtap-fuzz-seeds" "$CORPUS" "${RINGTAP_DATA:-../shared/data}"
}

# longest TARGET: octets of the longest input that is worth trying.
longest() {
    case $1 in
        classify) say 512 ;;
        tracker) say 1280 ;;
        history_reason | identity) say 2048 ;;
        *) say 8192 ;;
    esac
}

# run TARGET SECONDS: one line of what came of it.
run() {
    local target=$1 seconds=$2 log=$SCRATCH/$1.log status=0 options=()
    mkdir -p "$CORPUS/$target" "$ARTIFACTS/$target"
    case $target in
        sip | identity | history_reason | streams) options+=("-dict=$DICTIONARY") ;;
    esac
    "$PROGRAMS/$target" "$CORPUS/$target" -max_total_time="$seconds" -max_len="$(longest "$target")" -timeout=10 \
        -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$ARTIFACTS/$target/" "${options[@]}" \
        >"$log" 2>&1 || status=$?
    local executions per_second coverage corpus
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    per_second=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
    coverage=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
    corpus=$(find "$CORPUS/$target" -type f | wc -l)
    printf '%-15s %11s executions %8s/s %7s edges %7s inputs kept\n' \
        "$target" "${executions:-?}" "${per_second:-?}" "${coverage:-?}" "$corpus"
    if [[ $status -ne 0 ]]; then
        say "$target CRASHED:" >&2
        grep -v -e '^#[0-9]' -e '^stat::' -e '^INFO:' "$log" | tail -n 25 >&2
        sed -n 's/.*Test unit written to /the input is /p' "$log" >&2
        say "again: $PROGRAMS/$target INPUT" >&2
        return 1
    fi
}

SECONDS_EACH=10
TARGETS=()
while [[ $# -gt 0 ]]; do
    case $1 in
        --seconds)
            [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || usage
            SECONDS_EACH=$2
            shift 2
            ;;
        -*) usage ;;
        *)
            [[ -e $FUZZ/targets/$1.rs ]] || usage
            TARGETS+=("$1")
            shift
            ;;
    esac
done
[[ ${#TARGETS[@]} -gt 0 ]] || mapfile -t TARGETS < <(known_targets)

SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/ringtap-fuzz.XXXXXX")
trap 'rm -rf "$SCRATCH"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

need_rust
need_c_compiler
need_capture_tools
if ! need_fuzzer; then
    say "no fuzzing on this machine: it wants a nightly Rust and cargo-fuzz, and they could not be installed" >&2
    exit 3
fi
began=$(now_ms)
build >"$SCRATCH/build.log" 2>&1 || {
    tail -n 40 "$SCRATCH/build.log" >&2
    die "the fuzz targets do not build"
}
write_seeds || die "no seeds"
say "built, $(seconds_since "$began")"

crashed=0
for target in "${TARGETS[@]}"; do
    run "$target" "$SECONDS_EACH" || crashed=1
done
exit "$crashed"
