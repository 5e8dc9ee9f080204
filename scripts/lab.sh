#!/usr/bin/env bash
# A mirror port of its own: two network namespaces, a veth pair with several queues between them, and captures
# sent through it.
#
#   scripts/lab.sh up     [--name LAB] [--queues N] [--mtu M]
#   scripts/lab.sh replay [--name LAB] [--speed F | --rate R | --max] [OPTION...] FILE...
#   scripts/lab.sh exec   [--name LAB] COMMAND...
#   scripts/lab.sh status [--name LAB]
#   scripts/lab.sh down   [--name LAB]
#
# LAB is ringtap-lab if nothing is said. In namespace LAB-net the interface span0 stands for the switch; what is sent
# there arrives at mirror0 in LAB-tap, where the tap listens: `lab.sh exec ringtap run --interface mirror0 …`. Both have
# N queues (2) and MTU M (1600, which a full Ethernet frame with two VLAN tags fits into), no addresses, and nothing
# to say of their own. `replay` sends captures as they were captured, F times as fast, R frames in a second, or as fast
# as it goes; every other OPTION is one of `ringtap-testkit play`, which is built for it unless RINGTAP_TESTKIT names the
# program. An `up` that fails takes away what it made. Needs root. Only namespaces that `up` made are touched.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
source "$HERE/scripts/lib.sh"

NAME=ringtap-lab
QUEUES=2
MTU=1600
SPAN=span0
MIRROR=mirror0

usage() {
    sed -n 's/^#   //p' "$0" >&2
    exit 2
}

# The mark of a namespace that this script made travels with it: the alias of its loopback interface.
mark() {
    printf 'ringtap lab %s' "$NAME"
}

is_there() {
    [[ -e /run/netns/$1 ]]
}

is_ours() {
    ip -n "$1" link show dev lo 2>/dev/null | grep -qxF "    alias $(mark)"
}

need_root() {
    [[ $(id -u) -eq 0 ]] || die "network namespaces need root: run it with sudo"
    need_iproute2 || lack "no ip command: install iproute2"
}

# need_lab: everything but `up` wants one that is there.
need_lab() {
    need_root
    local ns
    for ns in "$NET" "$TAP"; do
        is_there "$ns" || die "$NAME is not up: scripts/lab.sh up --name $NAME"
        is_ours "$ns" || die "namespace $ns was not made by this script"
    done
}

# lack WHAT: ends it, because this machine cannot have a lab. test.sh knows these words.
lack() {
    die "not possible on this machine: $*"
}

# try WHAT COMMAND...: runs it; if it fails, says what that means and in whose words.
try() {
    local what=$1 told
    shift
    told=$("$@" 2>&1) && return
    case $told in
        *"not permitted"* | *"Permission denied"* | *"not supported"* | *"Unknown device type"* | *"Read-only"*) lack "$what: $told" ;;
        *) die "$what: ${told:-failed}" ;;
    esac
}

# What `up` made, for `undo` if it does not come to its end.
MADE=()

undo() {
    local status=$? ns
    [[ $status -ne 0 ]] || return 0
    for ns in "${MADE[@]}"; do
        ip netns del "$ns" || true
    done
}

make_namespace() {
    if is_there "$1"; then
        is_ours "$1" || die "namespace $1 is there and was not made by this script: choose another --name"
        return
    fi
    try "cannot make namespace $1; in a container it takes CAP_SYS_ADMIN" ip netns add "$1"
    MADE+=("$1")
    try "cannot mark namespace $1" ip -n "$1" link set dev lo alias "$(mark)"
    # Neighbour discovery and router solicitations would be frames that nobody sent.
    ip netns exec "$1" sh -c 'for which in all default; do
        switch=/proc/sys/net/ipv6/conf/$which/disable_ipv6
        [ ! -e $switch ] || echo 1 >$switch
    done'
}

# queues_of: how many queues the pair has, or nothing.
queues_of() {
    ip netns exec "$TAP" sh -c "ls -d /sys/class/net/$MIRROR/queues/rx-* 2>/dev/null" | wc -l
}

mtu_of() {
    ip netns exec "$TAP" cat "/sys/class/net/$MIRROR/mtu" 2>/dev/null || true
}

make_pair() {
    if [[ $(queues_of) -eq $QUEUES && $(mtu_of) == "$MTU" ]]; then
        return
    fi
    ip -n "$NET" link del dev $SPAN 2>/dev/null || true
    try "cannot make a veth pair with $QUEUES queues; the kernel must have veth (CONFIG_VETH)" \
        ip -n "$NET" link add dev $SPAN mtu "$MTU" numtxqueues "$QUEUES" numrxqueues "$QUEUES" type veth \
        peer name $MIRROR netns "$TAP" mtu "$MTU" numtxqueues "$QUEUES" numrxqueues "$QUEUES"
}

# Frames must arrive as they were sent. veth has receive offload off unless somebody switched that.
offloads_off() {
    if command -v ethtool >/dev/null; then
        ip netns exec "$TAP" ethtool -K $MIRROR gro off >/dev/null 2>&1 || true
    fi
}

up() {
    need_root
    trap undo EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    make_namespace "$NET"
    make_namespace "$TAP"
    make_pair
    offloads_off
    try "cannot set $MIRROR up" ip -n "$TAP" link set dev $MIRROR up
    # Where a capture serves its metrics.
    try "cannot set lo up" ip -n "$TAP" link set dev lo up
    try "cannot set $SPAN up" ip -n "$NET" link set dev $SPAN up
    say "$NAME is up: $SPAN in $NET, $MIRROR in $TAP, $QUEUES queues, MTU $MTU"
}

down() {
    need_root
    local ns was=
    for ns in "$NET" "$TAP"; do
        is_there "$ns" || continue
        was=up
        is_ours "$ns" || die "namespace $ns was not made by this script"
        # A process that is still in the namespace keeps it alive, and would keep the pair.
        ip -n "$ns" link del dev $SPAN 2>/dev/null || ip -n "$ns" link del dev $MIRROR 2>/dev/null || true
        try "cannot remove namespace $ns" ip netns del "$ns"
    done
    if [[ $was == up ]]; then
        say "$NAME is down"
    else
        say "$NAME was not up"
    fi
}

status() {
    need_root
    if ! is_there "$NET" || ! is_there "$TAP"; then
        say "$NAME is down"
        exit 1
    fi
    need_lab
    say "$NAME is up: $(queues_of) queues, MTU $(mtu_of)"
    ip -n "$NET" -s link show dev $SPAN
    ip -n "$TAP" -s -d link show dev $MIRROR
    ip netns pids "$TAP" | sed "s/^/process in $TAP: /"
}

# Sets TESTKIT: the sender that RINGTAP_TESTKIT names, or the one of these sources, which is built if it is not there or
# older. Without a Rust toolchain (under sudo, say) it is the one that was built last, which is told.
# build_sender: with the packages that the other scripts build too, for with others cargo compiles more anew.
build_sender() {
    [[ -x ${CARGO_TARGET_DIR:-$HERE/target}/release/ringtap-testkit ]] || say "building the sender (the first time takes some minutes)"
    cargo build --quiet --release --locked -p ringtap -p ringtap-notifier -p ringtap-testkit
}

need_testkit() {
    local kind candidate target=${CARGO_TARGET_DIR:-$HERE/target}
    TESTKIT=${RINGTAP_TESTKIT:-}
    if [[ -n $TESTKIT ]]; then
        [[ -x $TESTKIT ]] || die "RINGTAP_TESTKIT=$TESTKIT: no program"
        return
    fi
    if has_cargo; then
        (cd "$HERE" && need_rust >&2 && build_sender >&2) ||
            die "the sender does not build; RINGTAP_TESTKIT names one that is there"
        TESTKIT=$target/release/ringtap-testkit
        return
    fi
    for kind in release debug; do
        candidate=$target/$kind/ringtap-testkit
        if [[ -x $candidate && (-z $TESTKIT || $candidate -nt $TESTKIT) ]]; then
            TESTKIT=$candidate
        fi
    done
    [[ -n $TESTKIT ]] || die "no sender: cargo build --release -p ringtap -p ringtap-notifier -p ringtap-testkit"
    say "ATTENTION: no cargo here to tell whether $TESTKIT, of $(date -r "$TESTKIT" '+%F %T'), is that of these sources" >&2
}

replay() {
    need_lab
    need_testkit
    local pace=(--speed 1) options=()
    while [[ $# -gt 0 ]]; do
        case $1 in
            --speed | --rate)
                [[ $# -ge 2 ]] || usage
                pace=("$1" "$2")
                shift 2
                ;;
            --max)
                pace=()
                shift
                ;;
            *)
                options+=("$1")
                shift
                ;;
        esac
    done
    [[ ${#options[@]} -gt 0 ]] || usage
    exec ip netns exec "$NET" "$TESTKIT" play --interface $SPAN "${pace[@]}" "${options[@]}"
}

[[ $# -ge 1 ]] || usage
COMMAND=$1
shift
while [[ $# -ge 2 ]]; do
    case $COMMAND:$1 in
        *:--name) NAME=$2 ;;
        up:--queues) QUEUES=$2 ;;
        up:--mtu) MTU=$2 ;;
        *) break ;;
    esac
    shift 2
done
[[ $NAME =~ ^[a-z0-9][a-z0-9-]{0,39}$ ]] || die "--name $NAME: small letters, digits and hyphens, 40 at most"
[[ $QUEUES =~ ^[1-9][0-9]{0,2}$ ]] || die "--queues $QUEUES: is no number from 1 to 999"
[[ $MTU =~ ^[1-9][0-9]{1,4}$ ]] || die "--mtu $MTU: is no number of octets"
NET=$NAME-net
TAP=$NAME-tap

case $COMMAND in
    up | down | status)
        [[ $# -eq 0 ]] || usage
        "$COMMAND"
        ;;
    replay) replay "$@" ;;
    exec)
        [[ $# -ge 1 ]] || usage
        need_lab
        exec ip netns exec "$TAP" "$@"
        ;;
    *) usage ;;
esac
