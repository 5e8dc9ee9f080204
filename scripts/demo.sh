#!/usr/bin/env bash
# The main job, whole: a capture goes in, the called people's mails come out.
#
#   scripts/demo.sh [--out DIR]
#
# Builds both programs, replays samples/sample.pcap into a journal, sends the mails to a mail server which it
# starts on a free loopback port, and shows them. Everything of the run lies in one folder, which is named at
# the end: DIR, which must be new or empty, or a fresh one in the folder for temporary files.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

SERVER_PID=

stop_server() {
    if [[ -n $SERVER_PID ]]; then
        stop_process "$SERVER_PID"
        SERVER_PID=
    fi
}

at_exit() {
    local status=$?
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

folder_for_run() {
    if [[ $# -eq 0 ]]; then
        OUT=$(mktemp -d "${TMPDIR:-/tmp}/ringtap-demo.XXXXXX")
    elif [[ $# -eq 2 && $1 == --out && -n $2 ]]; then
        mkdir -p -- "$2"
        OUT=$(cd -- "$2" && pwd)
        [[ -z $(ls -A "$OUT") ]] || die "$2: not empty; name a new folder"
    else
        say "usage: scripts/demo.sh [--out DIR]" >&2
        exit 2
    fi
}

# run COMMAND...: shows the command before it runs.
run() {
    say "\$ ${*##*/release/}"
    "$@"
}

folder_for_run "$@"
trap at_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

need_rust
need_c_compiler
need_capture_tools
need_aiosmtpd
say "building (the first time takes some minutes)"
cargo build --quiet --release --locked -p ringtap -p ringtap-notifier

began=$(now_ms)
ringtap=$TARGET_DIR/release/ringtap
notifier=("$TARGET_DIR/release/ringtap-notifier" --config "$OUT/ringtap.toml" --database "$OUT/notifier.db")
start_server
sed "s|^url = .*|url = \"smtp://127.0.0.1:$SMTP_PORT\"|" samples/ringtap.toml >"$OUT/ringtap.toml"

say
run "${notifier[@]}" import samples/subscribers.csv
run "$ringtap" replay --config "$OUT/ringtap.toml" --journal "$OUT/journal.db" --stats samples/sample.pcap
RUST_LOG=warn run "${notifier[@]}" --journal "$OUT/journal.db" once
stop_server

say
"$SMTP_PYTHON" scripts/show_mails.py --expect samples/expected-mails.txt "$OUT/mails"
say
say "from capture to mails in $(seconds_since "$began"); all of it lies in $OUT"
