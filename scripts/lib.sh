# shellcheck shell=bash
# What the scripts share: messages, timing, and the set-up of a fresh machine.
#
# Whatever is there already is used as it is. Debian packages, toolchains and Python packages are installed
# only for want of it. Source this from the repository's root.

# Where cargo puts what it builds.
TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}

# The SMTP library of the demo, if it has to come from PyPI.
AIOSMTPD_VERSION=1.4.6
# What drives the browser, from PyPI.
PLAYWRIGHT_VERSION=1.65.2

# What draws the plots of the benchmarks.
MATPLOTLIB_VERSION=3.11.2

say() {
    printf '%s\n' "$*"
}

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

now_ms() {
    date +%s%3N
}

# seconds_since MS: the time since then as "1.2 s".
seconds_since() {
    local ms=$(($(now_ms) - $1))
    printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100))
}

# wait_for_port FILE PID: sets SMTP_PORT to what the mail server PID writes into FILE; fails if that ends first.
# shellcheck disable=SC2034  # read by demo.sh and workload.sh
wait_for_port() {
    local tries
    for ((tries = 0; tries < 200; tries++)); do
        if [[ -e $1 ]]; then
            SMTP_PORT=$(<"$1")
            return
        fi
        kill -0 "$2" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}

# stop_process PID: ends it and waits until it has ended.
stop_process() {
    kill "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

# install_debian PACKAGE...: as root or through sudo. The package lists are fetched only if the packages
# cannot be had from those on the machine.
install_debian() {
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
    if [[ $(id -u) -ne 0 ]]; then
        command -v sudo >/dev/null || return 1
        apt=(sudo "${apt[@]}")
    fi
    command -v apt-get >/dev/null || return 1
    say "installing Debian packages: $*"
    local log
    log=$(mktemp)
    if "${apt[@]}" install -y --no-install-recommends "$@" >"$log" 2>&1 ||
        { "${apt[@]}" update >"$log" 2>&1 && "${apt[@]}" install -y --no-install-recommends "$@" >"$log" 2>&1; }; then
        rm -f "$log"
    else
        tail -n 5 "$log" >&2
        rm -f "$log"
        return 1
    fi
}

# need_c_compiler: SQLite, mimalloc and the TLS library are compiled from C.
need_c_compiler() {
    if ! command -v cc >/dev/null || [[ ! -e /usr/include/stdlib.h ]]; then
        install_debian gcc libc6-dev || die "no C compiler: install gcc and libc6-dev"
    fi
}

# need_capture_tools: what live capture is built with beside a C compiler. libxdp and libbpf are compiled from
# C, and their interface is read with libclang.
need_capture_tools() {
    local tool missing=()
    for tool in clang m4 make pkg-config; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    compgen -G '/usr/lib/llvm-*/lib/libclang.so*' >/dev/null || missing+=(libclang-dev)
    [[ -e /usr/include/libelf.h ]] || missing+=(libelf-dev)
    [[ -e /usr/include/zlib.h ]] || missing+=(zlib1g-dev)
    [[ ${#missing[@]} -eq 0 ]] || install_debian "${missing[@]}" ||
        die "live capture cannot be built: install clang, libclang-dev, libelf-dev, zlib1g-dev, m4, make and pkg-config"
}

# need_iproute2: for network namespaces, veth pairs and what becomes of them. A fresh Debian has none.
need_iproute2() {
    command -v ip >/dev/null || install_debian iproute2
}

# need_core: a SIP core, and people who call.
need_core() {
    command -v kamailio >/dev/null && command -v sipp >/dev/null && return
    without_services install_debian kamailio sip-tester
}

# need_faketime: for tests that set the clock of a program while it runs.
need_faketime() {
    compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || install_debian libfaketime
}

# need_prometheus: Prometheus and promtool, for tests of what is told to them.
need_prometheus() {
    command -v prometheus >/dev/null && command -v promtool >/dev/null && return
    without_services install_debian prometheus
}

# need_slapd: an LDAP server, for tests of what is read from one.
need_slapd() {
    [[ -x /usr/sbin/slapd && -x /usr/sbin/slapadd ]] && return
    without_services install_debian slapd
}

# without_services COMMAND...: Debian's packages start their services as they are installed, which nobody wants here: for that moment
# policy-rc.d says no, where the machine has none of its own.
without_services() (
    policy=/usr/sbin/policy-rc.d
    if [[ $(id -u) -eq 0 && ! -e $policy ]]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    "$@"
)

# at_least VERSION WANTED: compares dotted numbers.
at_least() {
    [[ $(printf '%s\n' "$1" "$2" | sort -V | head -n 1) == "$2" ]]
}

rustc_version() {
    rustc --version 2>/dev/null | cut -d ' ' -f 2
}

has_cargo() {
    command -v cargo >/dev/null || [[ -x $HOME/.cargo/bin/cargo ]]
}

# need_rust: the toolchain of rust-toolchain.toml, or a stable one that is as new, if that cannot be had.
need_rust() {
    local pinned found
    pinned=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
    if ! command -v cargo >/dev/null && [[ -x $HOME/.cargo/bin/cargo ]]; then
        export PATH=$HOME/.cargo/bin:$PATH
    fi
    command -v cargo >/dev/null || die "no Rust toolchain: install Rust $pinned or later from https://rustup.rs"
    if ! command -v rustup >/dev/null || [[ -n ${RUSTUP_TOOLCHAIN:-} ]]; then
        found=$(rustc_version)
        at_least "$found" "$pinned" || die "rustc is ${found:-not usable}, wanted is $pinned or later"
        return
    fi
    rustup run "$pinned" rustc --version >/dev/null 2>&1 && return
    say "installing Rust $pinned"
    rustup toolchain install "$pinned" --profile minimal --component rustfmt --component clippy \
        >/dev/null 2>&1 && return
    found=$(RUSTUP_TOOLCHAIN=stable rustc_version)
    if [[ -n $found ]] && at_least "$found" "$pinned"; then
        say "Rust $pinned is not there and could not be fetched: using stable, which is $found"
        export RUSTUP_TOOLCHAIN=stable
        return
    fi
    die "Rust $pinned could not be installed, and stable is ${found:-missing}; try: rustup toolchain install $pinned"
}

# need_aiosmtpd: sets SMTP_PYTHON to a Python that has the SMTP library. One that has it already is taken;
# else the library goes into a virtual environment among the build products, so that the machine stays as it
# is; only where that fails is it Debian's package.
# shellcheck disable=SC2034  # read by demo.sh
need_aiosmtpd() {
    local python venv=$TARGET_DIR/demo-python
    command -v python3 >/dev/null || install_debian python3 || die "no python3: install it"
    for python in "$venv/bin/python" /usr/bin/python3 python3; do
        if "$python" -c 'import aiosmtpd' >/dev/null 2>&1; then
            SMTP_PYTHON=$python
            return
        fi
    done
    say "fetching the demo's SMTP server (aiosmtpd $AIOSMTPD_VERSION)"
    if python3 -m venv --clear "$venv" >/dev/null 2>&1 &&
        "$venv/bin/python" -m pip install --quiet "aiosmtpd==$AIOSMTPD_VERSION" >/dev/null 2>&1; then
        SMTP_PYTHON=$venv/bin/python
        return
    fi
    rm -rf "$venv"
    install_debian python3-aiosmtpd || die "no aiosmtpd: install python3-aiosmtpd, or python3-venv with PyPI in reach"
    SMTP_PYTHON=/usr/bin/python3
}

# need_browser: Debian's Chromium with a font that has Chinese, and BROWSER_PYTHON, a Python that drives it, in a virtual environment among
# the build products.
# shellcheck disable=SC2034  # read by page.sh
need_browser() {
    local venv=$TARGET_DIR/page-python
    local missing=()
    command -v chromium >/dev/null || missing+=(chromium)
    [[ -n $(fc-list :lang=zh-cn 2>/dev/null) ]] || missing+=(fonts-wqy-microhei)
    [[ ${#missing[@]} -eq 0 ]] || install_debian "${missing[@]}" || return 1
    BROWSER_PYTHON=$venv/bin/python
    "$BROWSER_PYTHON" -c 'import playwright.sync_api' >/dev/null 2>&1 && return
    say "fetching what drives the browser (playwright $PLAYWRIGHT_VERSION)"
    if ! { python3 -m venv --clear "$venv" && "$venv/bin/python" -m pip install --quiet "playwright==$PLAYWRIGHT_VERSION"; } >/dev/null 2>&1; then
        rm -rf "$venv"
        return 1
    fi
}

# need_valgrind: callgrind, for counting instructions.
need_valgrind() {
    command -v valgrind >/dev/null && command -v callgrind_annotate >/dev/null && return
    install_debian valgrind
}

# need_matplotlib: sets PLOT_PYTHON to a Python that can draw; to any where it cannot be had, and says so.
# shellcheck disable=SC2034  # read by bench.sh
need_matplotlib() {
    local python venv=$TARGET_DIR/bench/python
    command -v python3 >/dev/null || install_debian python3 || die "no python3: install it"
    for python in "$venv/bin/python" python3; do
        if "$python" -c 'import matplotlib' >/dev/null 2>&1; then
            PLOT_PYTHON=$python
            return
        fi
    done
    say "fetching the plots' library (matplotlib $MATPLOTLIB_VERSION)"
    if python3 -m venv --clear "$venv" >/dev/null 2>&1 &&
        "$venv/bin/python" -m pip install --quiet "matplotlib==$MATPLOTLIB_VERSION" >/dev/null 2>&1; then
        PLOT_PYTHON=$venv/bin/python
        return
    fi
    rm -rf "$venv"
    PLOT_PYTHON=python3
    say "!! no matplotlib $MATPLOTLIB_VERSION (PyPI), and no python3-matplotlib (Debian): the report will have no plots" >&2
}
