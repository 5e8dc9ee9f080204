#!/usr/bin/env bash
# The XDP program, compiled. Whoever builds Ringtap needs none of this: the object is committed.
#
#   scripts/ebpf.sh build    compiles xdp-prog and puts the object where the host side embeds it
#   scripts/ebpf.sh check    compiles it again: by the same compiler the object must be the same to the octet, by
#                            another one it must pass the tests of the committed one
#
# Installs what is missing: Debian's rustc-web, which has a core library for BPF, as root or through sudo; and
# bpf-linker, among the build products (or in EBPF_TOOLS). Status 3: the compiler cannot be had on this machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

BPF_LINKER_VERSION=0.13.0
RUSTC=/usr/bin/rustc
BPF_TARGET=bpfel-unknown-none
OBJECT=xdp-prog/host/ringtap.bpf.o
# What OBJECT was made with.
RECORD=xdp-prog/host/ringtap.bpf.txt
TOOLS=${EBPF_TOOLS:-$(realpath -m "$TARGET_DIR")/ebpf-tools}

unavailable() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 3
}

# llvm_version: of the compiler; the linker must be made for the same.
llvm_version() {
    "$RUSTC" -vV | sed -n 's/^LLVM version: //p'
}

has_bpf_core() {
    [[ -x $RUSTC ]] && compgen -G "$("$RUSTC" --print sysroot)/lib/rustlib/$BPF_TARGET/lib/libcore-*.rlib" >/dev/null
}

need_bpf_rustc() {
    # A compiler that is there already stays: without --no-remove, Debian's other one would have to go.
    has_bpf_core ||
        install_debian --no-remove rustc-web libstd-rust-web-dev libstd-rust-web-dev-bpf && has_bpf_core ||
        unavailable "no Rust compiler with a core library for BPF: Debian 12 has it in rustc-web and libstd-rust-web-dev-bpf"
}

need_bpf_linker() {
    local library major version linker=$TOOLS/bin/bpf-linker
    version=$(llvm_version)
    major=${version%%.*}
    if [[ $("$linker" --version 2>/dev/null) == "bpf-linker $BPF_LINKER_VERSION" &&
        $(ldd "$linker") == *"libLLVM.so.$major"*" => /"* ]]; then
        return
    fi
    library=$(ldconfig -p | sed -n "s|.*libLLVM\.so\.$major[.0-9]* .* => ||p" | sort | tail -n 1)
    [[ -n $library ]] || unavailable "no libLLVM.so.$major, which $RUSTC uses"
    mkdir -p "$TOOLS/lib"
    ln -sfn "$library" "$TOOLS/lib/libLLVM.so"
    say "building bpf-linker $BPF_LINKER_VERSION for LLVM $major, about two minutes"
    LLVM_PREFIX=$TOOLS cargo install --quiet --locked --force bpf-linker --version "$BPF_LINKER_VERSION" \
        --no-default-features --features "llvm-$major" --root "$TOOLS" ||
        unavailable "bpf-linker could not be built"
}

# made_with: what the object depends on beside its source.
made_with() {
    "$RUSTC" --version
    say "LLVM $(llvm_version)"
    "$TOOLS/bin/bpf-linker" --version
    cargo --version
}

# compile FILE: writes the object. Paths of this machine stay out of it.
compile() {
    local flags folder separator=$'\x1f'
    cargo fetch --quiet --locked --manifest-path xdp-prog/Cargo.toml
    flags=-Cdebuginfo=2${separator}-Clink-arg=--btf${separator}--remap-path-prefix=$PWD=/ringtap
    for folder in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
        flags+=${separator}--remap-path-prefix=$folder=/crates
    done
    # From within the folder: rust-toolchain.toml's cargo, Debian's compiler.
    (
        cd xdp-prog
        unset RUSTFLAGS RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER
        PATH=$TOOLS/bin:$PATH RUSTC=$RUSTC RUSTC_BOOTSTRAP=1 CARGO_ENCODED_RUSTFLAGS=$flags \
            cargo build --quiet --release --locked --target "$BPF_TARGET" --target-dir "$TARGET_FOLDER"
    ) || die "the XDP program does not compile"
    cp "$TARGET_FOLDER/$BPF_TARGET/release/ringtap" "$1"
    if grep -qaF -e "$PWD/" -e "$HOME/" "$1"; then
        die "the object names folders of this machine"
    fi
}

build() {
    compile "$OBJECT"
    made_with >"$RECORD"
    say "$OBJECT: $(stat -c %s "$OBJECT") octets, by"
    sed 's/^/    /' "$RECORD"
}

check() {
    local fresh=$TARGET_FOLDER/ringtap.bpf.o
    mkdir -p "$TARGET_FOLDER"
    cargo fmt --manifest-path xdp-prog/Cargo.toml --check || die "xdp-prog is not formatted"
    compile "$fresh"
    if cmp "$fresh" "$OBJECT"; then
        say "$OBJECT is what its source gives"
    elif [[ $(made_with) == "$(<"$RECORD")" ]]; then
        die "$OBJECT is not what its source gives: renew it with scripts/ebpf.sh build"
    else
        say "ATTENTION: $OBJECT was made by other tools than this machine's, so it cannot be compared:"
        diff "$RECORD" <(made_with) || true
        say "ATTENTION: what these give from the same source is tested instead"
        RINGTAP_BPF_OBJECT=$fresh cargo test --quiet --locked -p ringtap-xdp --test kernel ||
            die "what this machine's tools make of xdp-prog does not pass the tests"
    fi
}

case "$#:${1-}" in
    1:build | 1:check) ;;
    *)
        say "usage: scripts/ebpf.sh build|check" >&2
        exit 2
        ;;
esac
TARGET_FOLDER=$(realpath -m "$TARGET_DIR")/ebpf
need_rust
need_c_compiler
need_bpf_rustc
need_bpf_linker
"$1"
