#!/usr/bin/env bash
# How right the mails are: many calls at once go in as a capture, and the mails that come out are compared with
# what must come.
#
#   scripts/workload.sh [--runs N] [--keep DIR] [--examples N] [--min-precision P] [--min-recall P] [OPTION...]
#
# Builds both programs and the generator, makes a workload (every other OPTION is one of `ringtap-testkit
# workload`: --calls, --cps, --users, --seed, --loss, --duplication, --reorder, --mix …), runs it through replay,
# journal, notifier and SMTP to a server that it starts on a free loopback port, and prints precision and recall,
# by kind of call, with examples of what is wrong and a Markdown row for docs/testing.md. --runs N does so for N
# seeds, from --seed upwards. --keep DIR leaves the files of the last run in DIR, which must be new or empty.
# Ends with status 1 if a run has less than --min-precision or --min-recall percent.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

RUNS=1
KEEP=
CALLS=10000
SEED=1
CONDITIONS=()
FOR_WORKLOAD=()
FOR_SCORE=()
SINK_PID=
ROWS=()

usage() {
    sed -n 's/^#   //p' "$0" >&2
    exit 2
}

read_options() {
    while [[ $# -gt 0 ]]; do
        case $1 in
            --runs | --keep | --examples | --min-precision | --min-recall | --calls | --cps | --users | --seed | \
                --loss | --duplication | --reorder | --noise | --mix) [[ $# -ge 2 ]] || usage ;;
            *) usage ;;
        esac
        case $1 in
            --runs) RUNS=$2 ;;
            --keep) KEEP=$2 ;;
            --examples | --min-precision | --min-recall) FOR_SCORE+=("$1" "$2") ;;
            --calls) CALLS=$2 ;;
            --seed) SEED=$2 ;;
            *)
                FOR_WORKLOAD+=("$1" "$2")
                CONDITIONS+=("${1#--} $2")
                ;;
        esac
        shift 2
    done
}

stop_sink() {
    if [[ -n $SINK_PID ]]; then
        stop_process "$SINK_PID"
        SINK_PID=
    fi
}

at_exit() {
    stop_sink
    rm -rf "$SCRATCH"
}

# Starts the mail server of a run in folder $1 and sets SMTP_PORT.
start_sink() {
    "$TESTKIT" sink --mails "$1/mails.tsv" --port-file "$1/smtp.port" &
    SINK_PID=$!
    wait_for_port "$1/smtp.port" "$SINK_PID" || die "the mail server did not start"
}

# timed NAME COMMAND...: says how long it took.
timed() {
    local name=$1 began
    shift
    began=$(now_ms)
    "$@" || die "$name failed"
    say "-- $name: $(seconds_since "$began")"
}

# One run with seed $1 in folder $2. Returns the score's status.
run() {
    local seed=$1 dir=$2 status=0 label notifier
    start_sink "$dir"
    timed "generate" "$TESTKIT" workload --calls "$CALLS" --seed "$seed" "${FOR_WORKLOAD[@]}" \
        --output "$dir/workload.pcap" --truth "$dir/truth.tsv" --office "$dir" \
        --smtp-url "smtp://127.0.0.1:$SMTP_PORT"
    notifier=("$TARGET_DIR/release/ringtap-notifier" --config "$dir/ringtap.toml")
    timed "replay" "$TARGET_DIR/release/ringtap" replay --config "$dir/ringtap.toml" \
        --journal "$dir/journal.db" "$dir/workload.pcap"
    timed "import" "${notifier[@]}" import "$dir/subscribers.csv"
    RUST_LOG=warn timed "mail" "${notifier[@]}" once
    stop_sink
    label="$CALLS calls, seed $seed"
    ((${#CONDITIONS[@]} == 0)) || label+=$(printf ', %s' "${CONDITIONS[@]}")
    "$TESTKIT" score --truth "$dir/truth.tsv" --mails "$dir/mails.tsv" --label "$label" "${FOR_SCORE[@]}" \
        >"$dir/score.txt" || status=$?
    cat "$dir/score.txt"
    ROWS+=("$(tail -n 1 "$dir/score.txt")")
    return "$status"
}

read_options "$@"
if [[ -n $KEEP ]]; then
    mkdir -p -- "$KEEP"
    KEEP=$(cd -- "$KEEP" && pwd)
    [[ -z $(ls -A "$KEEP") ]] || die "$KEEP: not empty; name a new folder"
fi
SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/ringtap-workload.XXXXXX")
trap at_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

need_rust
need_c_compiler
need_capture_tools
say "building (the first time takes some minutes)"
cargo build --quiet --release --locked -p ringtap -p ringtap-notifier -p ringtap-testkit
TESTKIT=$TARGET_DIR/release/ringtap-testkit

failed=0
for ((index = 0; index < RUNS; index++)); do
    dir=$SCRATCH/$index
    mkdir "$dir"
    say "== run $((index + 1)) of $RUNS"
    run $((SEED + index)) "$dir" || failed=1
    if ((index == RUNS - 1)) && [[ -n $KEEP ]]; then
        mv "$dir"/* "$KEEP"
    fi
    rm -rf "$dir"
done
say
say "| run | mails that must come | wrong | precision | recall | precision with reason | recall with reason |"
say "|---|---:|---:|---:|---:|---:|---:|"
printf '%s\n' "${ROWS[@]}"
exit "$failed"
