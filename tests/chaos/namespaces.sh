#!/usr/bin/env bash
# usage: namespaces.sh TROUPE CHECK_RUN
# The director in one network namespace, a generator and a verifier in another; the link between them goes down and
# comes back. Skipped, with the reason, where namespaces may not be made.
set -euo pipefail
troupe=$(realpath "$1")
check=$(realpath "$2")
config=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/deploy/config/smoke.toml
here=troupe-$$-a there=troupe-$$-b
work=$(mktemp -d)
processes=()
end() {
  kill -9 "${processes[@]}" 2> /dev/null || true
  ip netns delete "$here" 2> /dev/null || true
  ip netns delete "$there" 2> /dev/null || true
  rm -rf "$work"
}
trap end EXIT
cd "$work"
skip() {
  echo "skipped: $*"
  exit 0
}
command -v ip > /dev/null || skip "no ip command"
ip netns add "$here" 2> why || skip "$(cat why)"
ip netns add "$there" 2> why || skip "$(cat why)"
ip link add "v$$a" netns "$here" type veth peer name "v$$b" netns "$there" 2> why || skip "$(cat why)"
ip -n "$here" address add 10.77.0.1/24 dev "v$$a"
ip -n "$there" address add 10.77.0.2/24 dev "v$$b"
for side in "$here:v$$a" "$there:v$$b"; do ip -n "${side%:*}" link set "${side#*:}" up; done

fail() {
  echo "FAILED: $*" >&2
  tail -n 20 said-* run/log.jsonl >&2 || true
  exit 1
}
until_true() {  # COMMAND...: within a minute or so
  for _ in $(seq 1200); do
    if "$@" > /dev/null 2>&1; then return; fi
    sleep 0.05
  done
  fail "never true: $*"
}
at_least() { [ "$(grep -c -- "$2" "$1")" -ge "$3" ]; }  # FILE TEXT COUNT
since() { awk -v a="$1" -v b="$(date +%s.%N)" 'BEGIN {printf "%.2f", b - a}'; }
serve() {  # NAMESPACE ROLE NAME MORE...
  local namespace=$1 role=$2 name=$3
  shift 3
  ip netns exec "$namespace" "$troupe" serve "$config" --role "$role" --name "$name" --pki pki --director 10.77.0.1:7420 --quiet \
    --set metrics.lineage=true --set evaluation.every=0 --set stage.rl.updates=2000 --set network.redial-longest-seconds=0.5 \
    "$@" > "said-$name" 2>&1 &
  processes+=($!)
}

"$troupe" pki init pki > /dev/null
"$troupe" pki issue pki --role director --name director --host 10.77.0.1 > /dev/null
"$troupe" pki issue pki --role generator --name gen-0 > /dev/null
"$troupe" pki issue pki --role verifier --name ver-0 > /dev/null
mkdir -p run/processes
serve "$here" director director --run-directory "$work/run"
serve "$there" generator gen-0 --out run/processes
serve "$there" verifier ver-0 --out run/processes
until_true at_least run/metrics.jsonl '"type":"update"' 20
ip -n "$there" link set "v$$b" down
begin=$(date +%s.%N)
until_true at_least run/log.jsonl 'link_lost: gen-0 is away' 1
echo "link down: the director noticed after $(since "$begin") s"
until_true at_least run/processes/gen-0/log.jsonl link_lost 1
echo "link down: gen-0 noticed after $(since "$begin") s"
ip -n "$there" link set "v$$b" up
begin=$(date +%s.%N)
until_true at_least run/log.jsonl 'gen-0 .*from' 2
echo "link down: joined again $(since "$begin") s after the repair"
status=0
wait "${processes[0]}" || status=$?
printf '{"exit": "director", "code": %d, "expected": 0}\n' "$status" >> run/faults.jsonl
"$check" run || fail "an invariant is broken"
