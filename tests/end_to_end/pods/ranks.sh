# shellcheck shell=bash disable=SC2154  # read by pods.sh
# A learner of three pods trains the demo; rank 0 listens twice, for the others and for the broadcaster. While they wait for
# another run one of them is killed: all meet anew. In the next run another is killed: it ends with that reason and the newest
# published model, and as a run that failed is followed by another, the ranks are there for that.
ranks=$(jq '[.[] | select(.role | startswith("learner"))] | length' "$work/pods.json")
met() { cat "$work"/volumes/learner*-state/*/log.jsonl | grep -cF 'ranks: gradients go round a ring'; }
all_met() { [ "$(met)" -ge $(($1 * ranks)) ]; }  # TIMES
killed() { kill -9 "$(process_of "$1")"; }
learners_log() { cat "$work/volumes/learner-0-state"/*/log.jsonl; }

play_all
until_true 600 trained
say "the learner has made its first update"
healthy_and_ready
all_met 1 || fail "the ranks have not met"
until_true 900 logged 'the run is done'
balanced "$work"/volumes/director-0-state/*/summary.json
learners_log | grep -F 'broadcaster takes weights from here' > /dev/null || fail "the broadcaster did not come to rank 0"
say "the run is done by $ranks ranks"

until_true 120 all_met 2
killed learner-rank-1
until_true 120 all_met 3
learners_log | grep -F 'rank 1 was lost before the first stage' > /dev/null || fail "rank 0 does not say why it ended"
say "one was killed that waited for another run: all have met anew"

ends_well director-0
podman start director-0-troupe > /dev/null
until_true 600 times 'saved: base at' 2
until_true 120 trained 20
killed learner-rank-2
say "one was killed in the second run"
until_true 120 times 'saved: model at' 2
summaries() { cat "$work"/volumes/director-0-state/*/summary.json; }
names_the_lost() { summaries | grep -m 1 -o 'the update was stopped: [^"]*rank 2[^"]*'; }
until_true 60 names_the_lost  # it is written after the model
[ "$(find "$work/volumes/director-0-state" -path '*/model/model.safetensors' -size +0 | wc -l)" = 2 ] || fail "no model was saved"
balanced "$work"/volumes/director-0-state/*/summary.json
say "the run ended: $(names_the_lost)"
until_true 120 all_met 4
until_true 120 times 'joined: .*: learner \(learner\) from' 4
say "the director has begun another run, and all ranks are there"
