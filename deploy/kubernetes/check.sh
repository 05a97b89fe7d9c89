#!/usr/bin/env bash
# usage: deploy/kubernetes/check.sh [TROUPE]
# Whether the overlays are what a cluster takes and what operations.md asks for, without a cluster: builds each, compares
# its fields with Kubernetes' schemas, and its content with our rules (checks/policy.py); then breaks them in every way of
# checks/broken.yaml, each of which must be noticed. Exit code 77: a tool is missing, and which.
# Wants kubectl (or kustomize), and python3 with kubernetes-validate, fetched once into ~/.cache/troupe.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
troupe=$(realpath "${1:-$here/../../build/release/troupe}")
readonly validate=1.37.0 pyyaml=6.0.2
venv=${XDG_CACHE_HOME:-$HOME/.cache}/troupe/kubernetes-validate-$validate
readonly here troupe venv
skip() { echo "skipped: $*"; exit 77; }

if command -v kubectl > /dev/null; then
  build() { kubectl kustomize "$1"; }
elif command -v kustomize > /dev/null; then
  build() { kustomize build "$1"; }
else
  skip "neither kubectl nor kustomize is here (go install sigs.k8s.io/kustomize/kustomize/v5@latest makes one)"
fi
[ -x "$troupe" ] || skip "no $troupe; build it first"

make_venv() {
  command -v python3 > /dev/null || skip "python3 is missing"
  mkdir -p "$(dirname "$venv")"
  exec 9> "$venv.lock"
  flock 9
  [ ! -e "$venv/ready" ] || return 0
  rm -rf "$venv"
  python3 -m venv "$venv" > /dev/null 2>&1 || skip "python3 -m venv does not work (Debian: python3-venv)"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --retries 1 "kubernetes-validate==$validate" "PyYAML==$pyyaml" > /dev/null 2>&1 ||
    skip "kubernetes-validate $validate cannot be fetched from the package index"
  touch "$venv/ready"
}
[ -e "$venv/ready" ] || make_venv

# A copy, so that certificates and digests of this check never meet those of a cluster.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/deploy"
for folder in kubernetes prometheus grafana; do
  if [ -d "$here/../$folder" ]; then tar -c -C "$here/.." --exclude kubernetes/site "$folder" | tar -x -C "$work/deploy"; fi
done
cd "$work/deploy/kubernetes"
digest() { printf '%064d' "$1"; }
./prepare.sh --troupe "$troupe" --image "localhost/troupe@sha256:$(digest 1)" --gpu-image "localhost/troupe-gpu@sha256:$(digest 2)" > "$work/said" ||
  { cat "$work/said"; exit 1; }
mkdir "$work/rendered"
for overlay in overlays/*/; do
  name=$(basename "$overlay")
  build "$overlay" > "$work/rendered/$name.yaml"
done
"$venv/bin/python" -B checks/check.py "$troupe" ../prometheus/rules/recording.yml checks/broken.yaml "$work"/rendered/*.yaml
