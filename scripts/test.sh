#!/usr/bin/env bash
# All checks: format, lints, documentation, tests, benchmarks that only have to run, a little fuzzing, the sample, the demo; as root also live capture, in network
# namespaces of its own. Installs what they need.
#
#   scripts/test.sh
#
# Where live capture cannot be tried, that is told at the end, and why. With RINGTAP_LIVE=1 in the environment it is a
# failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

if [[ $# -ne 0 ]]; then
    say "usage: scripts/test.sh" >&2
    exit 2
fi

SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/ringtap-test.XXXXXX")
# Of the trial that shows whether live capture can be tested.
LAB=test-$$
# Of each target; all of them, with the build on a warm machine, are to take less than two minutes.
FUZZ_SECONDS=5
# What this machine lacks for live capture; empty if nothing.
LIVE_LACKS=

at_exit() {
    [[ $(id -u) -ne 0 ]] || scripts/lab.sh down --name "$LAB" >/dev/null 2>&1 || true
    rm -rf "$SCRATCH"
}

trap at_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

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
    need_faketime || say "no libfaketime (Debian: faketime): clocks that are set cannot be tested" >&2
    need_prometheus || say "no Prometheus (Debian: prometheus): metrics, alert rules and the dashboard cannot be tested with it" >&2
    need_slapd || say "no slapd (Debian: slapd): what is read from an LDAP server cannot be tested" >&2
    need_iproute2 || say "no ip command (Debian: iproute2): live capture cannot be tested" >&2
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
    cargo build --quiet --workspace --locked || return 1
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

# Every benchmark runs, on tiny inputs. Its figures say nothing, and none makes it fail.
benchmarks() {
    scripts/bench.sh --smoke --out "$SCRATCH/bench"
}

# A few seconds of coverage-guided fuzzing of each target. That they hold what they promise near their seeds has been
# tested among the others.
fuzzing() {
    local status=0
    scripts/fuzz.sh --seconds "$FUZZ_SECONDS" || status=$?
    if [[ $status -eq 3 ]]; then
        say "!!" >&2
        say "!! NOT FUZZED: THIS MACHINE HAS NO NIGHTLY RUST OR NO cargo-fuzz; only the targets' tests were run" >&2
        say "!!" >&2
    elif [[ $status -ne 0 ]]; then
        return 1
    fi
}

# The demo compares its mails with samples/expected-mails.txt.
demo() {
    scripts/demo.sh --out "$SCRATCH/demo"
}

# Tries live capture on a line of its own, and sets LIVE_LACKS if this machine cannot do it. That is for the lab and for
# `ringtap run` to say; whatever else either says is a fault.
try_live() {
    local status said=$SCRATCH/trial
    if [[ $(id -u) -ne 0 ]]; then
        LIVE_LACKS="live capture needs root"
    else
        status=0
        trial 2>"$said" || status=$?
        if [[ $status -eq 0 ]]; then
            # So that from here on a test which cannot run has failed.
            export RINGTAP_LIVE=1
            return
        fi
        if [[ $status -ne 1 ]] || ! is_lack "$said"; then
            cat "$said" >&2
            say "live capture fails, and not for want of something (status $status)" >&2
            return 1
        fi
        LIVE_LACKS=$(<"$said")
    fi
    tell_lack
    [[ ${RINGTAP_LIVE:-} != 1 ]] || die "RINGTAP_LIVE=1 wants it tested"
}

trial() {
    local status=0
    cargo build --quiet --workspace --locked || return 2
    scripts/lab.sh up --name "$LAB" >/dev/null || return
    scripts/lab.sh exec --name "$LAB" "$TARGET_DIR/debug/ringtap" run --user root --interface mirror0 --stop-after 1s \
        --journal "$SCRATCH/trial.db" >/dev/null || status=$?
    scripts/lab.sh down --name "$LAB" >/dev/null || return 2
    return "$status"
}

# is_lack FILE: whether what the trial said there is that it may not, or that the kernel is too old or built without.
is_lack() {
    grep -q -e 'not possible on this machine' -e 'not permitted' -e 'cannot run the XDP program' \
        -e 'the kernel has no AF_XDP sockets' "$1" || is_kernel_without_xdp
}

is_kernel_without_xdp() {
    # Counted, not -q: who reads only the beginning of a pipe kills its writer, and pipefail takes that for a no.
    [[ -e /proc/config.gz && $(zgrep -c '^CONFIG_XDP_SOCKETS=y' /proc/config.gz) == 0 ]]
}

tell_lack() {
    say "!!"
    say "!! LIVE CAPTURE IS NOT TESTED ON THIS MACHINE, which says:"
    sed 's/^/!!   /' <<<"$LIVE_LACKS"
    say "!!"
}

# Tests that need a line of their own. They are told apart by being ignored otherwise. One file after the other, for
# each wants both cores; always of the whole workspace, for a choice of packages would be compiled anew.
live_tests() {
    local binary
    for binary in play live scenarios monitoring; do
        cargo nextest run --workspace --locked --run-ignored only -E "binary($binary)" || return 1
    done
}

# A core of Kamailio and SIPp; where these cannot be had, that is told.
real_core() {
    need_core || {
        say "!! NO REAL CORE ON THIS MACHINE: no Kamailio or SIPp (Debian: kamailio, sip-tester)" >&2
        return 0
    }
    RINGTAP_PROGRAMS=$(realpath "$TARGET_DIR")/debug scripts/core.sh --out "$SCRATCH/core"
}

# People's page in a browser; where there is none, that is told.
browser() {
    need_browser || {
        say "!! NO BROWSER ON THIS MACHINE: no Chromium (Debian: chromium, fonts-wqy-microhei) or no Playwright (PyPI)" >&2
        [[ ${RINGTAP_LIVE:-} != 1 ]]
        return
    }
    RINGTAP_PROGRAMS=$(realpath "$TARGET_DIR")/debug scripts/page.sh --out "$SCRATCH/page"
}

live_demo() {
    scripts/demo.sh --live --out "$SCRATCH/live-demo"
}

step "set-up" set_up
step "format" cargo fmt --all --check
step "lints" cargo clippy --workspace --all-targets --locked -- -D warnings
step "documentation" documentation
step "live trial" try_live
step "tests" cargo nextest run --workspace --locked
step "documentation tests" cargo test --workspace --doc --locked
step "benchmarks" benchmarks
step "fuzzing" fuzzing
step "XDP program" xdp_object
step "samples" samples
step "demo" demo
step "page in a browser" browser
if [[ -z $LIVE_LACKS ]]; then
    step "live tests" live_tests
    step "real core" real_core
    step "live demo" live_demo
    say "all green"
else
    tell_lack
    say "all green, as far as it goes"
fi
