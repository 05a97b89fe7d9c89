#!/usr/bin/env bash
# The same rl stage with a staleness bound of 0 and of 2, in turn: how much overlap of generation and training saves.
# usage: tests/bench/overlap.sh [ROUNDS]      needs build/release/troupe
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-3}
troupe=${TROUPE:-build/release/troupe}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

stage_value() {  # FILE KEY: the number of KEY in the last stage that has it
  grep -o "\"$2\": *[0-9.e+-]*" "$1" | tail -n 1 | sed 's/.*: *//'
}

echo "making the base model once"
$troupe train deploy/config/r1-zero-addition.toml --out "$out" --quiet --set run.name=base \
  --set stage.reason.updates=1 --set evaluation.every=0 >/dev/null
cat > "$out/rl.toml" <<EOF
[run]
out = "$out"
[model]
path = "$out/base/base"
[task]
kind = "addition"
[evaluation]
every = 0
[[stage]]
kind = "rl"
updates = 50
learning-rate = 1e-3
learning-rate-final = 1e-4
warmup-updates = 5
EOF
printf '%-6s %-6s %10s %10s %10s %12s\n' round bound seconds sampled greedy imbalance
for round in $(seq "$rounds"); do
  for bound in 0 2; do
    name="round-$round-bound-$bound"
    $troupe train "$out/rl.toml" --quiet --set run.name="$name" --set run.seed="$round" \
      --set replay-buffer.staleness-bound=$bound >/dev/null
    summary="$out/$name/summary.json"
    seconds=$(stage_value "$summary" wall_seconds)
    printf '%-6s %-6s %10.2f %10.3f %10.3f %12s\n' "$round" "$bound" "$seconds" \
      "$(stage_value "$summary" pass_rate_sampled)" "$(stage_value "$summary" pass_rate_greedy)" \
      "$(stage_value "$summary" ledger_imbalance)"
    echo "$bound $seconds" >> "$out/times"
  done
done
awk '{sum[$1] += $2} END {printf "wall ratio of the rl stage, bound 0 / bound 2: %.2f\n", sum[0] / sum[2]}' "$out/times"
