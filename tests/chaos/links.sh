#!/usr/bin/env bash
# usage: links.sh TROUPE CHECK_RUN CHAOS_PROXY weather|damaged|cut_up|cut_down|resets [SEED]
# A director whose generator and verifier are linked to it through a proxy that makes bad weather. The run must come to
# its end with every update made, and the checker must find nothing broken. Times are reported, not judged.
# OUT: keeps the run there.
set -euo pipefail
troupe=$(realpath "$1")
check=$(realpath "$2")
proxy=$(realpath "$3")
part=$4
seed=${5:-1}
config=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/deploy/config/smoke.toml
work=${OUT:-$(mktemp -d)}
mkdir -p "$work"
processes=()
trap 'kill -9 "${processes[@]}" 2> /dev/null || true; wait 2> /dev/null || true; [ -n "${OUT:-}" ] || rm -rf "$work"' EXIT
cd "$work"
run=$work/run
settings=(--set metrics.lineage=true --set evaluation.every=0 --set replay-buffer.batch=8 --set network.listen=127.0.0.1:0
  --set network.redial-longest-seconds=0.5)

fail() {
  echo "FAILED (seed $seed): $*" >&2
  tail -n 20 said-* run/log.jsonl weather-done >&2 || true
  exit 1
}
until_true() {  # COMMAND...: within a minute or so
  for _ in $(seq 1200); do
    if "$@" > /dev/null 2>&1; then return; fi
    sleep 0.05
  done
  fail "never true: $*"
}
serve() {  # ROLE NAME ADDRESS MORE...
  local role=$1 name=$2 address=$3
  shift 3
  "$troupe" serve "$config" --role "$role" --name "$name" --pki pki --director "$address" --quiet "${settings[@]}" "$@" > "said-$name" 2>&1 &
  processes+=($!)
}
start() {  # UPDATES
  settings+=(--set "stage.rl.updates=$1")
  "$troupe" pki init pki > /dev/null
  "$troupe" pki issue pki --role director --name director --host 127.0.0.1 > /dev/null
  "$troupe" pki issue pki --role generator --name gen-0 > /dev/null
  "$troupe" pki issue pki --role verifier --name ver-0 > /dev/null
  mkdir -p run/processes
  serve director director 127.0.0.1:7420 --run-directory "$run" --ready-file "$work/ready"
  director=${processes[0]}
  until_true test -f ready
  mkfifo commands
  "$proxy" "$work/port" "$(grep -o '127.0.0.1:[0-9]*' ready | cut -d : -f 2)" "$seed" < commands > weather-done &
  processes+=($!)
  exec 3> commands
  until_true test -f port
  for who in generator:gen-0 verifier:ver-0; do
    serve "${who%:*}" "${who#*:}" "127.0.0.1:$(cat port)" --out run/processes
  done
}
make() {  # COMMAND: of the proxy
  local before
  before=$(grep -cxF "did $1" weather-done) || true
  echo "$1" >&3
  until_true done_often "$1" $((before + 1))
}
done_often() { [ "$(grep -cxF "did $1" weather-done)" -ge "$2" ]; }
count() { { cat "$1" 2> /dev/null || true; } | grep -c -- "$2" || true; }  # FILE TEXT
at_least() { [ "$(count "$1" "$2")" -ge "$3" ]; }
updates() { { cat run/metrics.jsonl 2> /dev/null || true; } | grep -c '"type":"update"' || true; }
made() { [ "$(updates)" -ge "$1" ]; }
came_back() { until_true at_least run/log.jsonl "$1 .*from" "$2"; }
ends_well() {
  local status=0
  wait "$director" || status=$?
  printf '{"exit": "director", "code": %d, "expected": 0}\n' "$status" >> run/faults.jsonl
  for process in "${processes[@]:2}"; do
    status=0
    wait "$process" || status=$?
    printf '{"exit": "process %d", "code": %d, "expected": 0}\n' "$process" "$status" >> run/faults.jsonl
  done
  "$check" run --memory-mb 600 || fail "an invariant is broken"
}

weather() {  # all of it at once, and connections that end
  start 60
  make "reorder 0.2"
  until_true made 3
  make "both delay 0.01 0.02"
  make "both loss 0.02 0.2"
  make "both rate 2000000"
  make reset
  until_true made 20
  make reset
  until_true made 40
  make clear
  ends_well
}

resets() {
  start 200
  for n in 1 2 3 4 5 6; do
    until_true made $((n * 25))
    make reset
    came_back gen-0 $((n + 1))
    came_back ver-0 $((n + 1))
  done
  ends_well
}

damaged() {  # TLS notices a changed bit; the link is dialled again
  start 150
  local n=1
  for direction in up down up down; do
    until_true made $((n * 25))
    make "$direction corrupt 1"
    until_true at_least weather-done "^damaged .* $direction" $(((n + 1) / 2))
    n=$((n + 1))
    until_true at_least run/log.jsonl 'gen-0 .*from\|ver-0 .*from' $((n + 1))
  done
  cat run/log.jsonl run/processes/*/log.jsonl > logs
  at_least logs 'bytes are not good TLS' 1 || fail "TLS noticed nothing"
  ends_well
}

cut_link() {  # DIRECTION
  start 150
  until_true made 20
  local here there begin
  here=$(count run/log.jsonl 'link_lost: gen-0 is away')
  there=$(count run/processes/gen-0/log.jsonl link_lost)
  make "$1 cut on"
  begin=$(date +%s.%N)
  until_true at_least run/processes/gen-0/log.jsonl link_lost $((there + 1))
  echo "cut $1: gen-0 noticed after $(since "$begin") s"
  until_true at_least run/log.jsonl 'link_lost: gen-0 is away' $((here + 1))
  echo "cut $1: the director noticed after $(since "$begin") s (silence-seconds 2)"
  make "$1 cut off"
  begin=$(date +%s.%N)
  came_back gen-0 2
  came_back ver-0 2
  echo "cut $1: joined again $(since "$begin") s after the repair"
  ends_well
}
since() { awk -v a="$1" -v b="$(date +%s.%N)" 'BEGIN {printf "%.2f", b - a}'; }
cut_up() { cut_link up; }
cut_down() { cut_link down; }

"$part"
