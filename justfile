# What is tested and shown is built in the dev profile, which is quick to build; what is released or measured in the
# release profile. Always the whole workspace: cargo chooses features by what it builds, and would compile twice.

_default:
    @just --list --unsorted

# Build the collector component and those that tests use, and stage them in target/guest
guest:
    guest/build.sh

# Build target/release/devo-collector with the component inside
build:
    guest/build.sh cloudsek-xvigil
    cargo build --release --workspace --bin devo-collector

# Run the collector with your own configuration, a file or a folder
run CONFIG: build
    target/release/devo-collector --config {{ quote(CONFIG) }}

# Watch alerts travel from a simulated XVigil to a simulated Devo
demo:
    guest/build.sh cloudsek-xvigil
    cargo build --workspace --bin devo-collector --bin demo
    target/debug/demo

# Run all tests
test: guest
    THOROUGH=1 cargo test --workspace

# Simulate that many seeded histories of a source that misbehaves, such as `just simulate 100000`: docs/testing.md
simulate SEEDS:
    SEEDS={{ quote(SEEDS) }} cargo test --release -p cloudsek-xvigil --lib simulation::tests::no_history_breaks_a_promise -- --exact --nocapture

# Kill the collector a thousand times while alerts keep arriving; nothing may be lost
torture *ARGUMENTS: build
    cargo build --release --workspace --bin torture
    target/release/torture {{ ARGUMENTS }}

# Inject every fault of the matrix, count what is lost and repeated, and write the table of docs/reliability.md
reliability *FAULT: build
    cargo build --release --workspace --bin reliability
    target/release/reliability {{ FAULT }}

# Deliver 100,000 alerts with the collector, its peers and simpler programs in turn, and print what each costs
bench *ARGUMENTS: build
    .venv/bin/python -m pip install --quiet tenzir==6.20.0 requests
    cargo build --release --workspace --bins
    target/release/bench {{ ARGUMENTS }}

# Measure the hot functions one by one, in time or, with --count, in instructions
bench-pieces *ARGUMENTS: build
    cargo build --release --workspace --bin bench-pieces
    target/release/bench-pieces {{ ARGUMENTS }}

# Host 1 to 10,000 tenants in one process, and tenants beside others that misbehave; print the cost
bench-tenants *ARGUMENTS: build
    cargo build --release --workspace --bin bench-tenants
    target/release/bench-tenants {{ ARGUMENTS }}

# Write the tables of settings, errors and metrics into docs, and the JSON schemas, from the code
reference:
    cargo build --workspace --bin reference
    target/debug/reference

# Pack the component and its compositions for publication: dist/ has them with metadata, the WIT package, an SBOM, checksums
package: guest
    cargo build --workspace --bin package
    target/debug/package

# Rebuild the components in another folder, and compare them byte for byte
reproduce: guest
    guest/reproduce.sh

# Fuzz one decoder, such as `just fuzz answer 60`: fuzz/Cargo.toml lists them, docs/testing.md explains it
fuzz TARGET SECONDS:
    @cargo fuzz --version >/dev/null 2>&1 || { echo "Install cargo-fuzz: cargo install cargo-fuzz, and rustup toolchain install nightly" >&2; exit 1; }
    mkdir -p {{ quote("target/fuzz/found/" + TARGET) }}
    cargo +nightly fuzz run --target-dir target/fuzz --sanitizer none {{ quote(TARGET) }} \
        {{ quote("target/fuzz/found/" + TARGET) }} {{ quote("fuzz/corpus/" + TARGET) }} -- \
        -max_total_time={{ quote(SECONDS) }} -timeout=10 -rss_limit_mb=1024 -max_len=4000 -print_final_stats=1

# Check the format and the lints
lint: guest
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Check licences, sources and duplicates of the dependencies, and advisories when the database is reachable
deny $PATH=(justfile_directory() / ".venv/bin:" + env("PATH")):
    cargo deny check bans licenses sources
    if cargo deny fetch db 2>/dev/null; then cargo deny check advisories; else echo "advisories not checked: no database"; fi

alias check := lint
