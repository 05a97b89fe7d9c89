#!/usr/bin/env bash
# The dashboard in headless Chromium during a run and after it, by WebDriver spoken with curl. By hand and nightly:
#   tests/end_to_end/dashboard.sh build/release/troupe [folder for screenshots [config]]
# config: one whose last stage is of kind rl and goes on until it is stopped (default: the small job with a long one).
# Exits 77 with a reason where there is no browser (deploy/setup.sh --browser installs it).
set -euo pipefail

troupe=$(realpath "$1")
pictures=${2:-}
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
for tool in chromium chromedriver curl jq openssl; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done

scratch=$(mktemp -d)
pids=()
session=''
finish() {
  [ -z "$session" ] || curl -s -X DELETE "$driver/session/$session" >/dev/null || true
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait || true
  rm -rf "$scratch"
}
trap finish EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
free_port() {  # of many, one that nobody listens on
  local port
  for _ in {1..50}; do
    port=$((20000 + RANDOM % 20000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then echo "$port"; return; fi
  done
  return 1
}
until_true() {  # seconds, command...: tries until it succeeds
  local end=$((SECONDS + $1))
  shift
  until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.2; done
}

# --- WebDriver ---
driver_port=$(free_port)
driver=http://127.0.0.1:$driver_port
chromedriver --port="$driver_port" >"$scratch/driver.log" 2>&1 &
pids+=($!)
until_true 20 curl -sf "$driver/status" -o /dev/null || fail "chromedriver does not answer"

post() { curl -s -X POST -H 'Content-Type: application/json' "$driver/session$1" -d "$2"; }
open_browser() {  # width, height
  session=$(post '' '{"capabilities":{"alwaysMatch":{"goog:loggingPrefs":{"browser":"ALL","performance":"ALL"},
    "goog:chromeOptions":{"args":["--headless=new","--no-sandbox","--disable-gpu","--disable-dev-shm-usage","--hide-scrollbars",
    "--disable-background-networking","--disable-component-update","--no-first-run","--force-color-profile=srgb"]}}}}' |
    jq -r .value.sessionId)
  [ "$session" != null ] || fail "no browser: $(tail -3 "$scratch/driver.log")"
  resize "$1" "$2"
}
resize() {  # the width of the page itself, which a window cannot have below 500
  post "/$session/goog/cdp/execute" "{\"cmd\":\"Emulation.setDeviceMetricsOverride\",\"params\":{\"width\":$1,\"height\":$2,\"deviceScaleFactor\":1,\"mobile\":false}}" >/dev/null
}
go() { post "/$session/url" "{\"url\":\"$1\"}" >/dev/null; }
js() { post "/$session/execute/sync" "$(jq -n --arg s "$1" '{script:$s,args:[]}')" | jq -r .value; }
is() { [ "$(js "return $1")" = true ]; }
check() { is "$2" || fail "$1: $2 ($(js "return document.body.innerText.slice(0,300)"))"; echo "ok: $1"; }
keys() { post "/$session/actions" "$(jq -n --argjson k "\"$1\"" '{actions:[{type:"key",id:"k",actions:[{type:"keyDown",value:$k},{type:"keyUp",value:$k}]}]}')" >/dev/null; }
picture() {  # name, height in pixels; 0: the whole page
  [ -n "$pictures" ] || return 0
  mkdir -p "$pictures"
  local width height
  width=$(js 'return innerWidth')
  height=$2
  [ "$height" != 0 ] || height=$(js 'return document.documentElement.scrollHeight')
  resize "$width" "$height"
  sleep 1.5
  curl -s "$driver/session/$session/screenshot" | jq -r .value | base64 -d >"$pictures/$1.png"
}
quiet_console() {
  local errors
  errors=$(post "/$session/se/log" '{"type":"browser"}' | jq -c '[.value[] | select(.level == "SEVERE" or .level == "WARNING")]')
  [ "$errors" = '[]' ] || fail "the console says $errors"
  echo "ok: nothing on the console"
}
stays_here() {
  local away
  away=$(post "/$session/se/log" '{"type":"performance"}' |
    jq -r '.value[].message | fromjson | .message | select(.method == "Network.requestWillBeSent") | .params.request.url' |
    grep -v -E "^(http://127\.0\.0\.1:$port/|data:|chrome:)" || true)
  [ -z "$away" ] || fail "requests leave the host: $away"
  echo "ok: no request leaves the host"
}

# --- a run ---
port=$(free_port)
(umask 077; openssl rand -hex 16 >"$scratch/token")
sed '/^kind = "rl"$/,/^updates/s/^updates = .*/updates = 1000000/; /^kind = "eval"$/,$d' "$top/deploy/config/smoke.toml" |
  sed '$d' >"$scratch/long.toml"  # without the head of the last stage
"$troupe" train "${3:-$scratch/long.toml}" --quiet --set "run.out=\"$scratch/runs\"" --set "metrics.port=$port" \
  --set "metrics.control-token-file=\"$scratch/token\"" --set generator.count=2 >"$scratch/train.log" 2>&1 &
run_pid=$!
pids+=("$run_pid")
page=http://127.0.0.1:$port/
until_true 60 curl -sf "$page" -o /dev/null || fail "no page: $(tail -5 "$scratch/train.log")"

open_browser 1440 900
go "$page"
until_true 30 is 'document.body.dataset.ready === "yes"' || fail "the page does not get ready"
echo "ok: the page opens during a run"
painted=$(js 'return Math.round(performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? -1)')
weight=$(js 'return performance.getEntriesByType("resource").filter(e => !e.name.includes("/events") && !e.name.includes("/api/")).reduce((a, e) => a + e.decodedBodySize, performance.getEntriesByType("navigation")[0].decodedBodySize)')
echo "figures: first paint $painted ms, page $weight bytes"
[ "$weight" -lt 600000 ] || fail "the page is large"

# An rl stage under way: curves, rollouts and a sentence.
until_true 400 is 'charts.drawn() === 8 && document.querySelectorAll(".row[data-id]").length > 3' || fail "no curves: $(tail -3 "$scratch/train.log")"
echo "ok: eight charts are drawn"
# Not one canvas is empty.
check "every chart has ink" '[...document.querySelectorAll(".chart")].every(c => [...c.querySelectorAll("canvas")].some(v => v.getContext("2d").getImageData(0, 0, v.width, v.height).data.some(x => x > 0)))'
until_true 20 is 'load.drawn() === 2 && /idle|learner/i.test(document.getElementById("load").textContent)' || fail "no curves of the load"
check "those of the load have ink" '[...document.querySelectorAll("#load .curve")].every(c => [...c.querySelectorAll("canvas")].some(v => v.getContext("2d").getImageData(0, 0, v.width, v.height).data.some(x => x > 0)))'
check "the header has the id of the run" '/^[0-9a-f]{32}$/.test(document.getElementById("run-id").textContent)'
check "the sentence is there" 'document.getElementById("sentence").textContent.length > 20'
check "every role is in the graph" 'document.querySelectorAll("#graph .node").length === 5'

order() {  # pause, resume, stop; token
  js "if (!document.getElementById('stop-dialog').open) document.getElementById('$1').click();
    document.getElementById('token').value = '$2'; document.getElementById('stop-now').click()" >/dev/null
}
pill() { [ "$(js 'return document.getElementById("live").textContent')" = "$1" ]; }
metric() { curl -s "${page}metrics" | awk -v name="$1" '$1 == name {print $2}'; }
picture dashboard-light 0
js 'document.getElementById("theme").click()' >/dev/null
check "the dark theme is dark" 'getComputedStyle(document.body).backgroundColor === "rgb(20, 23, 26)"'
picture dashboard-dark 0
js 'document.getElementById("theme").click()' >/dev/null
resize 1440 900

# Paused, nothing moves, and the page and /metrics must tell the same.
order pause "$(cat "$scratch/token")"
until_true 10 pill paused || fail "the run is not paused"
stands_still() { local before; before=$(metric troupe_run_update); sleep 2; [ "$before" = "$(metric troupe_run_update)" ]; }
until_true 30 stands_still || fail "the run goes on while it is paused"
[ "$(curl -s -o /dev/null -w '%{http_code}' "${page}healthz")" = 200 ] || fail "a paused run is not healthy"
shown() { js "return document.querySelector('[data-fact=$1] dd').textContent.split(' ')[0]"; }
same() { [ "$(shown update)" = "$(metric troupe_run_update)" ] && [ "$(shown version)" = "$(metric troupe_learner_version)" ]; }
until_true 10 same || fail "update and version are not those in /metrics"
for state in trained buffered; do
  there=$(metric "troupe_ledger_rollouts{state=\"$state\"}")
  here=$(js "return [...document.querySelectorAll('#ledger .keyrow span')].find((s, i, all) => all[i - 1]?.textContent === '$state').textContent.replace(/,/g, '')")
  [ "$there" = "$here" ] || fail "$state: $here on the page, $there in /metrics"
done
echo "ok: paused, the figures are those in /metrics"
# A rollout is looked at while nothing pushes it out of the list.
post "/$session/execute/sync" '{"script":"document.getElementById(\"list\").focus()","args":[]}' >/dev/null
keys '\uE015'  # arrow down
until_true 20 is 'document.querySelectorAll("#detail .tokens span").length > 3' || fail "a rollout does not open by keyboard"
check "a rollout has a link of its own" '/^#rollout=[0-9a-f]{16}$/.test(location.hash)'
link=$(js 'return location.href')
go about:blank
go "$link"
until_true 20 is 'document.querySelectorAll("#detail .tokens span").length > 3' || fail "the link of a rollout does not open it"
echo "ok: the link of a rollout opens it"
held=$(metric troupe_run_update)
order pause "$(cat "$scratch/token")"
moves() { [ "$(metric troupe_run_update)" -gt "$held" ]; }
until_true 20 moves || fail "the run does not go on"
until_true 10 pill live
echo "ok: it goes on when it is resumed"

js 'document.getElementById("f-reward").value = "1000"; document.getElementById("filter").dispatchEvent(new Event("input"))' >/dev/null
check "the filter filters" 'document.querySelectorAll(".row[data-id]").length === 0'
js 'document.getElementById("f-reward").value = ""; document.getElementById("filter").dispatchEvent(new Event("input"))' >/dev/null
check "nothing is wider than the page at 1440" 'document.documentElement.scrollWidth <= 1440'
resize 390 844
sleep 1
check "nothing is wider than the page at 390" 'document.documentElement.scrollWidth <= 390'
picture dashboard-390 0
quiet_console
stays_here

# Stopped with the token, in the page.
order stop wrong
until_true 10 is 'document.getElementById("stop-answer").textContent.includes("wrong")' || fail "a wrong token is not refused"
post "/$session/se/log" '{"type":"browser"}' >/dev/null  # the browser notes the refusal
order stop "$(cat "$scratch/token")"
status=0
wait "$run_pid" || status=$?
[ "$status" = 130 ] || fail "the run ended with $status"
echo "ok: the run stops when its token is given"

stays_here  # also what was asked for since
go about:blank
post "/$session/se/log" '{"type":"browser"}' >/dev/null  # the page has missed its server

# The same offline, with a hostile model.
run=$scratch/runs/$(ls "$scratch/runs")
hostile='<script>document.title="owned"</script><img src=x onerror="document.title=\"owned\"">'
tail -n 1 "$run/rollouts.jsonl" >"$scratch/last"
jq -c --arg h "$hostile" '.pieces[-2] = $h | .id = "00000000000000ff"' "$scratch/last" >>"$run/rollouts.jsonl"
"$troupe" dashboard "$run" >"$scratch/offline.log" &
pids+=($!)
until_true 20 grep -q http "$scratch/offline.log" || fail "troupe dashboard does not start"
page=$(grep -o 'http://[^ ]*' "$scratch/offline.log")
port=$(echo "$page" | grep -o '[0-9]*/$' | tr -d /)
resize 1440 900
go "$page#rollout=00000000000000ff"
until_true 30 is 'charts.drawn() === 8 && document.querySelectorAll("#detail .tokens span").length > 3' || fail "the run directory is not shown"
stage() { js "const choice = document.getElementById('stage-choice'); choice.selectedIndex = $1; choice.dispatchEvent(new Event('change'))" >/dev/null; }
check "the load is read from the run directory" 'load.drawn() === 2'
check "each stage with updates can be chosen" 'document.getElementById("stage-choice").options.length === 3'
stage 0
check "a pretrain stage has its curves" 'charts.drawn() === 5 && /Loss/.test(document.querySelector(".chart h3").textContent) && /loss [0-9.]+/.test(document.querySelector(".chart .keys").textContent)'
check "those have ink as well" '[...document.querySelectorAll(".chart")].filter(c => !c.hidden).every(c => [...c.querySelectorAll("canvas")].some(v => v.getContext("2d").getImageData(0, 0, v.width, v.height).data.some(x => x > 0)))'
picture dashboard-pretrain 900
stage 1
check "an sft stage has no gate" '[...document.querySelectorAll(".chart")].filter(c => !c.hidden).length === 4'
stage 2
check "the rl stage has its own again" 'charts.drawn() === 8 && ![...document.querySelectorAll(".chart")].some(c => c.hidden)'
for part in licences:dygraphs download/manifest.json:config_digest download/model-card.md:transformers; do
  curl -sf "$page${part%:*}" | grep "${part#*:}" > /dev/null || fail "no ${part%:*}"
done
echo "ok: licences, manifest and model card are there"
check "a script of a model is text" 'document.title !== "owned" && document.querySelector("#detail .tokens").textContent.includes("<script>") && !document.querySelector("#detail script, #detail img")'
check "the run is shown as stopped" 'document.getElementById("live").textContent === "ended: interrupted"'
quiet_console
stays_here

# A run of several processes: who is there, and who is not.
"$troupe" up "$top/deploy/config/smoke.toml" --generators 2 --plain --out "$scratch/up" --set stage.rl.updates=1000000 \
  --set network.learner=apart --set network.broadcaster=127.0.0.1:0 >"$scratch/up.log" 2>&1 &
run_pid=$!
pids+=("$run_pid")
process() { pgrep -f -- "serve .*--name $1 .*$scratch"; }
address() { jq -re '.[] | select(.labels.role == "director").targets[0]' "$scratch"/up/*/targets.json; }
until_true 60 address >/dev/null 2>&1 || fail "the processes do not start: $(tail -3 "$scratch/up.log")"
port=$(address | sed 's/.*://')
page=http://127.0.0.1:$port/
until_true 30 curl -sf "$page" -o /dev/null || fail "the director has no page"
go "$page"
node() { echo "[...document.querySelectorAll('#graph .node')].find(n => n.textContent.startsWith('$1'))"; }
until_true 100 is 'charts.drawn() === 8' || fail "no curves of several processes"
until_true 30 is "/generator ×2.*% busy/.test($(node generator).textContent)" ||
  fail "not two generators: $(js "return $(node generator).textContent")"
echo "ok: generators of other processes are in the graph"
for name in gen-0 gen-1 ver-0 learner broadcaster replay-buffer; do
  until_true 30 is "[...document.querySelectorAll('#actors tbody tr')].some(row => row.cells[0].textContent === '$name')" ||
    fail "$name is not in the table: $(js "return document.getElementById('actors').textContent")"
done
echo "ok: every actor is in the table"
check "every way is open" 'document.querySelectorAll("#graph .edge.down").length === 0'
kill -STOP "$(process gen-0)" "$(process broadcaster)"
until_true 30 is "/1 gone/.test($(node generator).textContent) && document.querySelectorAll('#graph .edge.down').length === 2" ||
  fail "the page does not say who is gone: $(js "return document.getElementById('graph').textContent")"
echo "ok: a generator and the broadcaster are gone, and the page says so"
kill -CONT "$(process gen-0)" "$(process broadcaster)"
until_true 60 is "!/gone/.test($(node generator).textContent) && document.querySelectorAll('#graph .edge.down').length === 0" ||
  fail "nobody comes back: $(js "return document.getElementById('graph').textContent")"
echo "ok: they are back"
quiet_console
stays_here
go about:blank
kill -INT "$run_pid"
wait "$run_pid" || true
echo "passed"
