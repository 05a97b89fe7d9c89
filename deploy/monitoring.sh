#!/usr/bin/env bash
# A Prometheus for one run on this machine.
set -euo pipefail

usage() {
  cat << 'TEXT'
Usage: deploy/monitoring.sh RUN_DIRECTORY [--port PORT] [--interval SECONDS]

Runs Prometheus (Debian's package, which deploy/setup.sh installs) for a run of `troupe up`, until Ctrl-C: it scrapes every
process of the run as they come and go, and evaluates the rules and alerts of deploy/prometheus. Its files are in
RUN_DIRECTORY/prometheus. It says how to attach a Grafana, which Debian does not have.

  --port      where it listens, on 127.0.0.1 (default 9090)
  --interval  seconds between scrapes (default 5)
  --help      prints this text

Example:
  build/release/troupe up deploy/config/r1-zero-addition.toml --generators 2 &
  deploy/monitoring.sh runs/r1-zero-addition
TEXT
}

fail() { echo "monitoring: $1" >&2; exit 2; }

run=
port=9090
interval=5
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --port) port=${2:-}; shift ;;
    --interval) interval=${2:-}; shift ;;
    -*) fail "unknown option $1; try --help" ;;
    *) run=$1 ;;
  esac
  shift
done
[ -n "$run" ] || fail "which run directory? try --help"
[[ $port =~ ^[0-9]+$ && $interval =~ ^[1-9][0-9]*$ ]] || fail "--port and --interval are numbers"
[ -f "$run/targets.json" ] || fail "$run has no targets.json: is it the directory of a run of troupe up?"
command -v prometheus > /dev/null || fail "prometheus is not installed; deploy/setup.sh does that"

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
files=$(cd "$run" && pwd)/prometheus
mkdir -p "$files"
rm -rf "$files/rules"
cp -r "$here/prometheus/rules" "$files/rules"
sed -e "s/\(interval: \)5s/\1${interval}s/" -e "s/\(scrape_timeout: \)4s/\1${interval}s/" \
  "$here/prometheus/local.yml" > "$files/prometheus.yml"

cat << TEXT
Prometheus: http://127.0.0.1:$port (alerts: /alerts, processes: /targets); its log: $files/log
Grafana, version 9 or newer, on this machine:
  cp $here/grafana/provisioning/datasources/*.yaml /etc/grafana/provisioning/datasources/   # the port there is 9090
  cp $here/grafana/provisioning/dashboards/*.yaml /etc/grafana/provisioning/dashboards/
  mkdir -p /var/lib/grafana/dashboards/troupe && cp $here/grafana/dashboards/*.json /var/lib/grafana/dashboards/troupe/
  systemctl restart grafana-server
TEXT
exec prometheus --config.file="$files/prometheus.yml" --storage.tsdb.path="$files/data" \
  --web.listen-address="127.0.0.1:$port" > "$files/log" 2>&1
