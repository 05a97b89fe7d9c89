#!/usr/bin/env bash
# How long it takes from troupe scale to the first trained rollout of a new generator of the demo, in seconds from the
# command; and whether a run of 8 generators balances.
# usage: tests/bench/joins.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
troupe=$(realpath "${TROUPE:-build/release/troupe}")
check=$(realpath "${CHECK_RUN:-build/release/tests/chaos/check_run}")
config=$PWD/deploy/config/r1-zero-addition.toml
out=$(mktemp -d)
up=
trap 'kill -9 $up 2> /dev/null || true; rm -rf "$out"' EXIT

until_there() {  # FILE TEXT
  for _ in $(seq 12000); do
    if grep -q -- "$2" "$1" 2> /dev/null; then return; fi
    sleep 0.005
  done
  echo "joins: never seen: $2" >&2
  exit 1
}
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN {printf "%.2f", b - a}'; }

printf '%-6s %9s %9s %9s %14s %14s\n' round started joined weights 'first rollout' 'first trained'
for round in $(seq "${1:-3}"); do
  "$troupe" up "$config" --generators 1 --verifiers 1 --out "$out" --quiet --set run.name="join-$round" --set metrics.lineage=true \
    --set stage.reason.updates=100000 --set evaluation.every=0 > /dev/null 2>&1 &
  up=$!
  run=$out/join-$round
  until_there "$run/metrics.jsonl" '"type":"update","seconds":[0-9.]*,"stage":3,"update":5,'
  begin=$(now)
  "$troupe" scale "$run" --generators 2 > /dev/null &
  until pgrep -f -- "--name gen-1 .*$out" > /dev/null; do sleep 0.005; done
  started=$(since "$begin")
  until_there "$run/metrics.jsonl" 'gen-1 (generator) from'
  joined=$(since "$begin")
  until_there "$run/processes/gen-1/lineage.jsonl" '"type":"held"'
  weights=$(since "$begin")
  until_there "$run/lineage.jsonl" '"gen-1'
  first=$(since "$begin")
  until_there "$run/lineage.jsonl" '"type":"trained".*"generator":"gen-1"'
  printf '%-6s %9s %9s %9s %14s %14s\n' "$round" "$started" "$joined" "$weights" "$first" "$(since "$begin")"
  kill -INT "$up"
  wait "$up" || true
done

begin=$(now)
"$troupe" up "$config" --generators 8 --verifiers 1 --out "$out" --quiet --set run.name=eight --set metrics.lineage=true > /dev/null 2>&1
printf '\n8 generators, the whole demo: %s s\n' "$(since "$begin")"
"$check" "$out/eight" | grep -v 'not checked'
