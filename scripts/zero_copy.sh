#!/usr/bin/env bash
# Zero-copy, proven: a guest in software emulation, whose network driver (virtio_net) writes into the program's memory itself,
# and `ringtap run --zero-copy require` in it, on two queues.
#
#   scripts/zero_copy.sh [--kernel VERSION] [--nic OPTIONS] [--out DIR]
#
# Two captures, one after the other. The first is samples/sample.pcap, five times as fast as it was captured: the records in its
# journal have to be those of `ringtap replay`. The second is many frames. In both there are some that Ringtap leaves to the
# kernel. `ringtap doctor` has to find zero-copy before. Both have to have zero-copy in force on both queues and frames on each of them, every frame that was sent has to be
# counted, and none lost. OPTIONS are those of QEMU's virtio-net-pci; with `iommu_platform=off` the NIC cannot do zero-copy, and
# this has to fail.
#
# As root, on Debian (amd64). Installs qemu-system-x86 and busybox-static if they are not there, and fetches a kernel of 6.18 or
# later (VERSION; else the newest) from trixie-backports, with package lists of its own: the machine's sources stay as they are.
# The programs are built, unless RINGTAP_PROGRAMS names the folder that they are in. The guest's line is a tap interface in a
# network namespace, which is made and removed; nothing outside it is touched. What the run leaves lies in DIR, which must be new
# or empty, or in a fresh folder for temporary files.
#
# Exit status: 0 proven; 1 not so, among it a bind that is refused; 2 wrong usage; 3 cannot be tried here, among it a guest that
# does not come up.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

# Linux 6.12 was seen to refuse.
KERNEL_MIN=6.18
SUITE=trixie-backports
QUEUES=2
SPEED=5
# Frames in a second, and how often both captures are repeated: what an emulated processor can do without losing any.
RATE=5000
LOOPS=300
# How long the guest may take to come up, or to answer: far more than it needs.
PATIENCE_S=240
# What the guest's driver is made of, in the order of loading.
MODULES=(failover net_failover virtio_net)

KERNEL=
# Only so does the driver map memory through the DMA layer, without which it cannot do zero-copy.
NIC=iommu_platform=on
OUT=
NS=ringtap-zero-copy-$$
QEMU_PID=
READER_PID=

usage() {
    sed -n 's/^#   //p' "$0" >&2
    exit 2
}

# wrong WHAT: ends it, because it was called wrongly.
wrong() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 2
}

# lack WHAT: ends it, because this machine cannot try it.
lack() {
    printf '%s: not possible on this machine: %s\n' "${0##*/}" "$*" >&2
    exit 3
}

at_exit() {
    local status=$?
    trap - INT TERM
    [[ -z $QEMU_PID ]] || stop_process "$QEMU_PID"
    [[ -z $READER_PID ]] || stop_process "$READER_PID"
    ip netns del "$NS" 2>/dev/null || true
    [[ $status -eq 0 ]] || say "what the run left lies in $OUT" >&2
}

read_options() {
    while [[ $# -gt 0 ]]; do
        [[ $# -ge 2 && -n $2 ]] || usage
        case $1 in
            --kernel) KERNEL=$2 ;;
            --nic) NIC=$2 ;;
            --out) OUT=$2 ;;
            *) usage ;;
        esac
        shift 2
    done
    [[ -z $KERNEL || $KERNEL =~ ^[0-9]+(\.[0-9]+)*$ ]] || wrong "--kernel $KERNEL: a version like 6.18 or 6.18.15"
    [[ -z $KERNEL ]] || at_least "$KERNEL" "$KERNEL_MIN" || wrong "--kernel $KERNEL: virtio_net does zero-copy from $KERNEL_MIN on"
    if [[ -z $OUT ]]; then
        OUT=$(mktemp -d "${TMPDIR:-/tmp}/ringtap-zero-copy.XXXXXX")
    else
        mkdir -p -- "$OUT"
        [[ -z $(ls -A "$OUT") ]] || wrong "$OUT: not empty; name a new folder"
        OUT=$(cd -- "$OUT" && pwd)
    fi
}

need_machine() {
    [[ $(id -u) -eq 0 ]] || lack "a tap interface in a network namespace needs root: run it with sudo"
    [[ $(uname -m) == x86_64 ]] || lack "the guest is one for x86-64"
    [[ -c /dev/net/tun ]] || lack "no tap interfaces: /dev/net/tun is not there"
    need_iproute2 || lack "no ip command: install iproute2"
    command -v qemu-system-x86_64 >/dev/null || install_debian qemu-system-x86 || lack "no QEMU: install qemu-system-x86"
    command -v busybox >/dev/null || install_debian busybox-static || lack "no busybox: install busybox-static"
    command -v python3 >/dev/null || install_debian python3 || lack "no python3: install it"
}

need_programs() {
    PROGRAMS=${RINGTAP_PROGRAMS:-}
    if [[ -z $PROGRAMS ]]; then
        need_rust
        need_c_compiler
        need_capture_tools
        say "building (the first time takes some minutes)"
        # The same packages as in the other scripts: for a choice of others cargo compiles more anew.
        cargo build --quiet --release --locked -p ringtap -p ringtap-notifier -p ringtap-testkit
        PROGRAMS=$(realpath "$TARGET_DIR")/release
    fi
    local program
    for program in ringtap ringtap-testkit; do
        [[ -x $PROGRAMS/$program ]] || die "$PROGRAMS/$program: no program"
    done
}

# Sets APT: apt's commands as they are on a machine that has nothing but SUITE among its sources.
private_apt() {
    local site at=$TARGET_DIR/zero-copy/apt
    # Where the machine has Debian from: by its label, or its address if no lists are there yet.
    site=$(apt-get indextargets --format '$(SITE) $(LABEL)' 'Created-By: Packages' 2>/dev/null |
        awk '$2 == "Debian" || $1 ~ /\/debian\/?$/ { print $1; exit }')
    [[ -n $site ]] || return 1
    mkdir -p "$at/lists/partial" "$at/cache/archives/partial" "$at/none"
    at=$(realpath "$at")
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site $SUITE main" >"$at/sources.list"
    APT=(-q -o "Dir::Etc::SourceList=$at/sources.list" -o "Dir::Etc::SourceParts=$at/none" -o "Dir::Etc::Preferences=$at/none/none"
        -o "Dir::Etc::PreferencesParts=$at/none" -o "Dir::State::Lists=$at/lists" -o "Dir::Cache=$at/cache"
        -o APT::Sandbox::User=root -o Acquire::Languages=none)
    apt-get "${APT[@]}" update >"$OUT/apt.log" 2>&1 && ! grep -q '^[EW]:' "$OUT/apt.log"
}

# The newest of the names `linux-image-VERSION…` on standard input that is wanted; nothing if none is.
newest_kernel() {
    local version=[0-9.]+
    [[ -z $KERNEL ]] || version="${KERNEL//./\\.}(\\.[0-9]+)*"
    grep -E "^linux-image-$version\+.*cloud-amd64$" | sort -V | tail -n 1 || true
}

# Sets KERNEL_DIR: a folder with the kernel's image and the modules, kept among the build products.
need_kernel() {
    local image release package part at kept=$TARGET_DIR/zero-copy/kernels
    mkdir -p "$kept"
    if private_apt; then
        image=$(apt-cache "${APT[@]}" pkgnames linux-image- | newest_kernel)
    else
        # Without a mirror in reach: one that was fetched before.
        image=$(find "$kept" -mindepth 1 -maxdepth 1 -name 'linux-image-*' -printf '%f\n' | newest_kernel)
    fi
    [[ -n $image ]] || lack "no kernel ${KERNEL:-of $KERNEL_MIN or later} in $SUITE, or no mirror of Debian in reach"
    release=${image#linux-image-}
    at_least "${release%%+*}" "$KERNEL_MIN" || lack "$SUITE has $release; virtio_net does zero-copy from $KERNEL_MIN on"
    KERNEL_DIR=$(realpath "$kept")/$image
    KERNEL_RELEASE=$release
    [[ ! -e $KERNEL_DIR/complete ]] || return 0
    say "fetching Linux $release"
    at=$(mktemp -d "$OUT/kernel.XXXXXX")
    # Later packages are split: the image and the modules have packages of their own.
    for part in image binary modules; do
        package=linux-$part-$release
        [[ -n $(apt-cache "${APT[@]}" pkgnames "$package" | grep -xF "$package") ]] || continue
        (cd "$at" && apt-get "${APT[@]}" download "$package" >>"$OUT/apt.log" 2>&1) || lack "cannot fetch $package: see $OUT/apt.log"
    done
    for package in "$at"/*.deb; do
        dpkg-deb --extract "$package" "$at/root"
        rm "$package"
    done
    rm -rf "$KERNEL_DIR"
    mkdir "$KERNEL_DIR"
    local module file
    file=$(find "$at/root" -name "vmlinuz-$release" -o -name vmlinuz | head -n 1)
    [[ -n $file ]] || lack "no image in the packages of Linux $release"
    cp "$file" "$KERNEL_DIR/vmlinuz"
    for module in "${MODULES[@]}"; do
        file=$(find "$at/root" -name "$module.ko*" | head -n 1)
        case $file in
            *.ko) cp "$file" "$KERNEL_DIR/" ;;
            *.ko.xz) busybox xzcat "$file" >"$KERNEL_DIR/$module.ko" ;;
            *) lack "no module $module in the packages of Linux $release, or one of a kind that is not known: ${file:-nothing}" ;;
        esac
    done
    rm -rf "$at"
    touch "$KERNEL_DIR/complete"
}

# put PROGRAM: into the guest, with the loader and the libraries that it names.
put() {
    local library
    # Where debugging information is, unpacking takes an emulated processor longer than all the rest.
    strip -o "$OUT/guest/bin/${1##*/}" "$1" 2>/dev/null || cp -L "$1" "$OUT/guest/bin/"
    { ldd "$1" 2>/dev/null || true; } | awk '$3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }' | while read -r library; do
        cp -Lu --parents "$library" "$OUT/guest"
    done
}

make_guest() {
    local guest=$OUT/guest
    mkdir -p "$guest"/{bin,dev,etc,proc,sys,tmp,modules,out,var/lib/ringtap}
    put "$(command -v busybox)"
    put "$PROGRAMS/ringtap"
    cp "$KERNEL_DIR"/*.ko "$guest/modules/"
    cp scripts/zero_copy/init "$guest/init"
    chmod 755 "$guest/init"
    printf '%s\n' root:x:0:0::/:/bin/sh ringtap:x:100:100::/:/bin/false >"$guest/etc/passwd"
    printf '%s\n' root:x:0: ringtap:x:100: >"$guest/etc/group"
    "$PROGRAMS/ringtap-testkit" fixtures --output "$OUT" --speed "$SPEED" >/dev/null
    cp "$OUT/ringtap.toml" "$guest/etc/"
    (cd "$guest" && find . | busybox cpio -o -H newc 2>/dev/null) >"$OUT/initramfs"
    rm -rf "$guest"
}

make_line() {
    ip netns add "$NS" 2>"$OUT/ip.log" || lack "cannot make a network namespace: $(<"$OUT/ip.log")"
    # Neighbour discovery would be frames that nobody sent.
    ip netns exec "$NS" sh -c 'for which in all default; do
        switch=/proc/sys/net/ipv6/conf/$which/disable_ipv6
        [ ! -e $switch ] || echo 1 >$switch
    done'
    ip netns exec "$NS" ip tuntap add dev span0 mode tap multi_queue vnet_hdr 2>"$OUT/ip.log" ||
        lack "cannot make a tap interface: $(<"$OUT/ip.log")"
    ip -n "$NS" link set dev span0 up
}

start_guest() {
    mkfifo "$OUT/console.in" "$OUT/console.out"
    # Open for as long as this runs: so writing never waits for a guest that has gone.
    exec 8<>"$OUT/console.in"
    cat "$OUT/console.out" >"$OUT/console.log" &
    READER_PID=$!
    # Not KVM, which few machines in the cloud have: what is emulated is the same everywhere.
    ip netns exec "$NS" qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot \
        -machine q35 -accel tcg,thread=multi -cpu Nehalem -smp "$QUEUES" -m 1024 \
        -kernel "$KERNEL_DIR/vmlinuz" -initrd "$OUT/initramfs" \
        -append "console=ttyS0 panic=-1 quiet mitigations=off nokaslr no_timer_check" \
        -chardev "pipe,id=console,path=$OUT/console" -serial chardev:console -serial "file:$OUT/results.tar" \
        -netdev "tap,id=line,ifname=span0,script=no,downscript=no,queues=$QUEUES,vhost=off" \
        -device "virtio-net-pci,netdev=line,mq=on,vectors=$((2 * QUEUES + 2)),rx_queue_size=1024,disable-legacy=on,$NIC,romfile=" \
        8>&- 2>"$OUT/qemu.log" &
    QEMU_PID=$!
}

# guest_runs TENTH: whether it does, and is not past its time.
guest_runs() {
    [[ $1 -lt $((PATIENCE_S * 10)) ]] && kill -0 "$QEMU_PID" 2>/dev/null
}

# tell WORD…: to the guest.
tell() {
    printf '%s\n' "$*" >&8
}

# await WORDS: until the guest says them, or that it failed.
await() {
    local tries
    for ((tries = 0; ; tries++)); do
        ! grep -qF "guest: $1" "$OUT/console.log" || return 0
        ! grep -qF "guest: failed" "$OUT/console.log" || break
        guest_runs "$tries" || break
        sleep 0.1
    done
    tail -q -n 12 "$OUT/console.log" "$OUT/qemu.log" >&2
    grep -qF "guest: init" "$OUT/console.log" || lack "the guest did not come up"
    die "the guest did not come to: $1"
}

# send RUN OPTION… FILE…: frames to the guest, and what was sent into RUN.sent.json.
send() {
    local run=$1
    shift
    ip netns exec "$NS" "$PROGRAMS/ringtap-testkit" play --interface span0 --json "$@" >"$OUT/$run.sent.json"
}

# capture RUN OPTION… FILE…: a capture in the guest, from its beginning to its end, and what is sent meanwhile.
capture() {
    local run=$1
    tell start "$run"
    await "capturing $run"
    send "$@"
    # The last call settles, and what waits in rings is read.
    sleep 5
    tell stop "$run"
    await "stopped $run"
}

read_options "$@"
trap at_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
need_machine
need_programs
need_kernel
make_guest
make_line
say "Linux $KERNEL_RELEASE, $(qemu-system-x86_64 --version | head -n 1), $("$PROGRAMS/ringtap" --version)"

"$PROGRAMS/ringtap" replay --config samples/ringtap.toml --journal "$OUT/expected.db" samples/sample.pcap 2>"$OUT/replay.log" ||
    die "ringtap replay failed: $(tail -n 3 "$OUT/replay.log")"
python3 scripts/zero_copy/check.py beside "$OUT/beside.pcap"
start_guest
await ready
say "the guest is up; sending samples/sample.pcap, $SPEED times as fast as it was captured"
capture calls --speed "$SPEED" samples/sample.pcap "$OUT/beside.pcap"
say "sending $LOOPS times as much, $RATE frames in a second"
capture frames --rate "$RATE" --loop "$LOOPS" samples/sample.pcap "$OUT/beside.pcap"
tell end
for ((tries = 0; ; tries++)); do
    guest_runs "$tries" || break
    sleep 0.1
done
stop_process "$QEMU_PID"
QEMU_PID=
mkdir "$OUT/results"
tar -x -f "$OUT/results.tar" -C "$OUT/results" || die "the guest did not hand over its results whole"
rm "$OUT/initramfs"
say
python3 scripts/zero_copy/check.py results "$OUT" "$QUEUES"
