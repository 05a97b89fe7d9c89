# shellcheck shell=bash disable=SC2154  # read by pods.sh
# The Job trains the demo to its end, answering for its health and with the dashboard; another that is told to end in the middle
# of it saves what was trained.
pod=train-7f9c-x0
runs=$work/volumes/$pod-state
saved() {  # RUN
  [ -s "$1/model/model.safetensors" ] || fail "no model in $1"
  [ -s "$1/report.html" ] || fail "no report in $1"
}
play_all
healthy_and_ready
answers $pod / > "$work/page"
grep -qiF '<!doctype html>' "$work/page" || fail "no page at /"
say "the dashboard is at /: $(wc -c < "$work/page") bytes"
ended() { [ "$(podman inspect "$pod-troupe" | jq -r '.[0].State.Status')" = exited ]; }
until_true 900 ended
[ "$(exit_code $pod)" = 0 ] || fail "it ended with $(exit_code $pod)"
saved "$runs/r1-zero-addition"
balanced "$runs/r1-zero-addition/summary.json"
grep -qF "\"updates\": $updates" "$runs/r1-zero-addition/summary.json" || fail "not all updates were made"
say "the run is done"

podman pod rm --force $pod > /dev/null
start $pod
updates() { answers $pod /metrics | sed -n 's/^troupe_learner_updates_total.* //p'; }
until_true 600 trained 5
podman stop --time 180 "$pod-troupe" > /dev/null
[ "$(exit_code $pod)" = 130 ] || fail "told to end, it ended with $(exit_code $pod)"
saved "$runs/r1-zero-addition-2"
balanced "$runs/r1-zero-addition-2/summary.json"
grep -qF '"ended": "interrupted"' "$runs/r1-zero-addition-2/summary.json" || fail "it does not say that it was stopped"
say "another ended at SIGTERM in its update $(jq '.stages[-1].updates' "$runs/r1-zero-addition-2/summary.json"), with what it had trained"
