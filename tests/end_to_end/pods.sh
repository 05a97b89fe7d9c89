#!/usr/bin/env bash
# usage: tests/end_to_end/pods.sh [TROUPE] [OVERLAY]
# An overlay (cpu-demo, or cert-manager, for which openssl stands in) in real containers, without a cluster: builds the
# image, renders the overlay, and plays its pods in podman (pods.jq says how they are mapped). The demo trains across
# pods, each answers for its health, a generator that is killed comes back and joins, one that is told to end hands over
# what it has, a director that is killed finds the run going on, and all updates are made with nothing lost. As root. Exit code 77: a tool is missing, and which. UPDATES:
# how many (default 1500: time for faults).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(realpath "$here/../..")
troupe=$(realpath "${1:-$top/build/release/troupe}")
overlay=${2:-cpu-demo}
skip() { echo "skipped: $*"; exit 77; }
for tool in podman runc catatonit netavark iptables kubectl jq curl openssl; do
  command -v $tool > /dev/null || [ -x /usr/lib/podman/$tool ] || skip "$tool is missing"
done
[ -x /usr/lib/podman/aardvark-dns ] || skip "aardvark-dns is missing"
[ "$(id -u)" = 0 ] || skip "root is needed"

work=$(mktemp -d)
chmod 755 "$work"
say() { printf '%6.1f s  %s\n' "$(bc -l <<< "$(date +%s.%N) - $begin")" "$*"; }
fail() {
  echo "FAILED: $*" >&2
  for pod in $(jq -r '.[].name' "$work/pods.json"); do
    echo "-- $pod" >&2
    podman logs --tail 15 "$pod-troupe" >&2 || true
  done
  exit 1
}
# Where limits cannot be raised, and control groups are of two kinds, podman's defaults do not start a container.
cat > "$work/containers.conf" <<'TEXT'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
TEXT
export CONTAINERS_CONF=$work/containers.conf
play() { podman --log-level error kube play --log-driver k8s-file "$@"; }
clean_up() {
  local name
  for name in $(jq -r '.[].name' "$work/pods.json" 2> /dev/null); do podman pod rm --force --time 2 "$name" > /dev/null 2>&1 || true; done
  for name in $(jq -r '.[].networks[] | sub(":.*"; "")' "$work/pods.json" 2> /dev/null | sort -u); do
    podman network rm --force "$name" > /dev/null 2>&1 || true
  done
  rm -rf "$work"
}
trap clean_up EXIT

if ! [ "$top/build/image/cpu.ref" -nt "$troupe" ]; then "$top/deploy/docker/build.sh" cpu --troupe "$troupe"; fi
image=$(cat "$top/build/image/cpu.ref")
podman image exists "$image" || podman load --quiet --input "$top/build/image/cpu.tar" > /dev/null
cp -r "$top/deploy/kubernetes" "$work/kubernetes"
rm -rf "$work/kubernetes/site"
"$work/kubernetes/prepare.sh" --troupe "$troupe" --image "$image" > "$work/said"
kubectl kustomize "$work/kubernetes/overlays/$overlay" > "$work/rendered.yaml"
kubectl annotate --local -f "$work/rendered.yaml" played-by=podman -o json | jq -s . > "$work/objects.json"
jq --arg folder "$work" -f "$here/pods.jq" "$work/objects.json" > "$work/pods.json"
longer=--set=stage.reason.updates=${UPDATES:-1500}
jq --arg set "$longer" 'map(.pod.spec.containers[0].args += [$set])' "$work/pods.json" > "$work/pods.new"
mv "$work/pods.new" "$work/pods.json"

write_files() {  # KIND FOLDER FILTER: the contents of Secrets and ConfigMaps, as a kubelet mounts them
  local kind=$1 folder=$2 name key
  while read -r name key; do
    mkdir -p "$work/$folder/$name"
    jq -j --arg kind "$kind" --arg name "$name" --arg key "$key" ".[] | select(.kind == \$kind and .metadata.name == \$name) | .data[\$key]$3" \
      "$work/objects.json" > "$work/$folder/$name/$key"
  done < <(jq -r --arg kind "$kind" '.[] | select(.kind == $kind) | .metadata.name as $n | .data | keys[] | "\($n) \(.)"' "$work/objects.json")
}
# As cert-manager does it: an authority, and for each Certificate a Secret with ca.crt, tls.crt and tls.key. Of a volume
# the kubelet gives a key the name that its `items` say.
write_certificates() {
  local secret names usages folder=$work/secret/troupe-authority key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
  mkdir -p "$folder"
  openssl req -x509 "${key[@]}" -keyout "$folder/tls.key" -out "$folder/tls.crt" -subj /CN=troupe -days 3650 \
    -addext keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign 2> /dev/null
  while IFS=$'\t' read -r secret names usages; do
    folder=$work/secret/$secret
    mkdir -p "$folder"
    openssl req -new "${key[@]}" -keyout "$folder/tls.key" -subj "/CN=${secret#troupe-}" 2> /dev/null |
      openssl x509 -req -CA "$work/secret/troupe-authority/tls.crt" -CAkey "$work/secret/troupe-authority/tls.key" -days 90 -out "$folder/tls.crt" \
        -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=%s\nkeyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:false\n' \
          "$names" "$usages") 2> /dev/null
    cp "$work/secret/troupe-authority/tls.crt" "$folder/ca.crt"
  done < <(jq -r '.[] | select(.kind == "Certificate") | .spec | select(.isCA | not) |
    [.secretName, ([(.uris[] | "URI:" + .), (.dnsNames[]? | "DNS:" + .)] | join(",")),
     ([.usages[] | {"client auth": "clientAuth", "server auth": "serverAuth"}[.] // empty] | join(","))] | @tsv' "$work/objects.json")
  while read -r secret names usages; do
    mv "$work/secret/$secret/$names" "$work/secret/$secret/$usages"
  done < <(jq -r '.[] | .spec.template.spec.volumes[]?.secret | select(.items) | .secretName as $s | .items[] | "\($s) \(.key) \(.path)"' "$work/objects.json")
}
write_files Secret secret ' | gsub("\\s"; "") | @base64d'
write_files ConfigMap config ''
if jq -e 'any(.kind == "Certificate")' "$work/objects.json" > /dev/null; then write_certificates; fi
mkdir -p "$work/volumes"
jq -r '.[] | .name as $n | .folders[] | "\($n)-\(.)"' "$work/pods.json" | (cd "$work/volumes" && xargs mkdir)
find "$work/secret" -name '*.key' -exec chmod 400 {} +
chown -R 65532:65532 "$work/secret" "$work/volumes"
for network in $(jq -r '.[].networks[] | sub(":.*"; "")' "$work/pods.json" | sort -u); do
  podman network create --internal "$network" > /dev/null
done

start() {  # NAME
  local networks
  mapfile -t networks < <(jq -r --arg name "$1" '.[] | select(.name == $name) | .networks[] | "--network=\(.)"' "$work/pods.json")
  jq --arg name "$1" '.[] | select(.name == $name) | .pod' "$work/pods.json" > "$work/$1.json"
  play "${networks[@]}" "$work/$1.json" > /dev/null || fail "$1 cannot be played"
}
until_true() {  # SECONDS COMMAND...
  local limit=$((SECONDS + $1))
  shift
  until "$@" > /dev/null 2>&1; do
    [ $SECONDS -lt $limit ] || fail "never true: $*"
    sleep 0.2
  done
}
log() { cat "$work"/volumes/{director,replay-buffer}-0-state/*/log.jsonl; }
logged() { log | grep -qE -- "$1"; }
times() { [ "$(log | grep -cE -- "$1")" -ge "$2" ]; }
address() { podman inspect "$1-troupe" "$(podman pod inspect "$1" | jq -r .InfraContainerID)" | jq -r '[.[].NetworkSettings.Networks[]?.IPAddress | select(. != "")][0]'; }
answers() { curl -fsS --max-time 5 "http://$(address "$1"):9464$2"; }
trained() { answers learner-0 /metrics | grep -E '^troupe_learner_updates_total' | grep -vqE ' 0$'; }

learning() { podman logs director-0-troupe | grep -q '^reason [0-9]'; }

begin=$(date +%s.%N)
for name in $(jq -r '.[].name' "$work/pods.json"); do start "$name"; done
say "all pods are played: $(jq -r '[.[].name] | join(" ")' "$work/pods.json")"
names=$(jq -r '.[].name' "$work/pods.json")
until_true 600 trained
say "the learner has made its first update"
for name in $names; do until_true 120 answers "$name" /healthz; done
say "every pod is healthy"
if answers director-0 /readyz > /dev/null 2>&1; then
  for name in $names; do until_true 300 answers "$name" /readyz; done
  say "every pod is ready"
else
  echo "          /readyz is not asked: this binary does not serve it"
fi
operator=$work/kubernetes/site/pki/authority
observe=(--pki /pki --name operator)
if [ -d "$work/secret/troupe-operator" ]; then
  operator=$work/secret/troupe-operator
  (cd "$operator" && mv ca.crt ca.pem && mv tls.crt operator.pem && mv tls.key operator.key)
  observe+=(--no-revocation-list)
fi
status_from() {  # NETWORK
  podman run --rm --user 0 --network "$1" --volume "$operator:/pki:ro" "$image" status replay-buffer:7420 "${observe[@]}"
}
status_from troupe-generator-replay-buffer | grep -qF 'mutual TLS 1.3' || fail "no status from where the director can be reached"
! status_from troupe-generator-broadcaster > /dev/null 2>&1 || fail "the generators' way to the broadcaster leads to the replay buffer"
say "the replay buffer is reached where a policy allows it, and nowhere else"

until_true 600 learning
until_true 120 times 'generator-7f9c-x1 \(generator\) from' 1
kill -9 "$(podman inspect generator-7f9c-x1-troupe | jq '.[0].State.Pid')"
until_true 120 times 'generator-7f9c-x1 \(generator\) from' 2
say "a generator that was killed is back"
ends_well() {  # NAME: at SIGTERM
  podman stop --time 60 "$1-troupe" > /dev/null
  [ "$(podman inspect "$1-troupe" | jq '.[0].State.ExitCode')" = 0 ] || fail "$1 did not end well"
}
for name in generator-7f9c-x0 verifier-7f9c-x0 broadcaster-0; do  # a rolling restart
  ends_well $name
  podman start "$name-troupe" > /dev/null
  until_true 120 times "${name%-0} \(.*\) from" 2  # the pod of a StatefulSet joins by its role
done
logged 'generator-7f9c-x0 has left' || fail "the generator handed over nothing"
say "generator, verifier and broadcaster have been ended and started again"
updates() { answers learner-0 /metrics | sed -n 's/^troupe_learner_updates_total.* //p'; }
before=$(updates)
kill -9 "$(podman inspect director-0-troupe | jq '.[0].State.Pid')"
further() { [ "$(updates)" -gt $((before + 20)) ]; }
until_true 120 further
say "the director was killed: updates went on"
until_true 120 answers director-0 /readyz
say "another director leads"

until_true 900 logged 'the run is done'
say "the run is done"
grep -qF '"ledger_imbalance": 0' "$work"/volumes/director-0-state/*/summary.json || fail "the ledger does not balance"
grep -qF '"tokens_beyond_bound": 0' "$work"/volumes/director-0-state/*/summary.json || fail "a token is beyond the bound"
grep -qF "\"updates\": ${UPDATES:-1500}" "$work"/volumes/director-0-state/*/summary.json || fail "not all updates were made"
ends_well director-0
say "the director ended at SIGTERM"
