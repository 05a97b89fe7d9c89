#!/usr/bin/env bash
# The demo as one process and as several (troupe up), in turn; and how long it takes until a fault is noticed, its
# tickets are issued again and the process is back.
# usage: tests/bench/processes.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
troupe=$(realpath "${TROUPE:-build/release/troupe}")
config=$PWD/deploy/config/r1-zero-addition.toml
out=$(mktemp -d)
up=
trap 'kill -9 $up 2> /dev/null || true; rm -rf "$out"' EXIT

rate() {  # SUMMARY KEY, after the last stage that has it
  tr -d '\n ' < "$1" | grep -o '"after":{[^}]*}' | tail -n 1 | grep -o "\"$2\":[0-9.e+-]*" | sed 's/.*://'
}
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN {printf "%.2f", b - a}'; }

printf '%-6s %-12s %9s %9s %9s %10s\n' round processes seconds sampled greedy imbalance
for round in $(seq "${1:-3}"); do
  for kind in one several; do
    begin=$(now)
    if [ "$kind" = one ]; then
      "$troupe" train "$config" --out "$out" --quiet --set run.name="$kind-$round" > /dev/null
    else
      "$troupe" up "$config" --generators 2 --verifiers 1 --out "$out" --quiet --set run.name="$kind-$round" > /dev/null 2>&1
    fi
    seconds=$(since "$begin")
    summary=$out/$kind-$round/summary.json
    printf '%-6s %-12s %9s %9.3f %9.3f %10s\n' "$round" "$kind" "$seconds" "$(rate "$summary" pass_rate_sampled)" \
      "$(rate "$summary" pass_rate_greedy)" \
      "$(grep -o '"ledger_imbalance": *[0-9]*' "$summary" | tail -n 1 | sed 's/.*: *//')"
  done
done

"$troupe" up deploy/config/smoke.toml --generators 2 --verifiers 1 --out "$out" --plain --set run.name=faults \
  --set stage.rl.updates=10000000 --set replay-buffer.batch=8 --set evaluation.every=0 > "$out/output" 2>&1 &
up=$!
lines=$out/faults/metrics.jsonl
count() { { cat "$lines" 2> /dev/null || true; } | grep -c -- "$1" || true; }
reaches() {  # TEXT COUNT: seconds until the text is there so often, at most a minute
  local begin
  begin=$(now)
  for _ in $(seq 6000); do
    [ "$(count "$1")" -lt "$2" ] || { since "$begin"; return; }
    sleep 0.01
  done
  echo never
}
id_of() { pgrep -f -- "--name $1 .*$out"; }
reaches 'gen-0 (generator)' 1 > /dev/null
reaches '"update":20,' 1 > /dev/null
printf '\n%-26s %9s %15s %11s\n' fault noticed 'issued again' 'joined again'
for fault in KILL STOP; do
  away=$(($(count 'gen-0 is away') + 1)) lost=$(($(count 'gen-0#.*issued again') + 1)) joined=$(($(count 'gen-0 (generator)') + 1))
  kill "-$fault" "$(id_of gen-0)"
  begin=$(now)
  reaches 'gen-0 is away' "$away" > /dev/null
  noticed=$(since "$begin")
  reaches 'gen-0#.*issued again' "$lost" > /dev/null
  again=$(since "$begin")
  if [ "$fault" = STOP ]; then
    kill -CONT "$(id_of gen-0)"
    begin=$(now)
  fi
  reaches 'gen-0 (generator)' "$joined" > /dev/null
  printf '%-26s %9s %15s %11s\n' "generator, kill -$fault" "$noticed" "$again" "$(since "$begin")"
done
kill -INT "$up"
wait "$up" || true
