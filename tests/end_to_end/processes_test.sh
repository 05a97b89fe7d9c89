#!/usr/bin/env bash
# usage: processes_test.sh TROUPE whole_run|killed|stopped|left|scale|interrupt|orphans|apart|learner_killed|buffer_apart|buffer_killed|relay|nccl|ranks|rank_killed|together|pods|director_leaves|upgrade|refused
# Runs of several processes. Waits are polls with a deadline; no check is about time.
set -euo pipefail
troupe=$(realpath "$1")
part=$2
config=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/deploy/config/smoke.toml
work=$(mktemp -d)
trap 'kill -9 ${up:-} ${other:-} 2> /dev/null || true; rm -rf "$work"' EXIT
cd "$work"

fail() {
  echo "FAILED: $*" >&2
  cat output runs/smoke/logs/*.log >&2 || true
  exit 1
}
until_true() {  # COMMAND...: within a minute or so
  for _ in $(seq 600); do
    if "$@" > /dev/null 2>&1; then return; fi
    sleep 0.1
  done
  fail "never true: $*"
}
start() {  # more arguments of up
  "$troupe" up "$config" --generators 2 --verifiers 1 --out runs --plain "$@" > output 2>&1 &
  up=$!
}
start_long() {  # more arguments
  start --set stage.rl.updates=100000 --set replay-buffer.batch=8 --set evaluation.every=0 "$@"
}
ends_with() {  # EXIT-CODE
  local status=0
  wait "$up" || status=$?
  [ "$status" = "$1" ] || fail "exit code $status, not $1"
  none_left || fail "a process stays behind: $(processes)"
}
processes() { pgrep -af -- "serve $config .*$work" || true; }
none_left() { [ -z "$(processes)" ]; }
id_of() { pgrep -f -- "serve $config --role [a-z-]* --name $1 .*$work"; }
runs() { id_of "$1" > /dev/null; }
joined() { grep -c "$1 .*from" runs/smoke/log.jsonl; }
joined_times() { [ "$(joined "$1")" -ge "$2" ]; }
training() { grep -q '^rl [0-9]' output && joined_times gen-0 1 && joined_times gen-1 1 && joined_times ver-0 1; }
balanced() {
  for text in '"ledger_imbalance": 0' '"tokens_beyond_bound": 0'; do
    grep -qF "$text" runs/smoke/summary.json || fail "summary.json has no $text"
  done
}

port_of() {  # ROLE: where its metrics are, and of a director the dashboard
  tr -d '\n ' < runs/smoke/targets.json | sed 's/}},{/\n/g' | sed -n "s/.*\"targets\":\[\"[^\"]*:\([0-9]*\)\"\].*\"role\":\"$1\".*/\1/p"
}
shows_rollouts() {  # on the page, with what learner and generator found, by its id
  local id
  port=$(port_of director)
  id=$(page /api/rollouts | grep -o '"id":"[0-9a-f]\{16\}"' | head -1 | cut -d'"' -f4)
  [ -n "$id" ] && page "/api/rollouts/$id" | grep -q '"log_probs":\[-.*"learner_log_probs":\['
}
rollouts_of_each() {  # UPDATES: four of each in the director's own folder, each once; nowhere else
  local file=runs/smoke/rollouts.jsonl
  [ "$(grep -o '"update":[0-9]*' $file | sort | uniq -c | grep -c ' 4 ')" = "$1" ] || fail "not four rollouts of each update"
  [ -z "$(grep -o '^{"type":"rollout","id":"[0-9a-f]*"' $file | sort | uniq -d)" ] || fail "a rollout is there twice"
  grep -q '"learner_log_probs":\[-' $file || fail "no log-probs of the learner"
  [ -z "$(find runs/smoke/processes -name rollouts.jsonl)" ] || fail "rollouts in the folder of another process"
}

whole_run() {
  start --set stage.rl.updates=60
  for name in director gen-0 gen-1 ver-0; do until_true runs "$name"; done
  ends_with 0
  balanced
  grep -qF '"updates": 60' runs/smoke/summary.json || fail "not 60 updates"
  [ "$(stat -c %a runs/smoke/pki/gen-0.key)" = 600 ] || fail "a key that others can read"
}

killed() {
  start_long
  until_true training
  for name in gen-0 ver-0; do
    kill -9 "$(id_of "$name")"
    until_true joined_times "$name" 2
    grep -qF "$name died: signal 9 (Killed); started again" output || fail "no word of $name"
  done
  kill -INT "$up"
  ends_with 130
  balanced
}

stopped() {
  start_long
  until_true training
  kill -STOP "$(id_of gen-0)"
  until_true grep -qF 'gen-0: link_lost' runs/smoke/log.jsonl  # its tickets are issued again
  kill -CONT "$(id_of gen-0)"
  until_true grep -qF 'gen-0 came back after its lease had ended' runs/smoke/log.jsonl
  until_true joined_times gen-0 2
  kill -INT "$up"
  ends_with 130
  balanced
}

nothing_dropped() {  # REASON...: not a rollout, not a token
  local reason
  for reason in "$@"; do
    if sed -n '/"dropped_/,/}/p' runs/smoke/summary.json | grep -qF "\"$reason\""; then
      fail "summary.json has rollouts or tokens dropped as $reason"
    fi
  done
}

left_nothing() {  # NAME...: what is abandoned where a stage ends is not theirs
  local name
  for name in "$@"; do
    if grep "\"holder\":\"$name#[0-9]*\",\"reason\":\"abandoned\"" runs/smoke/lineage.jsonl; then
      fail "$name abandoned a rollout"
    fi
  done
}

left() {
  start_long --set metrics.lineage=true
  until_true training
  kill -TERM "$(id_of gen-0)"
  until_true grep -qF 'gen-0 has ended: exit code 0' output
  until_true grep -qE 'gen-0 hands over [0-9]+ unfinished rollouts, [0-9]+ tokens' runs/smoke/log.jsonl
  until_true grep -qF 'gen-0 has left' runs/smoke/log.jsonl  # all it had finished is graded
  kill -INT "$up"
  ends_with 130
  balanced
  nothing_dropped generator_lost late stale
  left_nothing gen-0  # gen-1 went on with the rest
}

threads_of() { pgrep -af -- "serve $config --role [a-z]* --name $1 .*$work" | grep -o -- '--threads [0-9]*'; }

scale() {
  start_long --threads 6
  until_true training
  "$troupe" scale runs/smoke --generators 3 | grep -qF 'generators: gen-0 gen-1 gen-2' || fail "not three"
  until_true joined_times gen-2 1
  [ "$(threads_of gen-0) $(threads_of gen-2)" = '--threads 2 --threads 1' ] || fail "threads are not shared out"
  "$troupe" scale runs/smoke --generators 1 | grep -qF 'leaving: gen-1 gen-2' || fail "none leaves"
  until_true grep -qF 'gen-2 has ended: exit code 0' output
  until_true grep -qF 'gen-2 has left' runs/smoke/log.jsonl
  "$troupe" scale runs/smoke --generators 2 | grep -qF 'gen-3' || fail "a name is used again"
  kill -INT "$up"
  ends_with 130
  balanced
  nothing_dropped generator_lost late
}

interrupt() {
  start_long
  until_true training
  kill -STOP "$(id_of director)"  # it cannot end by itself
  kill -INT "$up"
  until_true grep -qF 'once more' output  # two signals that are pending at once are one
  kill -INT "$up"
  ends_with 130
}

orphans() {
  start_long
  until_true training
  kill -9 "$up"
  until_true none_left
}

apart() {  # learner and broadcaster in processes of their own, the latter killed again and again
  start_long --set network.learner=apart --set network.broadcaster=127.0.0.1:0
  until_true training
  until_true joined_times broadcaster 1
  until_true shows_rollouts
  local time
  for time in 2 3 4; do
    kill -9 "$(id_of broadcaster)"
    until_true joined_times broadcaster "$time"
    grep -qF 'broadcaster died: signal 9 (Killed); started again' output || fail "no word of it"
    local update
    update=$(newest_update)
    until_true newer_than "$update"  # generators have new weights
  done
  kill -INT "$up"
  ends_with 130
  balanced
}
learner_killed() {  # the run ends, with the model as it was published last
  start_long --set network.learner=apart --set network.learner-lease-seconds=0.2
  until_true training
  until_true newer_than 0
  kill -9 "$(id_of learner)"
  ends_with 1
  balanced
  grep -qF 'the learner died: link_lost' output || fail "no reason"
  grep -qF 'saved: model at version' runs/smoke/log.jsonl || fail "no model is saved"
}
trains() { grep -q '^rl [0-9]' output; }
buffer_apart() {  # and learner and broadcaster; the director is killed, which nobody else notices
  start --set network.replay-buffer=127.0.0.1:0 --set network.learner=127.0.0.1:0 --set network.broadcaster=127.0.0.1:0 \
    --set stage.rl.updates=200 --set replay-buffer.batch=8
  until_true trains
  local address
  address=$(sed -n 's/.*runs at \([0-9.:]*\);.*/\1/p' runs/smoke/logs/up.log)
  until_true tells "$address" '"role": "director"'
  kill -9 "$(id_of director)"
  until_true grep -qF 'director died: signal 9 (Killed); started again' output
  until_true shows_rollouts
  ends_with 0
  balanced
  rollouts_of_each 200
  grep -qF '"updates": 200' runs/smoke/summary.json || fail "not 200 updates"
  [ "$(grep -c '"type":"update"' runs/smoke/metrics.jsonl)" = 200 ] || fail "not each update once"
  grep -q '^resumed at update [0-9]' output || fail "the new director does not say where it goes on"
  [ -z "$(grep -o '^rl [0-9]*/' output | sort | uniq -d)" ] || fail "an update is said twice"
  [ "$(find runs/smoke -maxdepth 1 -name 'events.out.tfevents.*' | wc -l)" = 1 ] || fail "not one event file"
  grep -q 'joined: replay-buffer: gen-0 ' runs/smoke/log.jsonl || fail "no events of the replay buffer's process"
  [ "$(grep -c 'joined: replay-buffer: gen-0 ' runs/smoke/log.jsonl)" = 1 ] || fail "an event is logged twice"
  if grep -q 'link_lost: [glv][er]' runs/smoke/processes/replay-buffer/log.jsonl; then fail "others noticed"; fi
  grep -q 'the learner at 127.0.0.1:[0-9]*: weights come from there' runs/smoke/processes/broadcaster/log.jsonl ||
    fail "the broadcaster does not take weights from the learner"
  if grep -q link_bypassed runs/smoke/processes/*/log.jsonl; then fail "weights took a way round"; fi
}
takes_from_broadcaster() { grep -q 'the broadcaster at .*: weights come from there' "runs/smoke/processes/$1/log.jsonl"; }
hands_on() { grep -q 'takes weights from here' "runs/smoke/processes/$1/log.jsonl"; }
finds_receiver() {  # other than $1: who has weights from the broadcaster and hands them on; its name is in $receiver
  for receiver in gen-0 gen-1; do
    if [ "$receiver" != "$1" ] && takes_from_broadcaster "$receiver" && hands_on "$receiver"; then return; fi
  done
  return 1
}
relay() {  # on one machine one generator receives for all; it is killed, and another does
  start_long --set broadcaster.relay=tree --set network.broadcaster=127.0.0.1:0
  until_true training
  until_true finds_receiver none
  local killed=$receiver
  kill -9 "$(id_of "$killed")"
  until_true finds_receiver "$killed"
  until_true newer_than "$(newest_update)"
  kill -INT "$up"
  ends_with 130
  balanced
}
carried() { page /metrics | sed -n "s/^troupe_broadcaster_bytes_total{carrier=\"$1\"} //p"; }  # CARRIER: bytes, of who listens at $port
carried_more() { [ "$(carried "$1")" -gt $(($2 + 4000000)) ]; }                              # CARRIER THAN
nccl() {  # by a library made for the tests; then it fails in the midst of a version, and the stream takes over
  [ -n "${FAKE_NCCL:-}" ] || fail "FAKE_NCCL names no library"
  local by_nccl=(--set network.broadcaster=127.0.0.1:0 --set broadcaster.carrier=nccl --set broadcaster.nccl-library="$FAKE_NCCL"
    --set broadcaster.nccl-deadline-seconds=5)
  start_long "${by_nccl[@]}"
  until_true training
  local carrier
  port=$(port_of broadcaster)
  until_true carried_more nccl 0
  for carrier in stream memfd delta; do [ "$(carried "$carrier")" = 0 ] || fail "$carrier has carried something too"; done
  kill -9 "$(id_of gen-0)"
  until_true joined_times gen-0 2
  until_true carried_more nccl "$(carried nccl)"
  kill -INT "$up"
  ends_with 130
  balanced
  FAKE_NCCL_FAIL=broadcast:30 start "${by_nccl[@]}" --set stage.rl.updates=100 --set run.name=failing
  ends_with 0
  grep -q 'carrier: nccl to gen-[01]: .*remote process exited' runs/failing/processes/broadcaster/log.jsonl || fail "no word of the failure"
  grep -qF '"updates": 100' runs/failing/summary.json || fail "not 100 updates"
}
by() {  # ring|nccl: how ranks exchange; the fake sums in the order of ranks too
  [ "$1" = ring ] || printf -- '--set learner.communicator=nccl --set broadcaster.nccl-library=%s' "${FAKE_NCCL:?}"
}
ranks() {  # of the learner, each a process, make what threads make
  local how short=(--set replay-buffer.staleness-bound=0 --set stage.pretrain.updates=30)
  "$troupe" train "$config" --out runs --quiet --set run.name=threads "${short[@]}" --set learner.ranks=3 > said 2>&1
  for how in ring nccl; do
    # shellcheck disable=SC2046  # several words
    start "${short[@]}" --set network.learner=apart --set learner.ranks=3 --set learner.shard-optimizer=true \
      --set network.learner-ranks=127.0.0.1:1,127.0.0.1:2,127.0.0.1:3 $(by "$how")
    until_true runs learner-2
    ends_with 0
    balanced
    cmp runs/smoke/model/model.safetensors runs/threads/model/model.safetensors || fail "other weights by $how than by threads"
    [ "$(grep -l "gradients go .*by NCCL" runs/smoke/processes/learner*/log.jsonl | wc -l)" = 3 ] || fail "not all ranks say how"
    if [ "$how" = nccl ] && grep 'round a ring' runs/smoke/processes/learner*/log.jsonl; then fail "NCCL was asked for"; fi
    rm -r runs/smoke
  done
}
rank_killed() {  # the run ends with the model of before
  local how
  for how in ring nccl; do
    # shellcheck disable=SC2046  # several words
    start_long --set network.learner=apart --set learner.ranks=2 --set network.learner-ranks=127.0.0.1:1,127.0.0.1:2 $(by "$how")
    until_true trains
    kill -9 "$(id_of learner-1)"
    ends_with 1
    grep -qF 'the update was stopped: ' output || fail "no reason"
    grep -qF 'rank 1' output || fail "the rank is not named"
    grep -qF 'saved: model at version' runs/smoke/log.jsonl || fail "no model is saved"
    rm -r runs/smoke
  done
}
buffer_killed() {  # the run ends, with the newest model that the director has
  start_long --set network.replay-buffer=127.0.0.1:0
  until_true trains
  until_true shows_rollouts
  kill -9 "$(id_of replay-buffer)"
  ends_with 1
  grep -qF "the replay buffer's process died: signal 9 (Killed); the run is over" output || fail "no reason"
  grep -qF 'saved: model at version' runs/smoke/log.jsonl || fail "no model is saved"
}
works() {  # ADDRESS NAME: it has sampled tokens, or graded rollouts
  "$troupe" status "$1" --pki runs/smoke/pki --json > told
  grep -A 20 -F "\"name\": \"$2\"" told | grep -m 1 -F '"tokens":' | grep -q '[1-9]'
}

together() {  # two roles in one process, each over a link of its own
  start_long
  until_true training
  local address role
  address=$(sed -n 's/.*runs at \([0-9.:]*\);.*/\1/p' runs/smoke/logs/up.log)
  for role in generator verifier; do
    "$troupe" pki issue runs/smoke/pki --role "$role" --name "$role-both" > /dev/null
  done
  "$troupe" serve "$config" --role generator,verifier --name both --pki runs/smoke/pki --director "$address" \
    --out both --set stage.rl.updates=100000 --set replay-buffer.batch=8 --set evaluation.every=0 > said 2>&1 &
  other=$!
  for role in generator verifier; do until_true joined_times "$role-both" 1; done
  for role in generator verifier; do until_true works "$address" "$role-both"; done
  for role in learner verifier; do
    "$troupe" pki issue runs/smoke/pki --role "$role" --name "$role-other" --host 127.0.0.1 > /dev/null
  done
  refuses "$address" 'the role learner has no place here' --role learner,verifier  # so the verifier leaves
  kill -TERM "$other"
  wait "$other" || fail "exit code $?: $(cat said)"
  until_true grep -qF 'generator-both has left' runs/smoke/log.jsonl
  kill -INT "$up"
  ends_with 130
  balanced
  nothing_dropped generator_lost late
}
newest_update() { sed -n 's/^rl \([0-9]*\)\/.*/\1/p' output | tail -1; }
newer_than() { [ "$(newest_update)" -gt $(($1 + 20)) ]; }

refuses() {  # ADDRESS TEXT ARGUMENTS...: a process that calls itself other
  local address=$1 text=$2 status=0
  shift 2
  "$troupe" serve "$config" --name other --pki runs/smoke/pki --director "$address" --out other \
    --set stage.rl.updates=100000 --set replay-buffer.batch=8 --set evaluation.every=0 "$@" > said 2>&1 || status=$?
  [ "$status" = 2 ] || fail "exit code $status: $(cat said)"
  grep -qF -- "$text" said || fail "no '$text' in $(cat said)"
}

tells() {  # ADDRESS TEXT: the status has it
  "$troupe" status "$1" --pki runs/smoke/pki --json > told
  grep -qF -- "$2" told
}

refused() {
  start_long
  until_true training
  local address
  address=$(sed -n 's/.*runs at \([0-9.:]*\);.*/\1/p' runs/smoke/logs/up.log)
  "$troupe" pki issue runs/smoke/pki --role generator --name other > /dev/null
  refuses "$address" 'another config file' --role generator --set run.seed=7
  refuses "$address" 'is of role generator, and verifier is needed' --role verifier
  refuses 127.0.0.1:0 'is of role generator, and director is needed' --role director
  "$troupe" status "$address" --pki runs/smoke/pki | grep -qF 'mutual TLS 1.3' || fail "no status"
  until_true tells "$address" '"name": "gen-0"'
  until_true tells "$address" "\"host\": \"$(uname -n)\""  # reported about once a second
  kill -INT "$up"
  ends_with 130
}

leaves() {  # NAME: told to end as a rolling update does it
  kill -TERM "$(id_of "$1")"
  until_true grep -qF "$1 has ended: exit code 0" output
}
upgrade() {  # every role anew under load: the new process first, then the old one is told to end
  start_long --set network.broadcaster=127.0.0.1:0 --set metrics.lineage=true
  until_true training
  local old
  for old in 0 1; do
    "$troupe" scale runs/smoke --generators 3 > /dev/null
    until_true joined_times "gen-$((old + 2))" 1
    leaves "gen-$old"
    until_true grep -qF "gen-$old has left" runs/smoke/log.jsonl  # all that it had is handed over
  done
  "$troupe" scale runs/smoke --verifiers 2 > /dev/null
  until_true joined_times ver-1 1
  leaves ver-0
  kill -9 "$(id_of broadcaster)"  # has nothing to hand over; what ends well is not started again by up
  until_true joined_times broadcaster 2
  until_true newer_than "$(newest_update)"  # with weights from the new one
  kill -INT "$up"  # director and learner: the run ends after its update, and another goes on from its model
  ends_with 130
  balanced
  nothing_dropped generator_lost late
  left_nothing gen-0 gen-1
  start --set model.path="$work/runs/smoke/model" --set stage.rl.updates=5
  wait "$up" || fail "exit code $? from the saved model"
  grep -qF '"updates": 5' runs/smoke-2/summary.json || fail "not 5 updates"
}

serve() {  # NAME ROLE MORE...: by hand, in the background; its id is in $served
  "$troupe" serve "$config" --name "$1" --role "$2" --pki pki --out runs --plain "${@:3}" > "said-$1" 2>&1 &
  served=$!
}
page() {  # PATH, of the director's metrics
  exec 3<> /dev/tcp/127.0.0.1/"$port" || return 1
  printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$1" >&3
  cat <&3
}
answers_well() { [[ $(page /healthz) == 'HTTP/1.1 200 '* ]]; }
pods() {  # as in Kubernetes: generators share a certificate, and the director stays when the run is done
  local address port
  "$troupe" pki init pki > /dev/null
  "$troupe" pki issue pki --role director --name director --host 127.0.0.1 > /dev/null
  "$troupe" pki issue pki --role generator --name 'gen-*' > /dev/null
  "$troupe" pki issue pki --role verifier --name 'ver-*' > /dev/null
  port=$((20000 + RANDOM % 10000))
  serve director director --director 127.0.0.1:0 --linger --ready-file ready --set metrics.port="$port"
  director=$served
  trap 'kill -9 ${director:-} ${generator:-} ${verifier:-} 2> /dev/null || true; rm -rf "$work"' EXIT
  until_true test -s ready
  address=$(sed 's/.*"address":"\([^"]*\)".*/\1/' ready)
  serve gen-7f9c-x2 generator --director "$address"
  generator=$served
  serve ver-7f9c-x2 verifier --director "$address"
  verifier=$served
  until_true grep -qF 'the run is done; a signal ends this process' runs/smoke/log.jsonl
  wait "$generator" "$verifier" || fail "they did not end well: $(cat said-gen-* said-ver-*)"
  grep -qF 'gen-7f9c-x2 (generator)' runs/smoke/log.jsonl || fail "another name than its own"
  answers_well || fail "the director is gone, or not well"
  kill -TERM "$director"
  wait "$director" || fail "exit code $? after lingering"
  balanced
}

director_leaves() {  # as in a rollout: the run goes on, and another leads it
  local role apart=(--director 127.0.0.1:0) address
  "$troupe" pki init pki > /dev/null
  for role in director replay-buffer generator verifier; do
    "$troupe" pki issue pki --role $role --name $role --host 127.0.0.1 > /dev/null
  done
  if "$troupe" serve "$config" --role director --name director --pki pki --director 127.0.0.1:0 --leave-run > output 2>&1; then
    fail "who has the replay buffer cannot leave the run"
  fi
  grep -qF 'give the replay buffer one of its own (network.replay-buffer)' output || fail "no remedy"
  address=127.0.0.1:$((30000 + RANDOM % 2000))
  apart=(--set network.replay-buffer="$address" --set stage.rl.updates=300 --set replay-buffer.batch=8)
  serve replay-buffer replay-buffer "${apart[@]}"
  up=$served
  trap 'kill -9 $(jobs -p) 2> /dev/null || true; rm -rf "$work"' EXIT
  serve generator generator "${apart[@]}"
  serve verifier verifier "${apart[@]}"
  serve director director "${apart[@]}" --leave-run
  until_true grep -q '^rl [0-9]' said-director
  kill -TERM "$served"
  wait "$served" || fail "exit code $? of a director that leaves"
  [ ! -e runs/smoke/model ] || fail "a director that leaves has saved a model"
  grep -qF 'leaving: the run goes on' runs/smoke/log.jsonl || fail "it does not say so"
  kill -0 "$up" || fail "the run has ended with the director"
  serve director director "${apart[@]}" --leave-run
  wait "$served" || fail "exit code $? of the next director"
  grep -qF '"updates": 300' runs/smoke-2/summary.json || fail "not 300 updates"
  [ "$(grep -c '"type":"update"' runs/smoke-2/metrics.jsonl)" = 300 ] || fail "not each update once"
  [ -s runs/smoke-2/model/model.safetensors ] || fail "no model"
  wait "$up" || fail "exit code $? of the replay buffer"
}

"$part"
