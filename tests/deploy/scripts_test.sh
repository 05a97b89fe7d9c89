#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR source=support.sh disable=SC2016,SC2317
. "$(dirname "$0")/support.sh"

tree=$scratch/tree  # a repository of stand-ins around the scripts
mkdir -p "$tree/deploy" "$tree/.ci" "$tree/build/release" "$tree"/{actors,messages,gpu,tests}
cp "$repository"/deploy/{test,quickstart}.sh "$tree/deploy"
cp "$repository/.ci/run" "$tree/.ci"
printf '#!/usr/bin/env bash\necho setup "$@"\n' > "$tree/deploy/setup.sh"
chmod +x "$tree/deploy/setup.sh"
stand_in cmake <<< 'echo cmake "$@"'

# A stand-in for ctest with this exit code and these counts.
ctest_reports() {  # exit code, tests, failures, skipped
  stand_in ctest << TEXT
echo ctest "\$@"
while [ "\$1" != --output-junit ]; do shift; done
mkdir -p "\$(dirname "\$2")"
printf '<testsuite name=""\n\ttests="$2"\n\tfailures="$3"\n\tdisabled="0"\n\tskipped="$4"\n\t>\n<testcase>\n\ttests="9"\n' > "\$2"
exit $1
TEXT
}

test_every_script_explains_itself_with_an_example() {
  local script
  for script in "$repository"/deploy/*.sh "$repository/.ci/run"; do
    cd / && observe "$script" --help
    expect_code 0
    expect_text 'Usage: '
    expect_text 'Example:'
    [ -x "$script" ] || fail "$script is not executable"
  done
}

test_every_script_passes_shellcheck() {
  command -v shellcheck > /dev/null || exit 77
  observe shellcheck "$repository"/deploy/*.sh "$repository/.ci/run" "$repository"/tests/deploy/*.sh
  expect_code 0
}

test_the_test_script_ends_with_the_counts() {
  ctest_reports 0 12 0 2
  cd / && observe "$tree/deploy/test.sh"
  expect_code 0
  expect_line 'cmake --preset release'
  expect_line 'cmake --build --preset release'
  expect_last_line '10 passed, 0 failed, 2 skipped'
}

test_the_test_script_fails_when_a_test_does() {
  ctest_reports 8 12 3 0
  observe "$tree/deploy/test.sh" --sanitize
  expect_code 8
  expect_line 'cmake --fresh --preset dev'
  expect_last_line '9 passed, 3 failed'
}

test_the_cases_of_whole_binaries_are_counted() {
  stand_in ctest << 'TEXT'
while [ "$1" != --output-junit ]; do shift; done
mkdir -p "$(dirname "$2")"
printf '<testsuite name=""\n\ttests="4"\n\tfailures="1"\n\tdisabled="0"\n\tskipped="0"\n\t>\n' > "$2"
echo '<system-out>[doctest] test cases: 12 | 12 passed | 0 failed | 2 skipped' >> "$2"
echo '<system-out>[doctest] test cases:  9 |  6 passed | 3 failed | 0 skipped' >> "$2"
echo '<system-out>[doctest] test cases:  1 |  1 passed | 0 failed | 400 skipped' >> "$2"
exit 8
TEXT
  observe "$tree/deploy/test.sh" --sanitize
  expect_code 8
  expect_last_line '20 passed, 3 failed, 2 skipped'
}

test_the_test_script_fails_when_no_test_ran() {
  ctest_reports 0 0 0 0
  observe "$tree/deploy/test.sh"
  expect_code 1
}

test_the_test_script_passes_an_own_libtorch_on() {
  ctest_reports 0 1 0 0
  TROUPE_TORCH=/opt/torch observe "$tree/deploy/test.sh" --werror
  expect_line 'cmake --preset release -D CMAKE_COMPILE_WARNING_AS_ERROR=ON -D TROUPE_TORCH=/opt/torch'
}

# Stand-ins for what .ci/run calls beside deploy/test.sh, which prints its arguments and then the given line.
ci_with() {  # last line of the tests, exit code of clang-tidy
  printf '#!/usr/bin/env bash\necho "tests: $*"\necho "%s"\n' "$1" > "$tree/deploy/test.sh"
  echo 'int x;' | tee "$tree/gpu/plain.cpp" "$tree/gpu/heavy.cpp" > /dev/null
  stand_in ninja << TEXT
printf 'a.o: #deps 2\n    $tree/gpu/plain.cpp\n    /usr/include/stdio.h\n\n'
printf 'b.o: #deps 2\n    $tree/gpu/heavy.cpp\n    /usr/include/caf/actor.hpp\n\n'
printf 'c.o: #deps 1\n    $tree/build/release/generated.cpp\n\n'
TEXT
  stand_in clang-format-14 <<< 'echo format "${@: -2}"'
  stand_in clang-tidy-14 <<< "echo tidy \"\${@: -1}\"; exit $2"
  stand_in shellcheck <<< 'exit 0'
}

test_the_ci_adds_up_both_builds_and_the_checks() {
  ci_with '5 passed, 0 failed, 1 skipped' 0
  cd / && observe "$tree/.ci/run"
  expect_code 0
  expect_line 'tests: --werror'
  expect_line 'tests: --sanitize'
  expect_last_line '13 passed, 0 failed, 2 skipped'
}

test_the_ci_lints_files_without_heavy_headers() {
  ci_with '5 passed, 0 failed' 0
  stand_in clang-tidy-14 <<< 'echo "${@: -1}: $*"'
  observe "$tree/.ci/run"
  expect_line 'gpu/plain.cpp: --quiet -p build/release --extra-arg=-Wno-unknown-warning-option gpu/plain.cpp'
  expect_no_text 'heavy.cpp:'
  expect_no_text 'generated.cpp'
}

test_the_ci_fails_on_a_finding_but_runs_everything() {
  ci_with '5 passed, 0 failed' 1
  observe "$tree/.ci/run"
  expect_code 1
  expect_line 'clang-tidy: FAILED'
  expect_line 'shellcheck: passed'
  expect_last_line '12 passed, 1 failed'
}

test_the_ci_fails_when_a_build_does() {
  ci_with 'ninja: build stopped' 0
  observe "$tree/.ci/run"
  expect_code 1
  expect_last_line '3 passed, 2 failed'
}

test_the_quickstart_trains_and_names_three_commands_for_the_new_model() {
  cat > "$tree/build/release/troupe" <<'TEXT'
#!/usr/bin/env bash
echo troupe "$@"
mkdir -p here/demo/model
touch here/demo/model/model.safetensors
TEXT
  chmod +x "$tree/build/release/troupe"
  cd "$scratch" && observe "$tree/deploy/quickstart.sh" --seed 3 --out here
  expect_code 0
  expect_line "troupe train $tree/deploy/config/r1-zero-addition.toml --seed 3 --out here"
  expect_text "$tree/build/release/troupe eval here/demo/model --json"
  [ "$(grep -c "^  $tree/build/release/troupe " <<< "$output")" = 3 ] || fail 'expected three commands'
}

"$1"
