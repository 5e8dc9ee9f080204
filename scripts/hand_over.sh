#!/usr/bin/env bash
# How many frames miss capture when one engine takes over from another: a chain of engines on a line of its own, each of which takes over
# from the one before, while frames come at a steady rate. What was sent has to be what all of them took together, off their queues and over the bridge.
#
#   scripts/hand_over.sh [--changes N] [--rate R] [--modes LIST] [--queues Q] [--user NAME]
#
# N changes (5) for each of the modes native and generic (`native,generic`), at R frames in a second (5000), on Q queues (2). Engines become the user NAME (root).
# It prints a line for each mode: frames sent, taken off queues, over the bridge, missed (the difference), lost as the engines tell it, and how long queues were with nobody at
# the least and at the most. Exit 1 if a frame was missed. Needs root, for network namespaces of its own; RINGTAP and RINGTAP_TESTKIT name programs, else those of
# the last release build are taken.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$HERE"
# shellcheck source=scripts/lib.sh
source "$HERE/scripts/lib.sh"

CHANGES=5
RATE=5000
MODES=native,generic
QUEUES=2
ENGINE_USER=root

usage() {
    sed -n 's/^#   //p' "$0" >&2
    exit 2
}

while [[ $# -gt 0 ]]; do
    [[ $# -ge 2 ]] || usage
    case $1 in
        --changes) CHANGES=$2 ;;
        --rate) RATE=$2 ;;
        --modes) MODES=$2 ;;
        --queues) QUEUES=$2 ;;
        --user) ENGINE_USER=$2 ;;
        *) usage ;;
    esac
    shift 2
done
[[ $(id -u) -eq 0 ]] || die "network namespaces need root: run it with sudo"
RINGTAP=${RINGTAP:-$TARGET_DIR/release/ringtap}
RINGTAP_TESTKIT=${RINGTAP_TESTKIT:-$TARGET_DIR/release/ringtap-testkit}
export RINGTAP_TESTKIT
[[ -x $RINGTAP && -x $RINGTAP_TESTKIT ]] || die "no $RINGTAP and $RINGTAP_TESTKIT: cargo build --release -p ringtap -p ringtap-testkit"

LAB=rt-hand-over-$$
WORK=$(mktemp -d)
# For the journal, which it makes there.
chown "$ENGINE_USER" "$WORK"
ENGINES=()
PLAYER=

tidy_up() {
    local pid
    for pid in "${ENGINES[@]}" $PLAYER; do
        kill "$pid" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    scripts/lab.sh down --name "$LAB" >/dev/null || true
    rm -rf "$WORK"
}
trap tidy_up EXIT

# Calls last as long as in life; timers are short, for none of them matters here.
cat >"$WORK/ringtap.toml" <<'TOML'
[timers]
reorder_ms = 20
settle_ms = 50
retry_ms = 50
successor_ms = 50
noresp_ms = 200
noresp_gm_ms = 200
ring_max_ms = 300
tombstone_ms = 100
leg_ms = 50
TOML
"$RINGTAP_TESTKIT" sample --output "$WORK/sample.pcap" >/dev/null

# start NUMBER MODE OPTION...: an engine in the background, whose log is engine-NUMBER.
start() {
    local number=$1 mode=$2
    shift 2
    ip netns exec "$LAB-tap" "$RINGTAP" run --interface mirror0 --config "$WORK/ringtap.toml" --journal "$WORK/journal.db" \
        --hand-over "$WORK" --user "$ENGINE_USER" --xdp-mode "$mode" --stats "$@" 2>"$WORK/engine-$number" &
    ENGINES+=($!)
}

# wait_for NUMBER WORDS: until the engine has said them; fails after a minute.
wait_for() {
    local tries
    for ((tries = 0; tries < 1200; tries++)); do
        ! grep -qF "$2" "$WORK/engine-$1" || return 0
        sleep 0.05
    done
    cat "$WORK/engine-$1" >&2
    die "engine $1 does not say: $2"
}

# sum PATTERN: of the numbers behind it in all logs.
sum() {
    sed -nE "s/^.*$1.*\$/\\1/p" "$WORK"/engine-* | awk '{ all += $1 } END { print all + 0 }'
}

measure() {
    local mode=$1 number sent taken bridged lost missed times
    rm -f "$WORK"/engine-* "$WORK"/journal.db* "$WORK"/*.sock
    ENGINES=()
    scripts/lab.sh up --name "$LAB" --queues "$QUEUES" >/dev/null
    start 0 "$mode"
    wait_for 0 "capturing on"
    # More than will be sent: it is told to end when the last change is over.
    ip netns exec "$LAB-net" "$RINGTAP_TESTKIT" play --interface span0 --rate "$RATE" --loop 100000 "$WORK/sample.pcap" >/dev/null 2>&1 &
    PLAYER=$!
    for ((number = 1; number <= CHANGES; number++)); do
        sleep 0.5
        start "$number" "$mode" --take-over --take-over-after 500ms
        wait_for "$number" "took over:"
    done
    sleep 0.5
    kill "$PLAYER"
    wait "$PLAYER" 2>/dev/null || true
    PLAYER=
    sleep 0.5
    kill "${ENGINES[-1]}"
    wait "${ENGINES[@]}" || die "an engine failed: $(cat "$WORK"/engine-*)"
    # What the line itself counted.
    sent=$(ip netns exec "$LAB-net" cat /proc/net/dev | awk '$1 == "span0:" { print $11 }')
    taken=$(sum 'socket +received ([0-9]+)')
    bridged=$(sum 'one before, ([0-9]+) over the bridge')
    lost=$(sum 'over the bridge, ([0-9]+) lost')
    missed=$((sent - taken - bridged))
    times=$(sed -nE 's/^.*changed hands in ([0-9]+) ms.*$/\1/p' "$WORK"/engine-* | sort -n | sed -n '1p;$p' | paste -sd- -)
    printf '%-8s %8d %9d %10d %8d %7d %6d  %s\n' "$mode" "$CHANGES" "$sent" "$taken" "$bridged" "$missed" "$lost" "$times ms"
    scripts/lab.sh down --name "$LAB" >/dev/null
    [[ $missed -eq 0 ]] || MISSED=1
}

MISSED=0
say "$RATE frames/s, $QUEUES queues, copy mode"
printf '%-8s %8s %9s %10s %8s %7s %6s  %s\n' mode changes sent queues bridge missed lost "nobody's"
for mode in ${MODES//,/ }; do
    measure "$mode"
done
exit "$MISSED"
