#!/usr/bin/env bash
# Mails through a real Postfix, in an instance of its own: STARTTLS with an authority of our own, a password, delivery into a
# maildir, the DKIM signature checked by dkimpy, a refused recipient, and a server that is down for a while.
#
#   scripts/postfix.sh
#
# As root, on Debian. Installs what it takes, without a configuration and without starting a service: the test's instance has its
# files in a temporary folder and a port of the loopback, and ends with the test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

[[ $(id -u) -eq 0 ]] || die "takes root"
if [[ ! -x /usr/sbin/postfix || ! -x /usr/sbin/saslpasswd2 || ! -x /usr/bin/openssl ]] ||
    ! /usr/bin/python3 -c 'import dkim' 2>/dev/null; then
    # In this run level packages start nothing.
    export RUNLEVEL=1
    install_debian debconf
    echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
    install_debian postfix sasl2-bin libsasl2-modules libsasl2-modules-db openssl python3-dkim ||
        die "cannot install Postfix"
fi
export RINGTAP_POSTFIX=1
exec cargo test -p ringtap-notifier --test faults postfix:: -- --nocapture
