#!/usr/bin/env bash
# The demo job beside the reference prototype, in turn, on this machine; and the demo over ten seeds.
# usage: tests/bench/demo.sh RECIPE.py PYTHON [ROUNDS]    RECIPE.py: the prototype; PYTHON: one that has torch 2.11
#        tests/bench/demo.sh --seeds
set -euo pipefail
cd "$(dirname "$0")/../.."
troupe=$(realpath "${TROUPE:-build/release/troupe}")
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

run_demo() {  # NAME SEED: one run of the demo; its summary is in $out/NAME
  "$troupe" train deploy/config/r1-zero-addition.toml --out "$out" --quiet --seed "$2" --set run.name="$1" > /dev/null
}
rate() {  # SUMMARY before|after KEY, of the last stage that has it
  tr -d '\n ' < "$1" | grep -o "\"$2\":{[^}]*}" | tail -n 1 | grep -o "\"$3\":[0-9.e+-]*" | sed 's/.*://'
}

if [ "${1:-}" = --seeds ]; then
  printf '%-5s %9s %15s %15s %15s %14s %9s %9s\n' seed seconds before-sampled after-sampled after-greedy beyond-bound \
    imbalance 'peak MB'
  for seed in 0 1 2 3 4 5 6 7 8 9; do
    begin=$(date +%s.%N)
    /usr/bin/env time -f %M -o "$out/memory" bash -c "$(declare -f run_demo); troupe=$troupe out=$out; run_demo seed-$seed $seed"
    seconds=$(awk -v a="$begin" -v b="$(date +%s.%N)" 'BEGIN {print b - a}')
    summary="$out/seed-$seed/summary.json"
    printf '%-5s %9.1f %15.3f %15.3f %15.3f %14s %9s %9d\n' "$seed" "$seconds" "$(rate "$summary" before pass_rate_sampled)" \
      "$(rate "$summary" after pass_rate_sampled)" "$(rate "$summary" after pass_rate_greedy)" \
      "$(grep -o '"tokens_beyond_bound": *[0-9]*' "$summary" | tail -n 1 | sed 's/.*: *//')" \
      "$(grep -o '"ledger_imbalance": *[0-9]*' "$summary" | tail -n 1 | sed 's/.*: *//')" \
      "$(($(cat "$out/memory") / 1024))"
  done
  exit
fi
recipe=$(realpath "$1")
for round in $(seq "${3:-3}"); do
  begin=$(date +%s.%N)
  run_demo "demo-$round" 0
  middle=$(date +%s.%N)
  (cd "$out" && OMP_NUM_THREADS=1 "$2" "$recipe" demo 0 > recipe.txt)
  awk -v r="$round" -v a="$begin" -v b="$middle" -v c="$(date +%s.%N)" \
    'BEGIN {printf "round %s: troupe %.1f s, prototype %.1f s, ratio %.2f\n", r, b - a, c - b, (b - a) / (c - b)}'
done
