#!/usr/bin/env bash
# What the load generator costs a request, beside wrk on the same server, in turns.
# Needs wrk (the distribution's package); builds and starts its own server.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v wrk >/dev/null || { echo 'benches/load.sh: wrk is not installed' >&2; exit 1; }
cargo build --release --locked --quiet
folder=$(mktemp -d)
bin=target/release/plimsoll
address=127.0.0.1:${PORT:-18099}
"$bin" serve --data-dir "$folder/data" --listen "$address" 2>"$folder/log" &
server=$!
trap 'kill "$server"; wait "$server" || true; rm -rf "$folder"' EXIT
for _ in $(seq 50); do
    [ -S "$folder/data/plimsoll.sock" ] && break
    sleep 0.1
done
cat >"$folder/steady.toml" <<'T'
name = "steady"
max_in_flight = 200
[[stage]]
name = "hold"
duration_s = 5
rate = 50000
[[endpoint]]
path = "/healthz"
weight = 100
T
TIMEFORMAT='%U %S'
# Processor time of a command in µs a request; its output has `requests N`.
cost() { # name, command
    local name=$1 used
    shift
    used=$({ time "$@" >"$folder/out" 2>/dev/null || true; } 2>&1)
    awk -v name="$name" -v used="$used" '
        /requests in/ { for (i = 2; i <= NF; i++) if ($i ~ /^requests/) n = $(i - 1) }
        END { split(used, t, " "); printf "%-8s %9d requests, %5.1f us of a processor each\n", name, n, (t[1] + t[2]) * 1e6 / n }
    ' "$folder/out"
}
for _ in 1 2 3; do
    cost ours "$bin" loadtest run "$folder/steady.toml" --url "http://$address"
    cost wrk wrk -t1 -c200 -d5s "http://$address/healthz"
done
