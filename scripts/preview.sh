#!/usr/bin/env bash
# The mails as people see them: `ringtap-notifier preview`, then pictures of some of them by a headless Chromium, 360 and 1200
# pixels wide, light and dark, for somebody to look at.
#
# scripts/preview.sh [FOLDER [TEMPLATES]]: FOLDER gets the mails and, in shots/, the pictures. PROGRAM names a built
# ringtap-notifier, CHROMIUM the browser (Debian: chromium, fonts-noto-cjk). Nothing is sent anywhere.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

OUT=${1:-$TARGET_DIR/preview}
TEMPLATES=${2:-}
CHROMIUM=${CHROMIUM:-chromium}
WIDTHS=(360 1200)
# Of each: language, form, caller, what sets it apart.
SHOWN=(
    call.known.CALLER_HUNG_UP
    call.known.FORWARDED_UNANSWERED
    call.withheld.BUSY
    call.others.named-by-caller
    call.others.named-by-network
    call.others.address
    call.rare.notes
    call.rare.long-name
    call.rare.two-accounts
    summary.known.NO_ANSWER
    summary.rare.talked-since
    digest.rare.mixed
    digest.rare.over-new-year
    digest.rare.clocks-change
)

command -v "$CHROMIUM" >/dev/null || die "there is no $CHROMIUM; install it (Debian: chromium), or name another by CHROMIUM"
if [[ -z ${PROGRAM:-} ]]; then
    cargo build -p ringtap-notifier
    PROGRAM=$TARGET_DIR/debug/ringtap-notifier
fi
config=$(mktemp)
profile=$(mktemp -d)
trap 'rm -rf "$config" "$profile"' EXIT
sed 's|^# settings_url.*|settings_url = "https://calls.office.test/me"|' engine/config/ringtap.example.toml >"$config"
"$PROGRAM" preview --config "$config" --out "$OUT" ${TEMPLATES:+--templates "$TEMPLATES"}
shots=$OUT/shots
mkdir -p "$shots"

# html FILE.eml: what a mail program draws.
html() {
    python3 -c '
import sys
from email import message_from_binary_file, policy
with open(sys.argv[1], "rb") as file:
    print(message_from_binary_file(file, policy=policy.default).get_body(("html",)).get_content())' "$1"
}

# shot PAGE NAME WIDTH SCHEME: SCHEME is 0 for dark, 1 for light, as Chromium counts them.
shot() {
    "$CHROMIUM" --headless=new --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$profile" \
        --blink-settings=preferredColorScheme="$4" --window-size="$3,720" \
        --screenshot="$shots/$2" "file://$1" >/dev/null 2>&1
    [[ -s $shots/$2 ]] || die "$CHROMIUM made no picture of $1"
}

made=0
for language in zh-CN en; do
    for shown in "${SHOWN[@]}"; do
        name=$language.$shown
        html "$OUT/$name.eml" >"$profile/page.html"
        for width in "${WIDTHS[@]}"; do
            shot "$profile/page.html" "$name-$width-dark.png" "$width" 0
            shot "$profile/page.html" "$name-$width-light.png" "$width" 1
            made=$((made + 2))
        done
    done
done
say "$made pictures in $shots; index.html in $OUT shows every mail"
