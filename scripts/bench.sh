#!/usr/bin/env bash
# All benchmarks, beside other people's programs in the same run, and one report: target/bench/report/report.md, with plots, and report.json.
#
#   scripts/bench.sh                       # all; an hour or more, on a machine that does nothing else
#   scripts/bench.sh --only parsers,replay # some sections: parsers stages instructions replay journal notifier xdp growth scale
#   scripts/bench.sh --runs 9 --calls 50000
#   scripts/bench.sh --growth-calls-max 1000000
#   scripts/bench.sh --smoke               # everything tiny, with the debug build: only that it works
#
# Further arguments: --out FOLDER, --no-build, --no-install. Peers come from Debian (sngrep, sipgrep, tshark, tcpdump, libosip2, sofia-sip) and
# crates.io (sipmon, into target/bench/peers); one that cannot be had is named as absent. A smoke run installs none. Nothing fails for a figure.
# As root also the XDP program.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

SMOKE=
BUILD=yes
INSTALL=yes
OUT=
PASSED=()
USAGE="usage: scripts/bench.sh [--smoke] [--only SECTIONS] [--runs N] [--calls N] [--growth-calls-max N] [--out FOLDER] [--no-build] [--no-install]"
SECTIONS="parsers stages instructions replay journal notifier xdp growth scale"

wrong() {
    say "$*" >&2
    say "$USAGE" >&2
    exit 2
}

while [[ $# -gt 0 ]]; do
    case $1 in
    --smoke) SMOKE=yes && INSTALL="" && PASSED+=("$1") ;;
    --no-build) BUILD= ;;
    --no-install) INSTALL= ;;
    --out)
        [[ -n ${2:-} ]] || wrong "--out wants a folder"
        OUT=$2 && shift
        ;;
    --only)
        # Told now, not behind ten minutes of building.
        for section in $(tr , " " <<<"${2:-}"); do
            [[ " $SECTIONS " == *" $section "* ]] || wrong "no section $section: $SECTIONS"
        done
        [[ -n ${2:-} ]] || wrong "--only wants sections: $SECTIONS"
        PASSED+=("$1" "$2") && shift
        ;;
    --runs | --calls | --growth-calls-max)
        [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || wrong "$1 wants a number from 1"
        PASSED+=("$1" "$2") && shift
        ;;
    -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" && exit 0 ;;
    *) wrong "what is $1?" ;;
    esac
    shift
done

BENCH_DIR=$TARGET_DIR/bench
PEERS_DIR=$BENCH_DIR/peers
mkdir -p "$PEERS_DIR/bin"
PEERS=()
ABSENT=()

# build_all: sets PROGRAMS, and writes what cargo says of the benchmarks to MESSAGES. A smoke run takes the build that tests have made.
build_all() {
    say "building; nothing more is told for 10 minutes or so, if nothing is built yet"
    need_rust
    need_c_compiler
    need_capture_tools
    local benches=(--bench stages --bench calls --bench tunnels --bench xdp)
    # A workspace of its own, with other people's crates.
    local parsers=(--manifest-path benches/parsers/Cargo.toml --target-dir "$BENCH_DIR/parsers" --locked --no-run --message-format=json --bench parsers)
    MESSAGES=$BENCH_DIR/benches${SMOKE:+-smoke}.json
    if [[ -n $SMOKE ]]; then
        PROGRAMS=$TARGET_DIR/debug
        [[ -n $BUILD ]] || return 0
        cargo build --quiet --workspace --locked --bins
        cargo test --quiet --workspace --locked --no-run --message-format=json "${benches[@]}" >"$MESSAGES.part"
        cargo test --quiet "${parsers[@]}" >>"$MESSAGES.part"
    else
        PROGRAMS=$TARGET_DIR/release
        [[ -n $BUILD ]] || return 0
        cargo build --release --locked -p ringtap -p ringtap-benches --bins
        cargo bench --locked -p ringtap-benches --no-run --message-format=json "${benches[@]}" >"$MESSAGES.part"
        cargo bench "${parsers[@]}" >>"$MESSAGES.part"
    fi
    mv "$MESSAGES.part" "$MESSAGES"
}

# peer_program NAME [PACKAGE]: one that Debian has.
peer_program() {
    if ! command -v "$1" >/dev/null && [[ -n $INSTALL ]]; then
        without_services install_debian "${2:-$1}" || true
    fi
    if command -v "$1" >/dev/null; then
        PEERS+=(--peer "$1=$(command -v "$1")")
    else
        ABSENT+=(--absent "$1=not installed")
    fi
}

# peer_in_c NAME SOURCE DEBIAN-PACKAGE PKG-CONFIG-NAME: a small program on a library.
peer_in_c() {
    local name=$1 source=benches/peers/$2 package=$3 library=$4 flags
    if ! pkg-config --exists "$library" && [[ -n $INSTALL ]]; then
        install_debian "$package" || true
    fi
    if ! pkg-config --exists "$library"; then
        ABSENT+=(--absent "$name=no $library (Debian: $package)")
        return
    fi
    read -ra flags <<<"$(pkg-config --cflags --libs "$library")"
    cc -O2 -Wall "$source" -o "$PEERS_DIR/$name" "${flags[@]}"
    PEERS+=(--peer "$name=$PEERS_DIR/$name")
}

# peer_crate NAME VERSION: a program of crates.io.
peer_crate() {
    if [[ ! -x $PEERS_DIR/bin/$1 && -n $INSTALL ]]; then
        say "building $1 $2"
        cargo install --quiet --locked "$1" --version "$2" --root "$PEERS_DIR" --target-dir "$PEERS_DIR/build" || true
    fi
    if [[ -x $PEERS_DIR/bin/$1 ]]; then
        PEERS+=(--peer "$1=$PEERS_DIR/bin/$1")
    else
        ABSENT+=(--absent "$1=not built")
    fi
}

need_peers() {
    command -v pkg-config >/dev/null || [[ -z $INSTALL ]] || install_debian pkg-config || true
    peer_in_c osip osip.c libosip2-dev libosip2
    peer_in_c sofia sofia.c libsofia-sip-ua-dev sofia-sip-ua
    peer_in_c pcap-count pcap_count.c libpcap-dev libpcap
    peer_program tcpdump
    peer_program tshark
    peer_program sngrep
    peer_program sipgrep
    peer_crate sipmon 0.1.20
    [[ -z $INSTALL ]] || command -v eatmydata >/dev/null || install_debian eatmydata || true
    [[ -z $INSTALL ]] || need_valgrind || true
}

build_all
need_peers
if [[ -n $INSTALL ]]; then
    need_matplotlib
else
    # Whatever can draw, or a report without plots.
    PLOT_PYTHON=python3
    [[ ! -x $BENCH_DIR/python/bin/python ]] || PLOT_PYTHON=$BENCH_DIR/python/bin/python
fi
exec "$PLOT_PYTHON" scripts/bench --out "${OUT:-$BENCH_DIR/${SMOKE:+smoke-}report}" --programs "$PROGRAMS" --benches "$MESSAGES" \
    "${PEERS[@]}" "${ABSENT[@]}" "${PASSED[@]}"
