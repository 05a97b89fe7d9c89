#!/usr/bin/env bash
# usage: monitoring_test.sh TROUPE dashboards|queries|renamed|alerts|pods|live
# What watches a run: rules, alerts and dashboards against the list of metrics, and against a real run and a real Prometheus.
# Waits are polls with a deadline; no check is about time.
# shellcheck disable=SC2013,SC2016
set -euo pipefail
troupe=$(realpath "$1")
part=$2
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
prometheus=$top/deploy/prometheus
grafana=$top/deploy/grafana
work=$(mktemp -d)
up='' watcher=''
trap 'kill -9 $watcher $up 2> /dev/null || true; rm -rf "$work"' EXIT
cd "$work"

fail() {
  echo "FAILED: $*" >&2
  [ ! -s left ] || cut -f 2 left >&2
  tail -n 5 output runs/smoke/logs/*.log runs/smoke/prometheus/log >&2 2> /dev/null || true
  exit 1
}
needs() {  # TOOL...
  local tool
  for tool in "$@"; do
    command -v "$tool" > /dev/null || { echo "skipped: $tool is not installed (deploy/setup.sh)"; exit 77; }
  done
}
until_true() {  # COMMAND...: within a minute or so
  for _ in $(seq 600); do
    if "$@" > /dev/null 2>&1; then return; fi
    sleep 0.1
  done
  fail "never true: $*"
}

# --- queries against the list of metrics ---

panel_queries() { jq -r '.panels[].targets[]?.expr' "$grafana"/dashboards/*.json; }
variable_queries() { jq -r '.templating.list[].query.query? // empty' "$grafana"/dashboards/*.json; }
rule_texts() { sed 's/#.*//' "$prometheus"/rules/*.yml; }
# Autoscalers and whatever else asks for metrics; names that the adapter gives (`as:`) are its own.
kubernetes=$top/deploy/kubernetes
kubernetes_texts() { find "$kubernetes" -name '*.y*ml' -not -path '*/checks/*' -exec sed 's/#.*//' {} + 2> /dev/null || true; }
derived() { kubernetes_texts | sed -nE 's/.*[{ ]as: *(troupe_[a-z0-9_]+).*/\1/p' | sort -u; }
other_texts() {
  kubernetes_texts | grep -oE '\b(rate\(|run:)?troupe_[a-z0-9_]*[a-z0-9](:[a-z0-9_]+)?\b' | grep -vxFf <(derived; echo no-derived-name) || true
}
autoscaler_queries() { kubernetes_texts | sed -n 's/^ *query: //p' | sed -E 's/(namespace|run)="troupe"//'; }
all_texts() { panel_queries; variable_queries; rule_texts; other_texts; }
recorded() { sed -n 's/^ *- record: //p' "$prometheus/rules/recording.yml"; }
names() { grep -oE '\b(run:)?troupe_[a-z0-9_]+(:[a-z0-9_]+)?' | sort -u; }

# METRICS-JSON; prints what is wrong, one thing a line
problems() {
  local known recorded_names texts
  texts=$(all_texts)
  # Everything a process exposes, and whether it only ever grows.
  known=$(jq -r '.[] | .name as $n | if .kind == "histogram" then ("_bucket", "_sum", "_count" | "\($n)\(.) grows")
                 elif .kind == "counter" then "\($n) grows" else "\($n) moves" end' "$1")
  recorded_names=$(recorded)
  local name
  for name in $(names <<< "$texts" | sed -E '/:/d'); do
    grep -qE "^$name (grows|moves)$" <<< "$known" || echo "no such metric: $name"
  done
  for name in $(names <<< "$texts" | sed -nE '/:/p'); do
    grep -qxF "$name" <<< "$recorded_names" || echo "no such recording rule: $name"
  done
  for name in $(grep -oE '\b(rate|increase)\(troupe_[a-z0-9_]+' <<< "$texts" | sed 's/.*(//' | sort -u); do
    ! grep -qxF "$name moves" <<< "$known" || echo "a gauge has no rate: $name"
  done
  for name in $(jq -r '.[].name' "$1"); do
    grep -qE "\b${name}(_bucket|_sum|_count)?\b" <<< "$texts" || echo "nothing shows $name"
  done
}

dashboards() {  # they are what the generator makes of the list
  needs jq
  "$grafana/generate.sh" "$troupe" made
  diff -r made "$grafana/dashboards" || fail "not generated: run deploy/grafana/generate.sh"
  local file
  for file in made/*.json; do
    jq -e '.id == null and (.uid | startswith("troupe-")) and .schemaVersion == 39 and .graphTooltip == 1
           and ([.panels[] | select(.type != "row")] | length > 0 and all(
             (.title | length > 0) and (.description | length > 0) and (.fieldConfig.defaults.unit | length > 0)
             and (.fieldConfig.defaults.thresholds.steps[0].value == null)
             and (.datasource.uid == "${datasource}") and (.gridPos | .x + .w <= 24)
             and (.targets | length == 1) and (.targets[0].expr | length > 0)))
           and ([.panels[].id] | length == (unique | length))
           and ([.templating.list[].name] == ["datasource", "job", "run", "instance", "runbook"])' "$file" > /dev/null ||
      fail "$file breaks a rule"
  done
  # A form that does not suit a metric is refused, and so is a metric that is not there.
  cp -r "$grafana" other
  sed -i 's/| value ~ | troupe_run_update |/| rate | troupe_run_update |/' other/panels.txt
  if other/generate.sh "$troupe" other/made 2> said; then fail "a rate of a gauge is made"; fi
  grep -qF 'troupe_run_update is a gauge: not for rate' said || fail "said: $(cat said)"
}

queries() {
  needs jq
  "$troupe" metrics --json > list.json
  [ -z "$(problems list.json)" ] || fail "$(problems list.json)"
}

renamed() {  # any metric that is renamed is missed, and one of another kind
  needs jq
  local renamed=(troupe_generator_decode_step_seconds troupe_ledger_imbalance troupe_link_peer_connected) name
  "$troupe" metrics --json |
    jq 'map(if IN(.name; $ARGS.positional[]) then .name += "_x" elif .name == "troupe_learner_updates_total" then .kind = "gauge"
            else . end)' --args "${renamed[@]}" > other.json
  problems other.json > said
  for name in "${renamed[@]}"; do
    grep -qxE "no such metric: $name(_bucket)?" said || fail "nobody misses $name"
    grep -qxF "nothing shows ${name}_x" said || fail "nobody shows ${name}_x"
  done
  grep -qxF 'a gauge has no rate: troupe_learner_updates_total' said || fail "nobody minds its kind"
}

alerts() {
  needs promtool
  promtool check rules "$prometheus"/rules/*.yml > said || fail "$(cat said)"
  promtool test rules "$prometheus"/tests/*.yml > said 2>&1 || fail "$(cat said)"
  local alert text cases
  cases=$(cat "$prometheus"/tests/*.yml)
  for alert in $(names_of_alerts); do
    for text in fires quiet; do
      grep -q "name: $alert, $text with " <<< "$cases" || fail "$alert has no test with '$text'"
    done
    grep -qx "## $alert" "$top/deploy/runbook.md" || fail "the runbook has no section $alert"
    grep -q "runbook_url: deploy/runbook.md#${alert,,}\$" "$prometheus/rules/alerts.yml" || fail "$alert has no runbook"
  done
  for alert in $(panel_alerts); do
    grep -q "^ *- alert: $alert\$" "$prometheus/rules/alerts.yml" || fail "a panel links $alert"
  done
}
names_of_alerts() { sed -n 's/^ *- alert: //p' "$prometheus/rules/alerts.yml"; }
panel_alerts() { sed '/^#/d' "$grafana/panels.txt" | grep -oE '![A-Za-z]+' | tr -d '!' | sort -u; }

# NAME PART PORT-NAME PHASE INSTANCE: a port of a pod, as Kubernetes would tell Prometheus of it.
pod() {
  jq -n '$ARGS.positional as [$name, $part, $port, $phase, $instance] | "__meta_kubernetes_" as $of | {targets: ["10.0.0.1:9464"], labels: {
    ($of + "namespace"): "space", ($of + "pod_name"): ($name + "-0"), ($of + "pod_phase"): $phase, ($of + "pod_container_port_name"): $port,
    ($of + "pod_label_app_kubernetes_io_name"): $name, ($of + "pod_label_app_kubernetes_io_part_of"): $part,
    ($of + "pod_label_app_kubernetes_io_instance"): $instance}}' --args "$@"
}

# What kubernetes.yml makes of pods. Debian's Prometheus cannot ask Kubernetes, so a file stands for the answer.
pods() {
  needs jq promtool
  grep -q '^      - role: pod$' "$prometheus/kubernetes.yml" || fail "nobody asks for pods"
  sed -e 's/kubernetes_sd_configs:/file_sd_configs:/' -e 's/- role: pod/- files: [pods.json]/' "$prometheus/kubernetes.yml" > prometheus.yml
  cp -r "$prometheus/rules" rules
  promtool check config prometheus.yml > said 2>&1 || fail "$(cat said)"
  {
    pod director troupe metrics Running ''
    pod director troupe link Running ''
    pod generator troupe metrics Running second
    pod verifier troupe metrics Succeeded ''
    pod grafana grafana metrics Running ''
  } | jq -s . > pods.json
  cat > wanted <<'TEXT'
troupe director director-0 space 10.0.0.1:9464
troupe generator generator-0 second 10.0.0.1:9464
TEXT
  local seconds
  for seconds in 1 5 30; do  # promtool tells what it has found by then; on a busy machine that may be nothing
    promtool check service-discovery --timeout=${seconds}s prometheus.yml troupe 2> said |
      jq -r '.[].labels | select(.job) | "\(.job) \(.role) \(.instance) \(.run) \(.__address__)"' > scraped || true
    if cmp -s scraped wanted; then return; fi
  done
  diff scraped wanted || fail "other pods are scraped, or under other names"
}

# --- a real run and a real Prometheus ---

get() (  # HOST:PORT PATH: the body; fails unless the status is 200
  exec 3<> "/dev/tcp/${1%:*}/${1#*:}"
  printf 'GET %s HTTP/1.0\r\nHost: %s\r\n\r\n' "$2" "$1" >&3
  IFS=' ' read -r _ status _ <&3
  sed '1,/^\r$/d' <&3
  [ "$status" = 200 ]
)
serving() { get "$1" "$2" > /dev/null; }
uri() { jq -Rr '@uri "\(.)"'; }  # a line each
ask() { get "127.0.0.1:$port" "/api/v1/query?query=$1"; }  # QUERY, encoded
has_data() { ask "$(uri <<< "$1")" | grep -qF '"resultType":"vector","result":[{'; }
address_of() { jq -re --arg name "$1" '.[] | select(.labels.instance == $name).targets[0]' runs/smoke/targets.json; }
serves() { serving "$(address_of "$1")" /readyz; }
free_port() {
  local port
  for port in $(shuf -i 20000-32000 -n 50); do
    if ! (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then echo "$port"; return; fi
  done
}
moved() { [ "$(address_of gen-0)" != "$1" ] && serves gen-0; }
seen() {  # the names that have samples
  ask "$(uri <<< 'count by (__name__) ({__name__=~"(run:)?troupe_.+"})')" | jq -r '.data.result[].metric.__name__' | sort
}
# Every query of the file `left`, encoded beside it, has data; those that have are taken out of it.
all_have_data() {
  local encoded query
  while IFS=$'\t' read -r encoded query; do
    ask "$encoded" | grep -qF '"resultType":"vector","result":[{' || printf '%s\t%s\n' "$encoded" "$query"
  done < left > still_left
  mv still_left left
  [ ! -s left ]
}
with_codes() { paste <(uri < "$1") "$1"; }  # FILE

live() {
  needs jq prometheus promtool
  "$troupe" up "$top/deploy/config/smoke.toml" --generators 2 --verifiers 1 --out runs --plain --set stage.rl.updates=1000000 \
    --set replay-buffer.batch=8 --set evaluation.every=500 --set network.learner=apart --set network.broadcaster=127.0.0.1:0 \
    > output 2>&1 &
  up=$!
  local name
  for name in director learner broadcaster gen-0 gen-1 ver-0; do until_true serves "$name"; done
  for name in director learner broadcaster gen-0 gen-1 ver-0; do
    serving "$(address_of "$name")" /healthz || fail "$name is not healthy"
    get "$(address_of "$name")" /metrics > page
    promtool check metrics < page > said 2>&1 || fail "$name: $(cat said)"
  done

  port=$(free_port)
  "$top/deploy/monitoring.sh" runs/smoke --port "$port" --interval 1 > watcher.log 2>&1 &
  watcher=$!
  until_true has_data 'count(up{job="troupe"} == 1) == 6'

  # Faults move what a healthy run does not.
  local before
  before=$(address_of gen-0)
  kill -9 "$(pgrep -f -- "serve .*--name gen-0 .*$work")"
  until_true moved "$before"  # in another place, and scraped there
  (exec 4<> "/dev/tcp/$(jq -r .address runs/smoke/processes/director.json | tr : /)" && echo hello >&4)
  until_true has_data "up{job=\"troupe\", instance=\"gen-0\"} == 1"

  panel_queries | sed -e 's/\$__rate_interval\|\$__range/1m/g' -e 's/\$\(job\|run\|instance\)/.*/g' | sort -u > queries
  get "127.0.0.1:$port" /api/v1/rules |
    jq -r '.data.groups[].rules[] | select(.type == "recording").query' >> queries
  autoscaler_queries >> queries
  # What this run does not do: an actor of the director's process dies.
  sed -i '/troupe_actor_restarts_total/d' queries
  with_codes queries > left
  until_true all_have_data
  echo "$(wc -l < queries) queries have data"
  get "127.0.0.1:$port" /api/v1/rules > rules.json
  jq -e '[.data.groups[].rules[]] | length > 20 and all(.health == "ok")' rules.json > /dev/null || fail "$(cat rules.json)"
  # What alerts ask for is there, though none of them fires for long.
  jq -r '.data.groups[].rules[] | select(.type == "alerting").query' rules.json | names > asked
  seen > names_seen
  [ -z "$(comm -23 asked names_seen)" ] || fail "alerts ask for what nobody has: $(comm -23 asked names_seen)"
  # A metric under another name is missed here as well.
  sed 's/troupe_learner_updates_total/troupe_learner_updates_x_total/' queries | grep -F updates_x > renamed
  with_codes renamed > left
  if all_have_data; then fail "nobody misses a renamed metric"; fi

  [ "$(jq length runs/smoke/targets.json)" = 6 ] || fail "not six targets: $(cat runs/smoke/targets.json)"
  kill "$watcher"
  wait "$watcher" || true
  kill -INT "$up"
  local status=0
  wait "$up" || status=$?
  [ "$status" = 130 ] || fail "exit code $status"
  [ "$(jq length runs/smoke/targets.json)" = 0 ] || fail "targets of a run that is over"
}

"$part"
