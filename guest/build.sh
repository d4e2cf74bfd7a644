#!/usr/bin/env bash
# Builds the collector component and stages it where the host and the tests read it. `just guest` calls this.
set -euo pipefail
cd "$(dirname "$0")/.."

target=wasm32-unknown-unknown
out=target/guest-build # not the host's: two compilers in one folder evict each other's work
staged=target/guest/cloudsek-xvigil.wasm

# Panic messages name source files: without this the component would differ from one home folder to the next.
export CARGO_ENCODED_RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"

# The cdylib alone: together with an rlib, cargo would leave out the link-time optimisation.
build=(cargo rustc --package cloudsek-xvigil --lib --crate-type cdylib
    --profile guest --target "$target" --target-dir "$out")

# The linker's adapter for WASI 0.1 is of no use here, and would raise the versions of the imports to its own.
link=(-- -Clink-arg=--wasi-adapter=none)

if [[ -d $(rustc --print target-libdir --target $target) ]]; then
    "${build[@]}" "${link[@]}"
elif [[ -x /usr/bin/rustc && -d /usr/lib/rustlib/src/rust/library ]]; then
    # Debian's compiler builds its own standard library from source; the linker is the one of rustup's toolchain.
    tools=$(dirname "$(rustc --print target-libdir)")/bin
    RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 PATH="$tools/gcc-ld:$PATH" \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$tools/wasm-component-ld" \
        "${build[@]}" -Zbuild-std=std,panic_abort "${link[@]}"
else
    echo "There is no Rust standard library for $target. Run ./setup.sh, which installs one." >&2
    exit 1
fi

# An unchanged component keeps its time stamp, so that the host is not built again.
built=$out/$target/guest/cloudsek_xvigil.wasm
if ! cmp -s $built $staged; then
    mkdir -p "$(dirname $staged)"
    cp $built $staged
fi
