# From panels.txt (raw lines on stdin) and $metrics to one line for each dashboard: file name, tab, JSON.

def trim: sub("^\\s+"; "") | sub("\\s+$"; "");
def fail(what): error("panels.txt: " + what);

# --- queries ---

def selector: "{job=~\"$job\", run=~\"$run\", instance=~\"$instance\"}";
def by(more): "by (" + (["run"] + more | join(", ")) + ")";
def query: (.definition.unit // "") as $unit | . as {$form, $metric, $by} | selector as $s
  | if $form == "value" then "max \(by($by)) (\($metric)\($s))"
    elif $form == "least" then "min \(by($by)) (\($metric)\($s))"
    elif $form == "rate" then "sum \(by($by)) (rate(\($metric)\($s)[$__rate_interval]))"
    elif $form == "total" then "sum \(by($by)) (increase(\($metric)\($s)[$__range]))"
    elif $form == "p50" or $form == "p95" then
      "histogram_quantile(0.\($form[1:]), sum \(by($by + ["le"])) (rate(\($metric)_bucket\($s)[$__rate_interval])))"
    elif $form == "mean" then
      "sum \(by($by)) (rate(\($metric)_sum\($s)[$__rate_interval])) / sum \(by($by)) (rate(\($metric)_count\($s)[$__rate_interval]))"
    elif $form == "heat" then "sum by (le) (increase(\($metric)_bucket\($s)[$__rate_interval]))"
    elif $form == "rule" then "\($metric){run=~\"$run\"}"
    elif $form == "up" then "sum \(by($by)) (up\($s))"
    elif $form == "alerts" then "sum(ALERTS{alertstate=\"firing\", run=~\"$run\"}) or vector(0)"
    else fail("unknown form " + $form) end
  | if $unit == "unix seconds" then "1000 * \(.)" else . end;  # Grafana counts them in milliseconds

def suits: {value: ["gauge"], least: ["gauge"], rate: ["counter"], total: ["counter"], p50: ["histogram"],
            p95: ["histogram"], mean: ["histogram"], heat: ["histogram"]};

# --- units and words ---

def grafana_unit(form):
  if form == "rate" then {tokens: "suffix: tokens/s", bytes: "Bps", seconds: "percentunit"}[.] // "suffix: \(.)/s"
  else {seconds: "s", bytes: "bytes", ratio: "percentunit", "unix seconds": "dateTimeFromNow", tokens: "suffix: tokens",
        nats: "suffix: nats"}[.] // "short" end;

def rule_unit: if test("ratio|gap$") and (test("reward|logprob") | not) then "percentunit"
               elif test("seconds") then "s" elif test("tokens") then "suffix: tokens/s" else "short" end;

# Below and above which colours change, where a value has a limit by itself.
def limits: {
  StalenessBoundBroken: [[null, "green"], [1, "red"]], RolloutLoss: [[null, "green"], [1, "red"]],
  DiskLow: [[null, "red"], [2e9, "green"]], LearnerStarved: [[null, "green"], [0.5, "orange"]],
  VerifierInfraErrors: [[null, "green"], [0.02, "orange"]], VerifierBacklogAge: [[null, "green"], [60, "orange"]],
  MailboxGrowth: [[null, "green"], [1000, "orange"]], KLSpike: [[null, "green"], [0.1, "orange"]],
  TrainGenLogprobGap: [[null, "green"], [0.02, "orange"]], NaNUpdate: [[null, "green"], [1, "orange"]],
  RewardHackSuspected: [[null, "green"], [0.2, "orange"]], PeerFlap: [[null, "green"], [4, "orange"]]};

def describe: if .form == "rule" then "Recording rule \(.metric), see deploy/prometheus/rules/recording.yml."
              elif .form == "up" then "Processes that answer to Prometheus, by role."
              elif .form == "alerts" then "Alerts of deploy/prometheus/rules/alerts.yml that fire."
              else .definition.help end;

def legend: if .form == "heat" then "{{le}}" else ["run"] + .by | map("{{\(.)}}") | join(" ") end;

# --- panels ---

def definition: .metric as $name
  | if .form | IN("rule", "up", "alerts") then .definition = {}
    else .definition = ([$metrics[] | select(.name == $name)] | first // fail("no such metric: " + $name))
      | .definition.kind as $kind
      | if suits[.form] // [] | index($kind) then . else fail("\($name) is a \($kind): not for \(.form)") end
    end;

def parse_panel: split("|") | map(trim)
  | if length != 4 then fail("not four fields: " + join(" | ")) else . end
  | (.[1] | split(" ")) as $words
  | {title: .[0], form: $words[0], metric: .[2], by: (if .[3] == "" then [] else .[3] | split(",") | map(trim) end),
     figure: ($words | index("~") != null), alert: ($words | map(select(startswith("!"))) | (first // "")[1:])}
  | definition;

def kind: if .form == "heat" then "heatmap" elif .figure then "stat" else "timeseries" end;
def source: {type: "prometheus", uid: "${datasource}"};

def panel(id; x; y): . as $p | (if .form == "rule" then (.metric | rule_unit) else (.definition.unit // "" | grafana_unit($p.form)) end) as $unit
  | {id: id, type: kind, title: .title, description: describe, datasource: source,
     gridPos: {x: x, y: y, w: 8, h: 7},
     targets: [{refId: "A", datasource: source, expr: query, legendFormat: legend,
                format: (if .form == "heat" then "heatmap" else "time_series" end)}],
     fieldConfig: {overrides: [], defaults: {unit: $unit, min: (if $unit == "percentunit" and (.metric | test("gap") | not) then 0 else null end),
       thresholds: {mode: "absolute",
         steps: ((if .alert == "" then null else limits[.alert] end) // [[null, "green"]] | map({value: .[0], color: .[1]}))},
       custom: (if kind == "timeseries"
         then {lineWidth: 1, fillOpacity: 5, thresholdsStyle: {mode: (if .alert != "" and limits[.alert] != null then "dashed" else "off" end)}}
         else {} end)}},
     options: (if kind == "stat" then {reduceOptions: {calcs: ["lastNotNull"]}, textMode: "auto"}
               elif kind == "heatmap" then {calculate: false, yAxis: {unit: "short"}}
               else {legend: {displayMode: "list", placement: "bottom"}, tooltip: {mode: "multi"}} end)}
  | if $p.alert == "" then . else .links = [{title: "Runbook: \($p.alert)", targetBlank: true,
      url: "${runbook}#\($p.alert | ascii_downcase)"}] end;

# --- dashboards ---

def variable(name; ask): {name: name, type: "query", datasource: source, query: {query: ask, refId: name}, definition: ask,
  refresh: 2, includeAll: true, multi: true, allValue: ".*", current: {text: "All", value: "$__all"}, sort: 1};

def variables: {list: [
  {name: "datasource", type: "datasource", query: "prometheus", current: {}, hide: 0},
  variable("job"; "label_values(troupe_build_info, job)"),
  variable("run"; "label_values(troupe_build_info{job=~\"$job\"}, run)"),
  variable("instance"; "label_values(troupe_build_info{job=~\"$job\", run=~\"$run\"}, instance)"),
  {name: "runbook", type: "constant", hide: 2, query: "deploy/runbook.md"}]};

# Rows and panels in order, three panels to a line.
def lay_out: reduce .[] as $item ({panels: [], id: 0, x: 0, y: 0};
  .id += 1
  | if $item.row then
      (if .x > 0 then .y += 7 | .x = 0 else . end)
      | .id as $id | .y as $y
      | .panels += [{id: $id, type: "row", title: $item.row, collapsed: false, panels: [], gridPos: {x: 0, y: $y, w: 24, h: 1}}]
      | .y += 1
    else
      .id as $id | .x as $x | .y as $y
      | .panels += [$item | panel($id; $x; $y)]
      | if .x == 16 then .x = 0 | .y += 7 else .x += 8 end
    end) | .panels;

def dashboard: {id: null, uid: "troupe-\(.file)", title, tags: ["troupe"], schemaVersion: 39, version: 1, editable: false,
  graphTooltip: 1, refresh: "10s", time: {from: "now-1h", to: "now"}, timezone: "browser", annotations: {list: []},
  links: [{type: "dashboards", tags: ["troupe"], title: "Troupe", asDropdown: true, includeVars: true, keepTime: true}],
  templating: variables, panels: (.items | lay_out)};

reduce (inputs | trim | select(. != "" and (startswith("#") | not))) as $line ([];
  if $line | startswith("== ") then
    ($line[3:] | split("|") | map(trim)) as [$file, $title] | . + [{file: $file, title: $title, items: []}]
  elif $line | startswith("-- ") then .[-1].items += [{row: $line[3:]}]
  else .[-1].items += [$line | parse_panel] end)
| .[] | "\(.file)\t\(dashboard | tojson)"
