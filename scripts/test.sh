#!/usr/bin/env bash
# All checks: format, lints, documentation, tests, the sample, the demo. Installs what they need.
#
#   scripts/test.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

if [[ $# -ne 0 ]]; then
    say "usage: scripts/test.sh" >&2
    exit 2
fi

SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/ringtap-test.XXXXXX")
trap 'rm -rf "$SCRATCH"' EXIT

# step NAME COMMAND...: ends everything if the command fails, says how long it took if not.
step() {
    local name=$1 began
    shift
    began=$(now_ms)
    say "== $name"
    "$@" || die "$name failed"
    say "== $name: ok, $(seconds_since "$began")"
}

set_up() {
    need_rust
    need_c_compiler
    cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt || return 1
    cargo clippy --version >/dev/null 2>&1 || rustup component add clippy || return 1
    cargo nextest --version >/dev/null 2>&1 || cargo install --quiet --locked cargo-nextest || return 1
    rustc --version
    cargo nextest --version | head -n 1
}

documentation() {
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
}

# The files in samples/ are those that the generator writes today.
samples() {
    local fresh=$SCRATCH/samples testkit
    mkdir "$fresh"
    cargo build --quiet --locked -p ringtap-testkit || return 1
    testkit=$(realpath "$TARGET_DIR")/debug/ringtap-testkit
    # From within the folder: the paths in ringtap.toml are those of the command line.
    (cd "$fresh" && "$testkit" sample -o sample.pcap && "$testkit" fixtures -o .) || return 1
    local file
    for file in sample.pcap ringtap.toml subscribers.csv; do
        if ! cmp "$fresh/$file" "samples/$file"; then
            say "samples/$file is not what the generator writes; renew it: see samples/README.md" >&2
            return 1
        fi
    done
}

# The committed XDP program is what its source gives, as far as this machine has the compiler for that.
xdp_object() {
    local status=0
    scripts/ebpf.sh check || status=$?
    if [[ $status -eq 3 ]]; then
        say "ATTENTION: the XDP program's source was not compiled, so nobody knows whether the committed object is its" >&2
    elif [[ $status -ne 0 ]]; then
        return 1
    fi
}

# The demo compares its mails with samples/expected-mails.txt.
demo() {
    scripts/demo.sh --out "$SCRATCH/demo"
}

step "set-up" set_up
step "format" cargo fmt --all --check
step "lints" cargo clippy --workspace --all-targets --locked -- -D warnings
step "documentation" documentation
step "tests" cargo nextest run --workspace --locked
step "documentation tests" cargo test --workspace --doc --locked
step "XDP program" xdp_object
step "samples" samples
step "demo" demo
say "all green"
