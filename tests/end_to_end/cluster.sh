#!/usr/bin/env bash
# usage: tests/end_to_end/cluster.sh [TROUPE] [OVERLAY]
# An overlay (cpu-demo by default; ranks, hardened, single-node) in the Kubernetes cluster that kubectl is set to: applies it, and the
# demo trains across pods while one is killed, the workloads are rolled and scaled, budgets hold and policies are obeyed; all
# updates are made with nothing lost. Wants a cluster that holds or can pull the image (IMAGE, a reference with a digest; by
# default that of deploy/docker/build.sh), that has volumes to give out, and no namespace `troupe`, which is made and deleted
# again. Exit code 77: no such cluster, and why. UPDATES: how many (default 1500: time for faults).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(realpath "$here/../..")
troupe=$(realpath "${1:-$top/build/release/troupe}")
overlay=${2:-cpu-demo}
updates=${UPDATES:-1500}
skip() { echo "skipped: $*"; exit 77; }
for tool in kubectl jq curl; do command -v $tool > /dev/null || skip "$tool is missing"; done
kubectl version --request-timeout=5s > /dev/null 2>&1 || skip "kubectl reaches no cluster"
image=${IMAGE:-$(cat "$top/build/image/cpu.ref" 2> /dev/null || true)}
[ -n "$image" ] || skip "there is no image: deploy/docker/build.sh makes one, or IMAGE names one"
! kubectl get namespace troupe > /dev/null 2>&1 || skip "the cluster has a namespace troupe, which this would delete"

work=$(mktemp -d)
begin=$(date +%s.%N)
say() { printf '%6.1f s  %s\n' "$(bc -l <<< "$(date +%s.%N) - $begin")" "$*"; }
k() { kubectl -n troupe "$@"; }
clean_up() {
  kubectl delete --ignore-not-found --wait -k "$work/kubernetes/overlays/$overlay" > /dev/null 2>&1 || true
  rm -rf "$work"
}
fail() {
  echo "FAILED: $*" >&2
  k get pods -o wide >&2 || true
  k get events --field-selector type=Warning --sort-by=.lastTimestamp 2> /dev/null | tail -n 15 >&2 || true
  for pod in $(k get pods -o name); do
    echo "-- $pod" >&2
    k logs --tail 10 "$pod" >&2 || true
  done
  exit 1
}
until_true() {  # SECONDS COMMAND...
  local limit=$((SECONDS + $1))
  shift
  until "$@" > /dev/null 2>&1; do
    [ $SECONDS -lt $limit ] || fail "never true: $*"
    sleep 0.5
  done
}
says() { grep -F -- "$1" > /dev/null; }  # of what is piped in, all of which is read
answers() {  # POD PATH: a page of its metrics port, forwarded, for policies let Prometheus alone in
  local port forward status=0
  exec 3< <(exec kubectl -n troupe port-forward "pod/$1" :9464 2>&1)
  forward=$!
  IFS=' :' read -r -t 20 _ _ _ port _ <&3 || status=1
  [ $status != 0 ] || curl -fsS --max-time 5 "http://127.0.0.1:$port$2" || status=1
  kill $forward 2> /dev/null || true
  exec 3<&-
  return $status
}
figure() { answers "$1" /metrics | sed -n "s/^$2\(\|{.*}\) //p"; }  # POD METRIC
more_than() { [ "$(figure "$1" "$2")" -gt "$3" ]; }               # POD METRIC FLOOR
names() { k get pods --no-headers -o custom-columns=n:.metadata.name ${1:+-l app.kubernetes.io/name=$1}; }

cp -r "$top/deploy/kubernetes" "$work/kubernetes"
rm -rf "$work/kubernetes/site"
"$work/kubernetes/prepare.sh" --troupe "$troupe" --image "$image" --gpu-image "$image" > "$work/said"
find "$work/kubernetes" -name config.toml | while read -r config; do  # of the last stage, the rl stage
  tac "$config" | sed "0,/^updates = .*/s//updates = $updates/" | tac > "$work/config"
  cp "$work/config" "$config"
done
trap clean_up EXIT
kubectl apply -k "$work/kubernetes/overlays/$overlay" > "$work/applied" || fail "it cannot be applied"
say "applied: $(wc -l < "$work/applied") objects"

if [ "$overlay" = single-node ]; then
  until_true 300 k wait --for=jsonpath='{.status.ready}'=1 job/train --timeout=1s
  say "the pod is ready"
  pod=$(k get pods --no-headers -o custom-columns=n:.metadata.name)
  answers "$pod" / | says '<title>' || fail "no dashboard"
  until_true 900 k wait --for=condition=complete job/train --timeout=1s
  k logs "$pod" | says "reason done: $updates updates" || fail "not all updates were made"
  say "the job is complete"
  exit 0
fi

until_true 300 more_than learner-0 troupe_learner_version 0
say "the learner has made its first update"
for pod in $(names); do until_true 300 k wait --for=condition=Ready "pod/$pod" --timeout=1s; done
say "every pod is ready: $(names | tr '\n' ' ')"

# Another pod of the namespace, with the labels that it is given: whether it reaches the gate.
asks() {  # NAME LABEL
  k run "$1" --image "$image" --restart Never --labels "app.kubernetes.io/name=$2" --overrides "$(jq -n --arg image "$image" --arg name "$1" '
    {spec: {automountServiceAccountToken: false, securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: "RuntimeDefault"}},
            volumes: [{name: "pki", secret: {secretName: "observer"}}],
            containers: [{name: $name, image: $image, args: ["status", "replay-buffer:7420", "--pki", "/pki", "--name", "operator"],
                          volumeMounts: [{name: "pki", mountPath: "/pki"}],
                          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: ["ALL"]}}}]}}')" > /dev/null
  until_true 120 ended "$1"
  [ "$(k get pod "$1" -o jsonpath='{.status.phase}')" = Succeeded ]
}
ended() { k get pod "$1" -o jsonpath='{.status.phase}' | grep -qE 'Succeeded|Failed'; }
authority=$work/kubernetes/site/pki/authority
k create secret generic observer --from-file="$authority/ca.pem" --from-file="$authority/crl.pem" --from-file="$authority/operator.pem" \
  --from-file="$authority/operator.key" > /dev/null
asks visitor verifier || fail "who may, does not reach the replay buffer: $(k logs visitor | tail -n 1)"
k logs visitor | says 'mutual TLS 1.3' || fail "no status: $(k logs visitor)"
k delete pod visitor > /dev/null
enforced=false
for stranger in stranger-{1..3}; do  # a policy may take a moment
  if ! asks "$stranger" stranger; then enforced=true; fi
  k delete pod "$stranger" > /dev/null
  ! $enforced || break
done
if $enforced; then
  say "the replay buffer is reached by who may, and by no stranger"
else
  say "this cluster's network does not enforce NetworkPolicies"
fi

victim=$(names generator | sed -n 1p)
k delete pod "$victim" --force --grace-period=0 > /dev/null 2>&1
gone() { ! k get pod "$1"; }
until_true 120 gone "$victim"
until_true 120 k rollout status deployment/generator --timeout=1s
say "a generator was killed, and another has taken its place"
for workload in deployment/generator deployment/verifier statefulset/broadcaster statefulset/director; do
  k rollout restart $workload > /dev/null
  until_true 300 k rollout status $workload --timeout=1s
done
say "generators, verifiers, broadcaster and director have been rolled"
k scale deployment/generator --replicas 3 > /dev/null
until_true 120 k wait --for=jsonpath='{.status.readyReplicas}'=3 deployment/generator --timeout=1s
k scale deployment/generator --replicas 1 > /dev/null
say "scaled to three generators, and to one"
for pod in learner-0 replay-buffer-0; do
  ! jq -n --arg pod $pod '{apiVersion: "policy/v1", kind: "Eviction", metadata: {name: $pod, namespace: "troupe"}}' |
    kubectl create --raw "/api/v1/namespaces/troupe/pods/$pod/eviction" -f - > "$work/evicted" 2>&1 || fail "$pod can be evicted"
  grep -qF 'disruption budget' "$work/evicted" || fail "eviction of $pod: $(cat "$work/evicted")"
done
say "learner and replay buffer cannot be evicted"

before=$(figure learner-0 troupe_learner_updates_total)
k delete pod director-0 --force --grace-period=0 > /dev/null 2>&1
until_true 120 more_than learner-0 troupe_learner_updates_total $((before + 20))
until_true 120 k wait --for=condition=Ready pod/director-0 --timeout=1s
say "the director was killed: updates went on, and another leads"
done_with_it() { k logs director-0 | says 'the run is done'; }
until_true 900 done_with_it
k logs director-0 | says "reason done: $updates updates" || fail "not all updates were made"
answers director-0 /download/summary.json > "$work/summary.json" || fail "no summary"
for text in '"ledger_imbalance": 0' '"tokens_beyond_bound": 0' "\"updates\": $updates"; do
  grep -qF "$text" "$work/summary.json" || fail "summary.json has no $text"
done
say "the run is done, with $updates updates, and the ledger balances"
