#!/usr/bin/env bash
# usage: tests/nightly.sh [RESULTS]
# What takes too long for every change: 100 kills, stops of 30 s, bad weather of many seeds, links in network namespaces,
# fuzzing at length, names in files with heavy headers, the thread sanitizer. Wants the preset `release` built. RESULTS: a folder for what each part says
# (default: a fresh one).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
build=build/release
results=${1:-$(mktemp -d)}
mkdir -p "$results"
failed=0
part() {  # NAME COMMAND...
  local name=$1 begin status=0
  shift
  begin=$(date +%s)
  "$@" > "$results/$name" 2>&1 || status=$?
  if [ $status = 0 ]; then
    echo "passed  $name ($(($(date +%s) - begin)) s)"
  elif [ $status = 77 ]; then
    echo "skipped $name: $(tail -n 1 "$results/$name")"
  else
    echo "FAILED  $name, see $results/$name"
    failed=$((failed + 1))
  fi
}

chaos=(tests/chaos/kills.sh "$build/troupe" "$build/tests/chaos/check_run")
links=(tests/chaos/links.sh "$build/troupe" "$build/tests/chaos/check_run" "$build/tests/chaos/chaos_proxy")
part kills-demo "${chaos[@]}" demo 100
part kills-frozen "${chaos[@]}" frozen 100
part kills-relay env RELAY=1 APART=1 TARGETS='gen-* ver-* broadcaster director' "${chaos[@]}" demo 30
part stops env STOP_SECONDS=30 TARGETS='gen-0 ver-0' "${chaos[@]}" frozen 4
for seed in 1 2 3 4 5; do
  for weather in weather damaged cut_up cut_down resets; do part "links-$weather-$seed" "${links[@]}" "$weather" "$seed"; done
done
part namespaces tests/chaos/namespaces.sh "$build/troupe" "$build/tests/chaos/check_run"
part fuzz env TROUPE_FUZZ_TIMES=20 "$build/tests/messages/wire/troupe_wire_tests" -tc='*hostile frames*'
names() {  # of files with CAF or LibTorch too, which .ci/run leaves out for time
  grep -o '"file": "[^"]*/\(actors\|messages\|gpu\|tests\)/[^"]*\.cpp"' "$build/compile_commands.json" | cut -d '"' -f 4 | sort -u |
    xargs -r -P "$(nproc)" -n 1 clang-tidy-14 --quiet -p "$build" --extra-arg=-Wno-unknown-warning-option \
      --checks='-*,clang-diagnostic-*,readability-identifier-naming'
}
part names names
part benches ninja -C "$build" benches
part nccl-bench "$build/tests/bench/weights/troupe_nccl_bench" --library "$build/tests/gpu/transport/libtroupe_fake_nccl.so" 64
part joins tests/bench/joins.sh
for overlay in cpu-demo single-node hardened cert-manager ranks ranks-cert-manager; do
  part "pods-$overlay" tests/end_to_end/pods.sh "$build/troupe" "$overlay"
done
if command -v chromium chromedriver > /dev/null; then
  part dashboard tests/end_to_end/dashboard.sh "$build/troupe"
else
  echo "skipped dashboard: there is no Chromium (deploy/setup.sh --browser)"
fi
part tsan tests/tsan.sh
echo "$failed failed; what each said is in $results"
[ "$failed" = 0 ]
