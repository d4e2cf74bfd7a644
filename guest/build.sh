#!/usr/bin/env bash
# Builds the collector component, and those that the tests run beside it: an example and a hostile one; or only the
# packages that are named. Stages them where the host and the tests read them. `just guest` calls this.
set -euo pipefail
cd "$(dirname "$0")/.."

target=wasm32-unknown-unknown
out=target/guest-build # not the host's: two compilers in one folder evict each other's work
staged=target/guest

# Panic messages name source files: without this a component would differ from one home folder to the next.
export CARGO_ENCODED_RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
# Vectors of 128 bits, which every engine has had for years: strings are read sixteen bytes at a time.
CARGO_ENCODED_RUSTFLAGS+=$'\x1f-Ctarget-feature=+simd128'

std=()
if [[ -d $(rustc --print target-libdir --target $target) ]]; then
    : # rustup's toolchain has a standard library for it
elif [[ -x /usr/bin/rustc && -d /usr/lib/rustlib/src/rust/library ]]; then
    # Debian's compiler builds its own standard library from source; the linker is the one of rustup's toolchain.
    tools=$(dirname "$(rustc --print target-libdir)")/bin
    export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 PATH="$tools/gcc-ld:$PATH"
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$tools/wasm-component-ld"
    std=(-Zbuild-std=std,panic_abort)
else
    echo "There is no Rust standard library for $target. Run ./setup.sh, which installs one." >&2
    exit 1
fi

adapters=(guest/adapters/*/)
adapters=("${adapters[@]%/}")
packages=("$@")
[[ $# != 0 ]] || packages=(cloudsek-xvigil "${adapters[@]/#guest\/adapters\//adapter-}" json-poller hostile)
for package in "${packages[@]}"; do
    # The cdylib alone: together with an rlib, cargo would leave out the link-time optimisation. The linker's adapter for
    # WASI 0.1 is of no use here, and would raise the versions of the imports to its own.
    cargo rustc --package $package --lib --crate-type cdylib --profile guest --target $target --target-dir $out \
        "${std[@]}" -- -Clink-arg=--wasi-adapter=none

    # An unchanged component keeps its time stamp, so that the host is not built again.
    built=$out/$target/guest/${package//-/_}.wasm
    if ! cmp -s "$built" "$staged/$package.wasm"; then
        mkdir -p $staged
        cp "$built" "$staged/$package.wasm"
    fi
done
