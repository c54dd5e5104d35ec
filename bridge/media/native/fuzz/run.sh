#!/bin/sh
# Builds the fuzz targets with coverage instrumentation on the stable compiler and runs each for SECONDS.
# usage: run.sh SECONDS [TARGET...]    A crash ends it with an error; its input is left in artifacts/.
set -eu
cd "$(dirname "$0")"
seconds=${1:?usage: run.sh SECONDS [TARGET...]}
shift
[ $# -gt 0 ] || set -- stun rtp rtcp codec srtp_receive relay

# What cargo-fuzz passes, without the sanitizers: those need a nightly compiler, and the core forbids unsafe code.
RUSTFLAGS="--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
export RUSTFLAGS
# Naming the target keeps the instrumentation out of build scripts.
host=$(rustc -vV | sed -n 's/^host: //p')
cargo build --release --quiet --target "$host" --bins
programs=${CARGO_TARGET_DIR:-target}/$host/release

mkdir -p artifacts
for target; do
    mkdir -p "corpus/$target"
    log=artifacts/$target.log
    if ! "$programs/$target" "corpus/$target" "-max_total_time=$seconds" -max_len=1500 -timeout=5 \
        -rss_limit_mb=1024 "-artifact_prefix=artifacts/$target-" -print_final_stats=1 >"$log" 2>&1; then
        tail -n 60 "$log"
        echo "fuzz $target: failed, its input is in $PWD/artifacts" >&2
        exit 1
    fi
    echo "fuzz $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs in $seconds s, no failure"
done
