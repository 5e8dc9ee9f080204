#!/usr/bin/env bash
# The long form of the notifier's kill test: `ringtap-notifier run` is killed (SIGKILL) at random moments and started again, in
# front of a mail server that fails at random, while records come in; no mail may be lost, or come twice under two names.
#
#   scripts/kill_notifier.sh [KILLS [SEED]]
#
# KILLS is 200 if not given. Prints the seed, which makes the same choices again as far as time allows, and how many mails came
# twice.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

RINGTAP_KILLS=${1:-200}
export RINGTAP_KILLS
if [[ $# -ge 2 ]]; then
    export RINGTAP_SEED=$2
fi
exec cargo test -p ringtap-notifier --test faults kill -- --nocapture --test-threads 1
