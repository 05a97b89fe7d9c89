# shellcheck shell=bash disable=SC2154  # read by pods.sh, which sets work, image
# What can be asked of pods that are played.

until_true() {  # SECONDS COMMAND...
  local limit=$((SECONDS + $1))
  shift
  until "$@" > /dev/null 2>&1; do
    [ $SECONDS -lt $limit ] || fail "never true: $*"
    sleep 0.2
  done
}
log() { cat "$work"/volumes/{director,replay-buffer}-0-state/*/log.jsonl; }
logged() { log | grep -E -- "$1" > /dev/null; }  # reads all, or cat would fail
times() { [ "$(log | grep -cE -- "$1")" -ge "$2" ]; }  # PATTERN COUNT
address() { podman inspect "$1-troupe" "$(podman pod inspect "$1" | jq -r .InfraContainerID)" | jq -r '[.[].NetworkSettings.Networks[]?.IPAddress | select(. != "")][0]'; }
answers() { curl -fsS --max-time 5 "http://$(address "$1"):9464$2"; }  # NAME PATH
updates() { answers learner-0 /metrics | sed -n 's/^troupe_learner_updates_total.* //p'; }
trained() { [ "$(updates)" -gt "${1:-0}" ]; }
process_of() { podman inspect "$1-troupe" | jq '.[0].State.Pid'; }  # NAME
exit_code() { podman inspect "$1-troupe" | jq '.[0].State.ExitCode'; }
ends_well() {  # NAME: at SIGTERM
  podman stop --time 60 "$1-troupe" > /dev/null
  [ "$(exit_code "$1")" = 0 ] || fail "$1 did not end well"
}
play_all() {
  local name
  names=$(jq -r '.[].name' "$work/pods.json")
  for name in $names; do start "$name"; done
  say "all pods are played: $(tr '\n' ' ' <<< "$names")"
}
healthy_and_ready() {
  local name
  for name in $names; do until_true 120 answers "$name" /healthz; done
  say "every pod is healthy"
  for name in $names; do until_true 300 answers "$name" /readyz; done
  say "every pod is ready"
}
balanced() {  # FILE...: summaries of runs
  grep -qF '"ledger_imbalance": 0' "$@" || fail "the ledger does not balance"
  grep -qF '"tokens_beyond_bound": 0' "$@" || fail "a token is beyond the bound"
}
