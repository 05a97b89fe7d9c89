#!/usr/bin/env bash
# What it costs a run to be watched: the small job with a long rl stage, with and without TensorBoard files, sampled
# rollouts, metrics scraped every second and somebody at the dashboard, in turn. Processor time, since wall time is whoever
# else's as well; synchronous, so that all rounds compute the same.
# usage: tests/bench/watched.sh [ROUNDS [UPDATES]]      needs build/release/troupe, curl
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-3}
updates=${2:-3000}
troupe=${TROUPE:-build/release/troupe}
out=$(mktemp -d)
onlooker=
trap '[ -z "$onlooker" ] || kill "$onlooker" 2> /dev/null || true; rm -rf "$out"' EXIT
TIMEFORMAT='%U %S %R'

look_on() {  # PORT: until killed
  curl -sN --retry 20 --retry-connrefused --retry-delay 0 "http://127.0.0.1:$1/events" -o "$out/events" &
  local stream=$!
  trap 'kill $stream 2> /dev/null; exit' TERM
  while true; do
    curl -s "http://127.0.0.1:$1/metrics" -o "$out/metrics" || true
    curl -s "http://127.0.0.1:$1/api/history" -o "$out/history" || true
    curl -s "http://127.0.0.1:$1/api/rollouts" -o "$out/rollouts" || true
    sleep 1
  done
}
run() {  # ROUND WATCHED: adds "WATCHED processor-seconds wall-seconds" to times
  local port=$((21000 + RANDOM % 9000)) switches=(--set metrics.tensorboard=false --set metrics.rollouts-per-update=0)
  if [ "$2" = yes ]; then
    switches=(--set metrics.port="$port")
    look_on "$port" &
    onlooker=$!
  fi
  { time "$troupe" train deploy/config/smoke.toml --out "$out/$1-$2" --quiet --set stage.rl.updates="$updates" --set replay-buffer.batch=32 --set replay-buffer.staleness-bound=0 --threads 1 "${switches[@]}" > /dev/null; } 2> "$out/time"
  if [ "$2" = yes ]; then
    kill "$onlooker"
    wait "$onlooker" || true
    onlooker=
  fi
  read -r user system wall < <(tail -n 1 "$out/time")
  awk -v w="$2" -v c="$user" -v s="$system" -v t="$wall" -v n="$updates" \
    'BEGIN {printf "%-8s %10.2f %10.2f %14.3f\n", w, c + s, t, 1000 * (c + s) / n}' | tee -a "$out/times"
}
printf '%-8s %10s %10s %14s\n' watched processor wall 'ms an update'
for round in $(seq "$rounds"); do
  run "$round" no
  run "$round" yes
done
# The least of the rounds, too: what a round takes beyond it, it takes because of others.
quantile() { awk -v w="$1" '$1 == w {print $4}' "$out/times" | sort -g | awk -v q="$2" '{v[NR] = $1} END {print v[1 + int(q * (NR - 1))]}'; }
for q in 0 0.5; do
  awk -v q=$q -v a="$(quantile no $q)" -v b="$(quantile yes $q)" 'BEGIN {
    printf "%s: %.3f ms an update alone, %.3f ms watched: %.3f ms more\n", q == 0 ? "least" : "median", a, b, b - a}'
done
