#!/usr/bin/env bash
# Installs, builds and runs every test.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: deploy/test.sh [--sanitize] [--werror]

Runs deploy/setup.sh, builds the preset `release` into build/release and runs every test. The last line says how many
passed and failed; the exit code is 0 if none failed.

  --sanitize  uses the preset `dev` in build/dev instead: address and undefined-behaviour sanitizers, and clang 14, so
              that a second compiler has seen everything
  --werror    treats warnings as errors (the preset `dev` always does)
  --help      prints this text

Example:
  deploy/test.sh && deploy/test.sh --sanitize
TEXT
}

preset=release
settings=()
needs=() fresh=()
for argument in "$@"; do
  case $argument in
    --sanitize) preset=dev needs=(--lint) fresh=(--fresh) ;;  # a tree of another compiler is begun again
    --werror) settings+=(-D CMAKE_COMPILE_WARNING_AS_ERROR=ON) ;;
    -h | --help) usage; exit 0 ;;
    *) echo "test: unknown option $argument; try --help" >&2; exit 2 ;;
  esac
done
[ -z "${TROUPE_TORCH:-}" ] || settings+=(-D "TROUPE_TORCH=$TROUPE_TORCH")

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"
deploy/setup.sh "${needs[@]}"
cmake "${fresh[@]}" --preset "$preset" "${settings[@]}"
cmake --build --preset "$preset"

results=build/$preset/test-results.xml
rm -f "$results"
status=0
ctest --preset "$preset" -j "$(($(nproc) + 1))" --output-on-failure --test-output-truncation head --output-junit "$top/$results" || status=$?
[ -f "$results" ] || { echo "test: ctest wrote no results" >&2; exit 1; }

count() { sed -nE "s/^\s*$1=\"([0-9]+)\"$/\1/p" "$results" | head -n 1; }
failed=$(count failures)
skipped=$(($(count skipped) + $(count disabled)))
passed=$(($(count tests) - failed - skipped))
# A test of ctest that is a whole doctest binary counts as its cases.
read -r more_passed more_failed more_skipped < <(awk -F '[:|]' '
  /\[doctest\] test cases:/ {
    failures = $4 + 0
    passed += $3 - (failures == 0); failed += failures - (failures > 0)
    if ($2 + 0 != 1) skipped += $5
  }
  END { print passed + 0, failed + 0, skipped + 0 }' "$results")
passed=$((passed + more_passed)) failed=$((failed + more_failed)) skipped=$((skipped + more_skipped))
if [ "$status" != 0 ] && [ "$failed" = 0 ]; then  # such as a test program that is missing
  failed=1
fi
[ "$passed" -gt 0 ] || status=1
# What failed stands far above, among much else: once more.
[ "$status" = 0 ] || awk '
  function plain(text) {
    gsub(/&quot;/, "\"", text); gsub(/&apos;/, "'"'"'", text); gsub(/&lt;/, "<", text); gsub(/&gt;/, ">", text)
    gsub(/&amp;/, "\\&", text)
    return substr(text, 1, 300)
  }
  /<testcase/ { failed = /status="fail"/ && match($0, /name="[^"]*"/); test_case = "" }
  /<testcase/ && failed { print "failed: " plain(substr($0, RSTART + 6, RLENGTH - 7)) }
  /^TEST CASE:/ { test_case = $0 }
  failed && /ERROR: |^  values: |^  logged: |^FAIL|: FAILED/ {
    if (test_case != "") print "  " plain(test_case)
    test_case = ""; print "    " plain($0)
  }' "$results"
line="$passed passed, $failed failed"
[ "$skipped" = 0 ] || line+=", $skipped skipped"
echo "$line"
exit "$status"
