#!/usr/bin/env bash
# All checks: format, lints, documentation, tests, the sample, the demo; as root also live capture, in network
# namespaces of its own. Installs what they need.
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
    need_capture_tools
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

# Whether live capture can be tried here: root, network namespaces, and a kernel that takes the XDP program.
can_go_live() {
    local lab=test-$$ status=0
    [[ $(id -u) -eq 0 ]] || { LIVE_LACKS="root" && return 1; }
    scripts/lab.sh up --name "$lab" >/dev/null 2>"$SCRATCH/lab.err" ||
        { LIVE_LACKS=$(<"$SCRATCH/lab.err") && return 1; }
    scripts/lab.sh exec --name "$lab" "$TARGET_DIR/debug/ringtap" run --interface mirror0 --stop-after 1s \
        --journal "$SCRATCH/live.db" >/dev/null 2>"$SCRATCH/lab.err" || status=$?
    scripts/lab.sh down --name "$lab" >/dev/null
    # A tap that fails on a kernel that has all it needs is a fault, not a lack.
    if [[ $status -ne 0 ]] && ! kernel_has_xdp; then
        LIVE_LACKS="a kernel with BPF and XDP sockets" && return 1
    fi
}

kernel_has_xdp() {
    [[ -e /proc/config.gz ]] || return 0
    zcat /proc/config.gz | grep -q '^CONFIG_XDP_SOCKETS=y' && zcat /proc/config.gz | grep -q '^CONFIG_BPF_SYSCALL=y'
}

# Tests that need a line of their own. They are told apart by being ignored otherwise.
live_tests() {
    cargo build --quiet --locked -p ringtap || return 1
    cargo nextest run --locked --run-ignored only -p ringtap-testkit --test play || return 1
    cargo nextest run --locked --run-ignored only -p ringtap --test live || return 1
    cargo nextest run --locked --run-ignored only -p ringtap-notifier --test scenarios live::
}

live_demo() {
    scripts/demo.sh --live --out "$SCRATCH/live-demo"
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
if can_go_live; then
    step "live tests" live_tests
    step "live demo" live_demo
    say "all green"
else
    say "!!"
    say "!! LIVE CAPTURE WAS NOT TESTED: this machine lacks $LIVE_LACKS"
    say "!!"
    say "all green, as far as it goes"
fi
