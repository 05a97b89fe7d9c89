#!/usr/bin/env bash
# usage: kills.sh TROUPE CHECK_RUN small|demo|frozen [KILLS] [SEED]
# A run of several processes in which random ones are killed (kill -9) at random updates, beside the same run in peace.
# Both must make the same number of updates, and the checker must find nothing broken.
#   frozen   the job of tests, with a learning rate too small to change a weight: both runs must train the same rollouts
#   small    the job of tests
#   demo     the demo's job, of 1000 updates
# APART: if it is set the replay buffer is in a process of its own, and TARGETS may name the director.
# RELAY: if it is set generators hand weights on, and the learner has a gate of its own process.
# TARGETS: names of the processes to be killed, as patterns (default "gen-* ver-* broadcaster"). OUT: keeps the runs there.
# STOP_SECONDS: instead of killing it, stops (SIGSTOP) each in turn for that long.
set -euo pipefail
troupe=$(realpath "$1")
check=$(realpath "$2")
job=$3
kills=${4:-10}
seed=${5:-$RANDOM}
targets=${TARGETS:-gen-* ver-* broadcaster}
stop_seconds=${STOP_SECONDS:-}
fault=${stop_seconds:+stopped for $stop_seconds s}
fault=${fault:-kill -9}
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=${OUT:-$(mktemp -d)}
mkdir -p "$work"
up=
trap 'kill -9 $up 2> /dev/null || true; [ -n "${OUT:-}" ] || rm -rf "$work"' EXIT
cd "$work"

settings=(--set network.broadcaster=127.0.0.1:0 --set metrics.lineage=true --set director.restart-limit=1000)
[ -z "${APART:-}" ] || settings+=(--set network.replay-buffer=127.0.0.1:0)
[ -z "${RELAY:-}" ] || settings+=(--set broadcaster.relay=tree --set network.learner=127.0.0.1:0)
case $job in
  frozen) settings+=(--set stage.rl.learning-rate=1e-30 --set stage.rl.learning-rate-final=1e-30) ;&
  small)
    config=$top/deploy/config/smoke.toml generators=2 verifiers=2 updates=$((kills * 60))
    settings+=(--set "stage.rl.updates=$updates" --set evaluation.every=0)
    ;;
  demo)
    config=$top/deploy/config/r1-zero-addition.toml generators=4 verifiers=2 updates=1000
    settings+=(--set "stage.reason.updates=$updates" --set evaluation.every=0)
    ;;
  *) echo "kills: no job $job" >&2; exit 2 ;;
esac

if [ -n "$stop_seconds" ]; then generators=1 verifiers=1; fi  # nobody goes on meanwhile

fail() {
  echo "FAILED (seed $seed): $*" >&2
  tail -n 20 output runs/*/logs/*.log >&2 || true
  exit 1
}
start() {  # NAME
  "$troupe" up "$config" --generators "$generators" --verifiers "$verifiers" --out runs --plain --set run.name="$1" \
    "${settings[@]}" > output 2>&1 &
  up=$!
}
finish() {  # NAME
  local status=0
  wait "$up" || status=$?
  printf '{"exit": "%s", "code": %d, "expected": 0}\n' up "$status" >> "runs/$1/faults.jsonl"
}
updates_made() {
  { tail -n 40 runs/killed/metrics.jsonl 2> /dev/null || true; } | grep -o '"type":"update",.*"update":[0-9]*' | tail -n 1 | grep -o '[0-9]*$' || echo 0
}
alive() {  # the names of those that can be killed
  local pattern
  set -f  # patterns are for names of processes, not of files
  for pattern in $targets; do
    pgrep -af -- "serve $config .*$work" | grep -o -- "--name ${pattern//\*/[a-z0-9-]*} " | cut -d ' ' -f 2 || true
  done
  set +f
}
strike() {  # PROCESS
  [ -n "$stop_seconds" ] || { kill -9 "$1"; return; }
  kill -STOP "$1"
  sleep "$stop_seconds"
  kill -CONT "$1"
}
random() { echo $(((RANDOM * 32768 + RANDOM) % $1)); }

begin=$(date +%s)
start clean
finish clean
clean_seconds=$(($(date +%s) - begin))
echo "seed $seed: $kills times ($fault) in $updates updates; in peace they took $clean_seconds s"

RANDOM=$seed
begin=$(date +%s)
start killed
done=0
while [ "$done" -lt "$kills" ]; do
  kill -0 "$up" 2> /dev/null || fail "the run ended after $done kills"
  # Kills are spread over the updates, not over time, so that a fast machine gets as many as a slow one.
  if [ "$(updates_made)" -lt $((updates * done / (kills + 1) + 1)) ]; then
    sleep 0.02
    continue
  fi
  mapfile -t names < <(alive)
  [ "${#names[@]}" -gt 0 ] || { sleep 0.02; continue; }
  chosen=$(random "${#names[@]}")
  [ -z "$stop_seconds" ] || chosen=$((done % ${#names[@]}))
  name=${names[$chosen]}
  pid=$(pgrep -f -- "serve $config .*--name $name .*$work" | head -n 1) || continue
  strike "$pid" 2> /dev/null || continue
  printf '{"time": %s, "fault": "%s", "name": "%s", "process": %s}\n' "$(date +%s.%N)" "$fault" "$name" "$pid" >> runs/killed/faults.jsonl
  done=$((done + 1))
done
finish killed
seconds=$(($(date +%s) - begin))
restarts=$(grep -c 'signal 9 (Killed); started again' runs/killed/logs/up.log) || true
echo "with $done faults $seconds s; $restarts processes started again"
[ -n "$stop_seconds" ] || [ "$restarts" -gt $((kills / 2)) ] || fail "only $restarts processes were started again"
"$check" runs/killed --clean runs/clean --memory-mb "${MEMORY_MB:-600}" --recovery-seconds 60 || fail "an invariant is broken"
grep -A 12 '"dropped_tokens"' runs/killed/summary.json | grep -E '"(dropped_tokens|[a-z_]+)": ' | head -n 8
