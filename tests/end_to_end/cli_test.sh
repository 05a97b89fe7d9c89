#!/usr/bin/env bash
# usage: cli_test.sh TROUPE train|commands|bad_input
set -euo pipefail
troupe=$(realpath "$1")
part=$2
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
  echo "FAILED: $*" >&2
  exit 1
}
expect() {  # EXIT-CODE TEXT COMMAND...: runs it; the text is in what it prints
  local wanted=$1 text=$2 status=0
  shift 2
  "$@" > output 2>&1 || status=$?
  [ "$status" = "$wanted" ] || { cat output >&2; fail "exit code $status, not $wanted: $*"; }
  grep -qF -- "$text" output || { cat output >&2; fail "'$text' is not in the output of: $*"; }
}
has() { grep -qF -- "$2" "$1" || fail "$1 has no '$2'"; }

train() {
  expect 0 'ledger' "$troupe" train "$top/deploy/config/smoke.toml" --out runs --trace --plain
  for file in model/config.json model/model.safetensors model/tokenizer.json base/model.safetensors summary.json \
    metrics.jsonl report.html log.jsonl config.toml trace.json; do
    [ -s "runs/smoke/$file" ] || fail "runs/smoke/$file is missing or empty"
  done
  for text in '"ledger_imbalance": 0' '"tokens_beyond_bound": 0' '"pass_rate_greedy"' '"log_prob_gap"' '"idle_ratio"' \
    '"generator_tokens_per_second"'; do
    has runs/smoke/summary.json "$text"
  done
  expect 0 'smoke-2' "$troupe" train "$top/deploy/config/smoke.toml" --out runs --quiet  # nothing is overwritten
  # With a bound of 0 and one generator a run is a function of its seed, from a file as from the built-in task.
  "$troupe" data addition prompts.jsonl --digits 1 --count 64 > output
  for name in built-in again from-file; do
    local source=()
    [ "$name" != from-file ] || source=(--set task.kind=jsonl --set "task.prompts=$work/prompts.jsonl")
    "$troupe" train "$top/deploy/config/smoke.toml" --out same --quiet --set "run.name=$name" \
      --set replay-buffer.staleness-bound=0 "${source[@]}" > output 2>&1 || { cat output >&2; fail "$name"; }
  done
  cmp same/built-in/model/model.safetensors same/again/model/model.safetensors
  cmp same/built-in/model/model.safetensors same/from-file/model/model.safetensors
  ! cmp -s same/built-in/base/model.safetensors same/built-in/model/model.safetensors || fail "nothing was learned"
}

commands() {
  "$troupe" train "$top/deploy/config/smoke.toml" --out runs --progress json > progress 2> output
  grep -v '"type":"run_ends"' progress | sort > told
  sort runs/smoke/metrics.jsonl | cmp - told || fail "--progress json tells other lines than metrics.jsonl has"
  tail -n 1 progress | grep -qF "\"ended\":\"done\",\"run_directory\":\"$work/runs/smoke\"" || fail "the end is not told"
  ls runs/smoke/events.out.tfevents.* > output || fail "no events for TensorBoard"
  "$troupe" train "$top/deploy/config/smoke.toml" --out runs --quiet --set generator.slots=32 --set metrics.tensorboard=false > output
  ! ls runs/smoke-2/events.out.tfevents.* > output 2>&1 || fail "events that nobody asked for"
  expect 0 'generator.slots' "$troupe" report runs/smoke runs/smoke-2 --html compared.html
  has output 'stage rl'
  grep -qE 'ledger imbalance +0 +0$' output || { cat output >&2; fail "no figures side by side"; }
  ! grep -q 'replay-buffer.batch' output || fail "a key that does not differ is shown"
  has compared.html "class='s2'"
  expect 0 '"stage rl"' "$troupe" report runs/smoke --json
  expect 0 '"pass_rate_sampled"' "$troupe" eval runs/smoke/model --digits 1 --prompts 16 --max-new-tokens 16 --json
  expect 0 '"log_probs"' "$troupe" sample runs/smoke/model 1+2= --max-new-tokens 16 --json
  expect 0 'staleness-bound = 1' "$troupe" check "$top/deploy/config/smoke.toml"
  expect 0 'LibTorch' "$troupe" version
  expect 0 'example: troupe train' "$troupe" train --help
  expect 0 'held-out' "$troupe" data addition held.jsonl --digits 1 --count 8 --held-out
  expect 0 'pass rate' "$troupe" eval runs/smoke/model --data held.jsonl --max-new-tokens 16
}

bad_input() {
  expect 2 'did you mean train' "$troupe" trian
  expect 2 'did you mean' "$troupe" check "$top/deploy/config/smoke.toml" --set replay-buffer.stalenes-bound=1
  expect 2 '"remedy": "give \"auto\"' "$troupe" check "$top/deploy/config/smoke.toml" --set run.device=gpu --json
  expect 0 'would not start on this machine' "$troupe" check "$top/deploy/config/smoke.toml" --set run.device=cuda:99
  expect 2 'nowhere.toml' "$troupe" train nowhere.toml
  expect 2 'nowhere/summary.json: cannot be read' "$troupe" report nowhere
  mkdir half
  echo '{}' > half/summary.json
  expect 2 'half/summary.json: is not a summary' "$troupe" report half
  rm -r half
  expect 2 'at most 8 runs' "$troupe" report a b c d e f g h i --html page.html
  expect 2 '--progress' "$troupe" train "$top/deploy/config/smoke.toml" --progress loud
  expect 2 'config.json' "$troupe" eval "$work"
  expect 2 'cuda:99' "$troupe" train "$top/deploy/config/smoke.toml" --out runs --set run.device=cuda:99
  printf '{"prompt": "1+1="}\n' > bad.jsonl
  expect 2 'bad.jsonl:1' "$troupe" train "$top/deploy/config/smoke.toml" --out runs --set task.kind=jsonl \
    --set "task.prompts=$work/bad.jsonl"
  [ ! -e runs ] || [ -z "$(ls -A runs)" ] || fail "a run directory was made for a run that cannot begin"
}

"$part"
