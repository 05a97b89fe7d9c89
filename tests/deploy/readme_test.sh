#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR source=support.sh disable=SC2016,SC2317
. "$(dirname "$0")/support.sh"

# Paths in backticks, in links and pictures, and scripts in command lines; what a build or a run makes is left out.
paths_in() {
  {
    grep -oE '`[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+/?`' "$1" | tr -d '`' || true
    grep -oE '\]\([^)#:]+\)' "$1" | sed 's/^](//; s/)$//' || true
    grep -oE '(deploy|tests)/[A-Za-z0-9_/.-]*\.(sh|toml)' "$1" || true
  } | grep -vE '^(build|runs)/' | sort -u
}

test_every_path_in_the_readme_exists() {
  local path checked=0
  while read -r path; do
    [ -e "$repository/$path" ] || fail "README.md names $path, which does not exist"
    checked=$((checked + 1))
  done < <(paths_in "$repository/README.md")
  [ "$checked" -ge 5 ] || fail "README.md names only $checked paths"
}

test_a_path_in_a_readme_is_found_wherever_it_stands() {
  printf 'See `actors/a.hpp`, [the log](docs/log.md) and [above](#top).\n\n    bash deploy/go.sh build/x.sh\n`build/release/troupe`\n' > "$scratch/README.md"
  output=$(paths_in "$scratch/README.md")
  [ "$output" = $'actors/a.hpp\ndeploy/go.sh\ndocs/log.md' ] || fail 'found other paths'
}

"$1"
