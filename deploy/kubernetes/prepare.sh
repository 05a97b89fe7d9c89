#!/usr/bin/env bash
# usage: deploy/kubernetes/prepare.sh [--troupe FILE] [--image REF@sha256:...] [--gpu-image REF@sha256:...] [--ranks N] [--renew]
# Makes site/, which the overlays read and git does not: an authority with a certificate for each role (troupe pki), the
# Secrets from them, and the images' digests. Once more changes only what is asked for; --renew gives new keys to all.
# --ranks: of the learner in the overlay ranks (3).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
troupe=../../build/release/troupe
image=
gpu_image=
renew=false
ranks=3
fail() { echo "prepare: $*" >&2; exit 2; }
while [ $# -gt 0 ]; do
  case $1 in
    --troupe) troupe=$2; shift ;;
    --image) image=$2; shift ;;
    --gpu-image) gpu_image=$2; shift ;;
    --ranks) ranks=$2; shift ;;
    --renew) renew=true ;;
    -h | --help) sed -n '2,5s/^# //p' "$(basename "$0")"; exit 0 ;;
    *) fail "unknown option $1; try --help" ;;
  esac
  shift
done
[[ $ranks =~ ^[0-9]+$ ]] || fail "--ranks $ranks is no number"
command -v "$troupe" > /dev/null || fail "no $troupe; build it (deploy/test.sh), or give --troupe FILE"
built() { cat "../../build/image/$1.ref" 2> /dev/null || true; }  # as deploy/docker/build.sh has left it
image=${image:-$(built cpu)}
gpu_image=${gpu_image:-$(built gpu)}

readonly authority=site/pki/authority
names() {  # of a service in the cluster, or of a pod behind one, and of a forwarded port
  printf -- '--host %s ' "$1" "$1.troupe" "$1.troupe.svc" "$1.troupe.svc.cluster.local" localhost
}
rank_names() { seq -f 'learner-rank-%.0f' 1 $((ranks - 1)); }
issue() {  # ROLE NAME HOST-OPTIONS...
  [ -e "$authority/$3.pem" ] || "$troupe" pki issue "$authority" --role "$1" --name "$2" "${@:4}"
}
issue_all() {
  local hosts rank
  [ -e "$authority/ca.pem" ] || "$troupe" pki init "$authority"
  issue director director director --host director
  read -r -a hosts <<< "$(names replay-buffer)"
  issue replay-buffer replay-buffer replay-buffer "${hosts[@]}"
  read -r -a hosts <<< "$(names broadcaster)"
  issue broadcaster broadcaster broadcaster "${hosts[@]}"
  read -r -a hosts <<< "$(names learner)"
  issue learner learner learner "${hosts[@]}"
  for rank in $(rank_names); do  # each has to say which it is, so there is no pool of them
    read -r -a hosts <<< "$(names "$rank.learner-rank")"
    issue learner "$rank" "$rank" "${hosts[@]}"
  done
  issue generator 'generator-*' generator-_any  # the pods' names are theirs: one certificate for all of a role
  issue verifier 'verifier-*' verifier-_any
  issue observer operator operator  # troupe status, from outside
  if $renew; then 
    read -r -a hosts <<< "$(rank_names | tr '\n' ' ')"
    "$troupe" pki renew "$authority" director replay-buffer broadcaster learner "${hosts[@]}" 'generator-*' 'verifier-*' operator; fi
}
secret() {  # ROLE FILE...
  cat <<YAML
  - name: troupe-$1
    files:
      - ca.pem=authority/ca.pem
      - crl.pem=authority/crl.pem
YAML
  printf '      - authority/%s\n' "${@:2}"
}
write_secrets() {
  {
    printf 'apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nsecretGenerator:\n'
    for role in director replay-buffer learner broadcaster; do secret $role $role.pem $role.key; done
    for role in generator verifier; do secret $role $role-_any.pem $role-_any.key; done
    # shellcheck disable=SC2046  # names without spaces
    secret learner-rank $(rank_names | sed 's/.*/&.pem &.key/')
  } > site/pki/kustomization.yaml
}
image_lines() {  # NAME REF@DIGEST
  [[ $2 =~ ^[^@]+@sha256:[0-9a-f]{64}$ ]] || fail "$2 is no image with a digest (REF@sha256:...)"
  printf '  - name: %s\n    newName: %s\n    digest: %s\n' "$1" "${2%@*}" "${2#*@}"
}
write_images() {
  [ -n "$image$gpu_image" ] || {
    [ -e site/image/kustomization.yaml ] || fail "which image? run deploy/docker/build.sh, or give --image REF@sha256:..."
    return 0
  }
  {
    printf 'apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nimages:\n'
    [ -z "$image" ] || image_lines troupe "$image"
    [ -z "$gpu_image" ] || image_lines troupe-gpu "$gpu_image"
  } > site/image/kustomization.yaml.new
  mv site/image/kustomization.yaml.new site/image/kustomization.yaml
}
indent() { sed 's/^\(.\)/  \1/' "$1"; }
rules_file() { find ../prometheus/rules -name '*.y*ml' -exec grep -l '^groups:' {} + 2> /dev/null | sort; }
dashboards() { find ../grafana/dashboards -name '*.json' 2> /dev/null | sort; }
write_monitoring() {  # alerts and dashboards of deploy/, in the form a cluster takes
  rm -rf site/monitoring
  mkdir -p site/monitoring
  local file
  {
    printf 'apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n'
    printf 'labels:\n  - pairs: {app.kubernetes.io/part-of: troupe}\n'
    [ -z "$(rules_file)" ] || echo 'resources:'
    for file in $(rules_file); do
      local name
      name=$(basename "${file%.*}")
      printf '  - %s.yaml\n' "$name"
      {
        printf 'apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: troupe-%s\nspec:\n' "${name//_/-}"
        indent "$file"
      } > "site/monitoring/$name.yaml"
    done
    [ -z "$(dashboards)" ] || echo 'configMapGenerator:'
    for file in $(dashboards); do
      cp "$file" site/monitoring/
      printf '  - name: dashboard-%s\n    files: [%s]\n' "$(basename "${file%.json}" | tr _ -)" "$(basename "$file")"
      printf '    options: {labels: {grafana_dashboard: "1"}, disableNameSuffixHash: true}\n'
    done
  } > site/monitoring/kustomization.yaml
}

mkdir -p site/pki site/image
chmod 700 site/pki
write_images
issue_all
write_secrets
write_monitoring
echo "prepare: ready; kubectl apply -k $(pwd)/overlays/cpu-demo"
