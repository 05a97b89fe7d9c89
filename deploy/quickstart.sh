#!/usr/bin/env bash
# From a fresh clone to a model that learned something: installs, builds, trains.
set -euo pipefail

if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
  cat <<'TEXT'
Usage: deploy/quickstart.sh [options of troupe train]

Runs deploy/setup.sh, builds the troupe binary and trains deploy/config/r1-zero-addition.toml: a base model guesses
at sums, then learns to think first. No GPU is needed. The result goes to a folder in runs/ of the current directory,
or where --out says.

Example:
  deploy/quickstart.sh --seed 3
TEXT
  exit 0
fi

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
troupe=$top/build/release/troupe

"$top/deploy/setup.sh"
cmake -S "$top" --preset release ${TROUPE_TORCH:+-D "TROUPE_TORCH=$TROUPE_TORCH"} > /dev/null
cmake --build "$top/build/release" --target troupe
"$troupe" train "$top/deploy/config/r1-zero-addition.toml" "$@"

out=runs
previous=
for argument in "$@"; do
  case $argument in --out=*) out=${argument#--out=} ;; esac
  [ "$previous" != --out ] || out=$argument
  previous=$argument
done
model=$(find "$out" -name model.safetensors -printf '%T@ %h\n' | sort -n | tail -n 1 | cut -d' ' -f2-)
cat <<TEXT

Worth trying next:
  $troupe sample $model 478+365= -n 3
  $troupe eval $model --json
  $troupe train $top/deploy/config/r1-addition.toml
TEXT
