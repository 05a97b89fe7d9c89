#!/usr/bin/env bash
# Makes the dashboards.
set -euo pipefail

usage() {
  cat << 'TEXT'
Usage: deploy/grafana/generate.sh [TROUPE] [DIRECTORY]

Writes a Grafana dashboard (classic JSON, for versions 9 to 13) for each section of panels.txt into DIRECTORY, by default
deploy/grafana/dashboards. Units and descriptions of the panels are those of `TROUPE metrics --json`, by default of
build/release/troupe; a metric that is not in that list, or a form that does not suit it, is an error. Needs jq.

Example:
  deploy/grafana/generate.sh && git diff deploy/grafana/dashboards
TEXT
}

case ${1:-} in -h | --help) usage; exit 0 ;; esac
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
troupe=${1:-$here/../../build/release/troupe}
into=${2:-$here/dashboards}
command -v jq > /dev/null || { echo "generate: jq is needed (Debian: jq)" >&2; exit 2; }
metrics=$("$troupe" metrics --json)
mkdir -p "$into"
# One dashboard a line: file name, tab, JSON.
jq -Rnr --argjson metrics "$metrics" -f "$here/dashboards.jq" "$here/panels.txt" |
  while IFS=$'\t' read -r file json; do jq . <<< "$json" > "$into/$file.json"; done
