#!/usr/bin/env bash
# A real core on a mirror port: Kamailio as registrar and forking, record-routing proxy, SIPp for the people who call and are called, both
# programs of Ringtap at the mirror port. The mails that come have to be those that follow from what SIPp did.
#
#   scripts/core.sh [--calls N] [--out DIR]
#
# N calls of each kind (3): answered, busy, declined, rung out, given up, forked, challenged, to a phone that is off or silent. As root. All
# of it lies in DIR, which must be new or empty, or in a fresh folder for temporary files. Four network namespaces are made and removed;
# nothing outside them is touched. tc mirrors both sides of the proxy, in both directions.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

CALLS=3
OUT=
LAB=ringtap-core-$$
NET=$LAB-net
CALLERS=$LAB-callers
CALLEES=$LAB-callees
# The proxy's address on either side, and the phones'.
NEAR=10.77.1.1
FAR=10.77.2.1
CALLER=10.77.1.2
CALLEE=10.77.2.2
# What was started, to be ended.
PIDS=()

usage() {
    sed -n 's/^#   //p' "$0" >&2
    exit 2
}

at_exit() {
    local status=$? pid ns
    trap - INT TERM
    for pid in "${PIDS[@]}"; do
        stop_process "$pid"
    done
    for ns in "$CALLERS" "$CALLEES"; do
        ip netns del "$ns" 2>/dev/null || true
    done
    scripts/lab.sh down --name "$LAB" >/dev/null || true
    [[ $status -eq 0 ]] || say "failed; what it left lies in $OUT" >&2
}

in_net() {
    ip netns exec "$NET" "$@"
}

# side NAMESPACE ADDRESS INTERFACE ADDRESS: a line from the core to phones, mirrored.
side() {
    local ns=$1 address=$2 interface=$3 ours=$4 direction
    ip netns add "$ns"
    ip -n "$NET" link add dev "$interface" type veth peer name eth0 netns "$ns"
    for at in "$NET" "$ns"; do
        ip netns exec "$at" sh -c 'for which in all default; do
            switch=/proc/sys/net/ipv6/conf/$which/disable_ipv6
            [ ! -e $switch ] || echo 1 >$switch
        done'
        ip -n "$at" link set dev lo up
    done
    ip -n "$NET" address add "$ours/24" dev "$interface"
    ip -n "$ns" address add "$address/24" dev eth0
    ip -n "$NET" link set dev "$interface" up
    ip -n "$ns" link set dev eth0 up
    in_net tc qdisc add dev "$interface" clsact
    for direction in ingress egress; do
        in_net tc filter add dev "$interface" "$direction" protocol all u32 match u32 0 0 action mirred egress mirror dev span0
    done
}

# phone USER SCENARIO PORT [STATUS]: starts a phone and notes that it is to be registered.
phone() {
    local user=$1 scenario=$2 port=$3 status=${4:-} file
    file=$OUT/core/$scenario-$port.xml
    sed "s/STATUS/$status/" "scripts/core/$scenario.xml" >"$file"
    sipp "$CALLEES" -sf "$file" -i "$CALLEE" -p "$port" "$FAR:5060"
    PIDS+=("$SIPP_PID")
    printf '%s;%s\n' "$user" "$port" >>"$OUT/core/phones.csv"
}

# sipp NAMESPACE OPTION...: starts SIPp and sets SIPP_PID.
sipp() {
    local ns=$1
    shift
    (cd "$OUT/core" && exec ip netns exec "$ns" sipp -nostdin -trace_err -timeout 60s -timeout_error "$@") \
        >>"$OUT/core/sipp.log" 2>&1 &
    SIPP_PID=$!
}

# calls CALLER USER SCENARIO [FINAL]: N calls, in the background.
calls() {
    local caller=$1 user=$2 scenario=$3 final=${4:-} file
    file=$OUT/core/$scenario-$user.xml
    sed "s/FINAL/$final/" "scripts/core/$scenario.xml" >"$file"
    sipp "$CALLERS" -sf "$file" -i "$CALLER" -p "$((5200 + ${#CALLING[@]}))" -s "$user" -key caller "$caller" -au "$caller" -ap secret \
        -m "$CALLS" -r "$CALLS" "$NEAR:5060"
    CALLING+=("$SIPP_PID")
}

# What SIPp says of calls that did not go as their scenario says: the folder may be gone with the machine that ran this.
sipp_failed() {
    local log
    for log in "$OUT"/core/*_errors.log; do
        grep -q 'Aborting call' "$log" || continue
        say "${log##*/}:" >&2
        # Not by head, which would kill grep and with it this script.
        grep -m 3 -A 1 'Aborting call' "$log" >&2
    done
    die "a call of SIPp did not go as its scenario says: see $OUT/core"
}

# expect USER REASON CALLER: one mail for each call.
expect() {
    local n
    for ((n = 0; n < CALLS; n++)); do
        say "${1#+}@office.test $2 $3" >>"$OUT/expected-mails.txt"
    done
}

while [[ $# -gt 0 ]]; do
    case $1 in
        --calls | --out)
            [[ $# -ge 2 && -n $2 ]] || usage
            if [[ $1 == --calls ]]; then CALLS=$2; else OUT=$2; fi
            shift 2
            ;;
        *) usage ;;
    esac
done
[[ $CALLS =~ ^[1-9][0-9]{0,2}$ ]] || die "--calls $CALLS: a number from 1 to 999"
[[ $(id -u) -eq 0 ]] || die "network namespaces need root: run it with sudo"
if [[ -z $OUT ]]; then
    OUT=$(mktemp -d "${TMPDIR:-/tmp}/ringtap-core.XXXXXX")
else
    mkdir -p -- "$OUT"
    [[ -z $(ls -A "$OUT") ]] || die "$OUT: not empty; name a new folder"
    OUT=$(cd -- "$OUT" && pwd)
fi
need_iproute2
need_core || die "takes Kamailio and SIPp (Debian: kamailio, sip-tester)"
need_aiosmtpd
PROGRAMS=${RINGTAP_PROGRAMS:-}
if [[ -z $PROGRAMS ]]; then
    need_rust
    need_c_compiler
    need_capture_tools
    cargo build --quiet --workspace --locked
    PROGRAMS=$(realpath "$TARGET_DIR")/debug
fi
mkdir "$OUT/core"
trap at_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$SMTP_PYTHON" scripts/smtp_server.py --mails "$OUT/mails" --port-file "$OUT/smtp.port" >"$OUT/smtp.log" 2>&1 &
PIDS+=($!)
wait_for_port "$OUT/smtp.port" $! || die "the mail server did not start: $(tail -n 1 "$OUT/smtp.log")"

scripts/lab.sh up --name "$LAB"
side "$CALLERS" "$CALLER" near "$NEAR"
side "$CALLEES" "$CALLEE" far "$FAR"

cat >"$OUT/ringtap.toml" <<TOML
[network]
pcscf = ["$NEAR", "$FAR"]
ue = ["$CALLER", "$CALLEE"]
home_domains = ["ims.office.test"]
[numbering]
country = "86"
area = "25"
[notifier.smtp]
url = "smtp://127.0.0.1:$SMTP_PORT"
from = "Missed calls <no-reply@office.test>"
[notifier.delivery]
coalesce_window_s = 0
mails_per_hour_max = 0
TOML
notifier=("$PROGRAMS/ringtap-notifier" --config "$OUT/ringtap.toml" --journal "$OUT/journal.db" --database "$OUT/notifier.db")

# Who is called: each kind of end has a number of its own.
ANSWERS=+862583092001 BUSY=+862583092002 DECLINES=+862583092003 RINGS_OUT=+862583092004 GIVEN_UP=+862583092005
FORK_ANSWERED=+862583092006 FORK_RINGS=+862583092007 FORK_BUSY=+862583092008 CHALLENGED=+862583092009 OFF=+862583092010 SILENT=+862583092011 FORK_OUT=+862583092012
{
    say user,name,email,locale,timezone,subscribed,account,label,aliases
    for user in $ANSWERS $BUSY $DECLINES $RINGS_OUT $GIVEN_UP $FORK_ANSWERED $FORK_RINGS $FORK_BUSY $CHALLENGED $OFF $SILENT $FORK_OUT; do
        say "u${user#+},${user#+},${user#+}@office.test,en,Asia/Shanghai,yes,$user,,"
    done
} >"$OUT/people.csv"
"${notifier[@]}" import "$OUT/people.csv"

scripts/lab.sh exec --name "$LAB" "$PROGRAMS/ringtap" run --config "$OUT/ringtap.toml" --journal "$OUT/journal.db" \
    --interface mirror0 --cores 0 --stats 2>"$OUT/ringtap.log" &
TAP_PID=$!
PIDS+=("$TAP_PID")
"${notifier[@]}" run 2>"$OUT/notifier.log" &
NOTIFIER_PID=$!
PIDS+=("$NOTIFIER_PID")
for ((tries = 0; tries < 400; tries++)); do
    ! grep -q capturing "$OUT/ringtap.log" || break
    kill -0 "$TAP_PID" 2>/dev/null || die "ringtap run ended: $(tail -n 3 "$OUT/ringtap.log")"
    sleep 0.05
done

sed "s/CALLERS/$NEAR/; s/CALLEES/$FAR/" scripts/core/kamailio.cfg >"$OUT/core/kamailio.cfg"
ip netns exec "$NET" kamailio -DD -E -f "$OUT/core/kamailio.cfg" -P "$OUT/core/kamailio.pid" -Y "$OUT/core" \
    >"$OUT/core/kamailio.log" 2>&1 &
PIDS+=($!)

say SEQUENTIAL >"$OUT/core/phones.csv"
phone $ANSWERS answers 5071
phone $BUSY busy 5072
phone $DECLINES refuses 5073 "603 Decline"
phone $RINGS_OUT rings 5074
phone $GIVEN_UP rings 5075
phone $FORK_ANSWERED answers 5076
phone $FORK_ANSWERED rings 5077
phone $FORK_RINGS rings 5078
phone $FORK_RINGS rings 5079
phone $FORK_BUSY busy 5080
phone $FORK_BUSY rings 5081
phone $CHALLENGED rings 5082
phone $SILENT silent 5083
phone $FORK_OUT refuses 5084 "486 Busy Here"
phone $FORK_OUT rings 5085
registered=$(($(wc -l <"$OUT/core/phones.csv") - 1))
sipp "$CALLEES" -sf "$PWD/scripts/core/register.xml" -inf "$OUT/core/phones.csv" -i "$CALLEE" -p 5070 -m "$registered" -r 50 "$FAR:5060"
wait "$SIPP_PID" || die "the phones were not registered: $(tail -n 3 "$OUT"/core/*errors.log)"

CALLING=()
calls +8613900000010 $ANSWERS talks
calls +8613900000020 $BUSY waits 486
calls +8613900000030 $DECLINES waits 603
calls +8613900000040 $RINGS_OUT waits 408
calls +8613900000050 $GIVEN_UP gives_up 487
calls +8613900000060 $FORK_ANSWERED talks
calls +8613900000070 $FORK_RINGS gives_up_on_two 487
calls +8613900000080 $FORK_BUSY gives_up 486
calls +8613900000099 $CHALLENGED proves
calls +8613900000100 $OFF waits 480
calls +8613900000110 $SILENT waits 408
calls +8613900000120 $FORK_OUT waits 408
: >"$OUT/expected-mails.txt"
# Who declined knows of the call, and so does who answered.
expect $BUSY BUSY +8613900000020
expect $RINGS_OUT NO_ANSWER +8613900000040
expect $GIVEN_UP CALLER_HUNG_UP +8613900000050
expect $FORK_RINGS CALLER_HUNG_UP +8613900000070
expect $FORK_BUSY CALLER_HUNG_UP +8613900000080
expect $CHALLENGED CALLER_HUNG_UP +8613900000099
expect $OFF UNREACHABLE +8613900000100
expect $SILENT UNREACHABLE +8613900000110
# One phone was declined, the other rang on.
expect $FORK_OUT NO_ANSWER +8613900000120
for pid in "${CALLING[@]}"; do
    wait "$pid" || sipp_failed
done
say "SIPp is through: $((${#CALLING[@]} * CALLS)) calls"

# The last call settles, and its mail leaves.
wanted=$(wc -l <"$OUT/expected-mails.txt")
for ((tries = 0; tries < 400; tries++)); do
    [[ $(find "$OUT/mails" -name '*.eml' | wc -l) -lt $wanted ]] || break
    sleep 0.05
done
# Long enough for one that must not come.
sleep 3
kill -TERM "$TAP_PID"
wait "$TAP_PID" || die "ringtap run failed: $(tail -n 3 "$OUT/ringtap.log")"
stop_process "$NOTIFIER_PID"
RUST_LOG=warn "${notifier[@]}" once
"$SMTP_PYTHON" scripts/show_mails.py --expect "$OUT/expected-mails.txt" "$OUT/mails" >"$OUT/shown.txt" || {
    cat "$OUT/shown.txt"
    die "the mails are not those that were expected"
}
say "$wanted mails, exactly those that follow from what SIPp did"
