#!/usr/bin/env bash
# The main job, whole: a capture goes in, the called people's mails come out.
#
#   scripts/demo.sh [--live] [--out DIR]
#
# Builds both programs, replays samples/sample.pcap into a journal, sends the mails to a mail server which it
# starts on a free loopback port, and shows them. Everything of the run lies in one folder, which is named at
# the end: DIR, which must be new or empty, or a fresh one in the folder for temporary files.
#
# --live (as root): the capture goes down a line of its own (scripts/lab.sh), five times as fast as it was captured, and
# both programs run while it does, as in production: `ringtap run` listens at the other end of the line, with timers
# shortened alike, and mails leave as calls end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

SERVER_PID=
LIVE=
LAB=ringtap-demo-$$
# How many times as fast as captured --live is: two minutes take 24 s.
SPEED=5
TAP_PID=
NOTIFIER_PID=

stop_server() {
    if [[ -n $SERVER_PID ]]; then
        stop_process "$SERVER_PID"
        SERVER_PID=
    fi
}

at_exit() {
    local status=$?
    [[ -z $NOTIFIER_PID ]] || stop_process "$NOTIFIER_PID"
    [[ -z $TAP_PID ]] || stop_process "$TAP_PID"
    [[ -z $LIVE ]] || scripts/lab.sh down --name "$LAB" >/dev/null || true
    stop_server
    [[ $status -eq 0 ]] || say "the demo failed; what it left lies in $OUT" >&2
}

# Starts the mail server and sets SMTP_PORT.
start_server() {
    "$SMTP_PYTHON" scripts/smtp_server.py --mails "$OUT/mails" --port-file "$OUT/smtp.port" \
        >"$OUT/smtp.log" 2>&1 &
    SERVER_PID=$!
    wait_for_port "$OUT/smtp.port" "$SERVER_PID" && return
    cat "$OUT/smtp.log" >&2
    die "the mail server did not start"
}

read_options() {
    OUT=
    while [[ $# -gt 0 ]]; do
        case $1 in
            --live)
                LIVE=yes
                shift
                ;;
            --out)
                [[ $# -ge 2 && -n $2 ]] || usage
                OUT=$2
                shift 2
                ;;
            *) usage ;;
        esac
    done
    [[ -z $LIVE || $(id -u) -eq 0 ]] || die "--live makes network namespaces, which takes root: run it with sudo"
    if [[ -z $OUT ]]; then
        OUT=$(mktemp -d "${TMPDIR:-/tmp}/ringtap-demo.XXXXXX")
    else
        mkdir -p -- "$OUT"
        [[ -z $(ls -A "$OUT") ]] || die "$OUT: not empty; name a new folder"
        OUT=$(cd -- "$OUT" && pwd)
    fi
}

usage() {
    say "usage: scripts/demo.sh [--live] [--out DIR]" >&2
    exit 2
}

# run COMMAND...: shows the command before it runs.
run() {
    say "\$ ${*##*/release/}"
    "$@"
}

# The capture from its file, then the mails.
from_file() {
    sed "s|^url = .*|url = \"smtp://127.0.0.1:$SMTP_PORT\"|" samples/ringtap.toml >"$OUT/ringtap.toml"
    run "${notifier[@]}" import samples/subscribers.csv
    run "$ringtap" replay --config "$OUT/ringtap.toml" --journal "$OUT/journal.db" --stats samples/sample.pcap
    RUST_LOG=warn run "${notifier[@]}" --journal "$OUT/journal.db" once
}

# wait_for_line WORD FILE PID: until the log FILE of process PID has the word.
wait_for_line() {
    local tries
    for ((tries = 0; tries < 200; tries++)); do
        grep -q "$1" "$2" 2>/dev/null && return
        kill -0 "$3" 2>/dev/null || break
        sleep 0.05
    done
    cat "$2" >&2
    die "${2##*/}: no $1"
}

# The capture from a line, while both programs run.
from_line() {
    local tap=(run --config "$OUT/ringtap.toml" --journal "$OUT/journal.db" --interface mirror0 --cores 0 --stats)
    "$TARGET_DIR/release/ringtap-testkit" fixtures --output "$OUT" --smtp-url "smtp://127.0.0.1:$SMTP_PORT" \
        --speed "$SPEED"
    run scripts/lab.sh up --name "$LAB"
    run "${notifier[@]}" import samples/subscribers.csv
    say "\$ scripts/lab.sh exec --name $LAB ringtap ${tap[*]} &"
    scripts/lab.sh exec --name "$LAB" "$ringtap" "${tap[@]}" 2>"$OUT/ringtap.log" &
    TAP_PID=$!
    wait_for_line capturing "$OUT/ringtap.log" "$TAP_PID"
    cat "$OUT/ringtap.log"
    say "\$ ${notifier[*]##*/release/} --journal $OUT/journal.db run &"
    "${notifier[@]}" --journal "$OUT/journal.db" run 2>"$OUT/notifier.log" &
    NOTIFIER_PID=$!
    export RINGTAP_TESTKIT=$TARGET_DIR/release/ringtap-testkit
    run scripts/lab.sh replay --name "$LAB" --speed "$SPEED" samples/sample.pcap
    # The last call settles.
    sleep 2
    say "$(find "$OUT/mails" -name '*.eml' | wc -l) mails have come while it ran; stopping both programs"
    kill -TERM "$TAP_PID"
    wait "$TAP_PID" || die "ringtap run failed: $(tail -n 3 "$OUT/ringtap.log")"
    TAP_PID=
    stop_process "$NOTIFIER_PID"
    NOTIFIER_PID=
    # What was recorded at the very end.
    RUST_LOG=warn run "${notifier[@]}" --journal "$OUT/journal.db" once
    sed -n '/^elapsed/,$p' "$OUT/ringtap.log"
}

read_options "$@"
trap at_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

need_rust
need_c_compiler
need_capture_tools
need_aiosmtpd
say "building (the first time takes some minutes)"
# The same packages as in the other scripts: for a choice of others cargo compiles more anew.
quiet=--quiet
[[ ! -t 2 ]] || quiet=
cargo build $quiet --release --locked -p ringtap -p ringtap-notifier -p ringtap-testkit

began=$(now_ms)
ringtap=$TARGET_DIR/release/ringtap
notifier=("$TARGET_DIR/release/ringtap-notifier" --config "$OUT/ringtap.toml" --database "$OUT/notifier.db")
start_server

say
if [[ -n $LIVE ]]; then
    from_line
else
    from_file
fi
stop_server

say
"$SMTP_PYTHON" scripts/show_mails.py --expect samples/expected-mails.txt "$OUT/mails"
say
say "from capture to mails in $(seconds_since "$began"); all of it lies in $OUT"
