#!/usr/bin/env bash
# People's own page in a real browser, without scripts: the sample's calls are played, somebody opens the link of a mail, sees what was
# missed, marks it, chooses, unsubscribes; then further calls are played, of which nobody may be told any more.
#
#   scripts/page.sh [--out DIR]
#
# Takes Debian's Chromium and Playwright from PyPI. All of it lies in DIR, which must be new or empty, or in a fresh folder for temporary
# files; pictures of every page, narrow and wide, light and dark, in both languages, in its folder shots.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

OUT=
# What was started, to be ended.
PIDS=()

usage() {
    sed -n 's/^#   //p' "$0" >&2
    exit 2
}

at_exit() {
    local status=$? pid
    trap - INT TERM
    for pid in "${PIDS[@]}"; do
        stop_process "$pid"
    done
    [[ $status -eq 0 ]] || say "failed; what it left lies in $OUT" >&2
}

while [[ $# -gt 0 ]]; do
    case $1 in
        --out)
            [[ $# -ge 2 && -n $2 ]] || usage
            OUT=$2
            shift 2
            ;;
        *) usage ;;
    esac
done
if [[ -z $OUT ]]; then
    OUT=$(mktemp -d "${TMPDIR:-/tmp}/ringtap-page.XXXXXX")
else
    mkdir -p -- "$OUT"
    [[ -z $(ls -A "$OUT") ]] || die "$OUT: not empty; name a new folder"
    OUT=$(cd -- "$OUT" && pwd)
fi
need_browser || die "takes Chromium, a font with Chinese (Debian: chromium, fonts-wqy-microhei) and Playwright (PyPI)"
need_aiosmtpd
PROGRAMS=${RINGTAP_PROGRAMS:-}
if [[ -z $PROGRAMS ]]; then
    need_rust
    need_c_compiler
    need_capture_tools
    cargo build --quiet --workspace --locked
    PROGRAMS=$(realpath "$TARGET_DIR")/debug
fi
trap at_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$SMTP_PYTHON" scripts/smtp_server.py --mails "$OUT/mails" --port-file "$OUT/smtp.port" >"$OUT/smtp.log" 2>&1 &
PIDS+=($!)
wait_for_port "$OUT/smtp.port" $! || die "the mail server did not start: $(tail -n 1 "$OUT/smtp.log")"

# Two ports that are free now: of the page, whose address has to be known beforehand, and of the metrics.
read -r PAGE_PORT METRICS_PORT < <(python3 - <<'PYTHON'
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(one.getsockname()[1] for one in sockets))
PYTHON
)
sed -e "s|^url = .*|url = \"smtp://127.0.0.1:$SMTP_PORT\"|" \
    -e "s|^\[notifier\]|&\npublic_url = \"http://127.0.0.1:$PAGE_PORT/\"|" samples/ringtap.toml >"$OUT/ringtap.toml"
cat >>"$OUT/ringtap.toml" <<TOML
[notifier.page]
listen = "127.0.0.1:$PAGE_PORT"
[notifier.webhook]
url = "http://127.0.0.1:9/"
TOML
notifier=("$PROGRAMS/ringtap-notifier" --config "$OUT/ringtap.toml" --journal "$OUT/journal.db" --database "$OUT/notifier.db")
"${notifier[@]}" import samples/subscribers.csv
"$PROGRAMS/ringtap" replay --config "$OUT/ringtap.toml" --journal "$OUT/journal.db" samples/sample.pcap
# The missed calls of the first, and of the second.
for row in S08 S05; do
    "$PROGRAMS/ringtap-testkit" scenario "$row" --output "$OUT/$row.pcap"
done
"${notifier[@]}" --metrics "127.0.0.1:$METRICS_PORT" run 2>"$OUT/notifier.log" &
PIDS+=($!)

"$BROWSER_PYTHON" scripts/page/visit.py --mails "$OUT/mails" --shots "$OUT/shots" --metrics "http://127.0.0.1:$METRICS_PORT/metrics" \
    --play "$PROGRAMS/ringtap" replay --config "$OUT/ringtap.toml" --journal "$OUT/journal.db"
say "pictures lie in $OUT/shots"
