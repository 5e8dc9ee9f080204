#!/usr/bin/env bash
# The long form of the engine's kill test: `ringtap replay` into a journal is killed (SIGKILL) at random moments and started
# again over the same file; no record may be lost, doubled or changed.
#
#   scripts/kill_engine.sh [KILLS [SEED]]
#
# KILLS is 200 if not given. Prints the seed, which makes the same kills again as far as time allows.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

RINGTAP_KILLS=${1:-200}
export RINGTAP_KILLS
if [[ $# -ge 2 ]]; then
    export RINGTAP_SEED=$2
fi
exec cargo test -p ringtap --test kill -- --nocapture
