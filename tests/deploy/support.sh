# Sourced by the tests of scripts. Each test is a function; it runs in a scratch directory with stand-ins first in PATH.
# shellcheck shell=bash disable=SC2034
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/bin"
export PATH=$scratch/bin:$PATH

stand_in() {  # name; its script on stdin
  { echo '#!/usr/bin/env bash'; cat; } > "$scratch/bin/$1"
  chmod +x "$scratch/bin/$1"
}

# Runs a command; leaves its exit code in $code and its output, errors included, in $output.
observe() {
  code=0
  output=$("$@" 2>&1 < /dev/null) || code=$?
}

fail() {
  printf 'FAILED: %s\nexit code %s, output:\n%s\n' "$1" "${code:-}" "${output:-}" >&2
  exit 1
}
expect_code() { [ "$code" = "$1" ] || fail "expected exit code $1"; }
expect_line() { grep -qxF -- "$1" <<< "$output" || fail "expected the line: $1"; }
expect_last_line() { [ "$(tail -n 1 <<< "$output")" = "$1" ] || fail "expected the last line: $1"; }
expect_text() { grep -qF -- "$1" <<< "$output" || fail "expected the text: $1"; }
expect_no_text() { ! grep -qF -- "$1" <<< "$output" || fail "unexpected text: $1"; }
