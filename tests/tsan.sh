#!/usr/bin/env bash
# usage: tests/tsan.sh
# Builds messages, wire and actors with the thread sanitizer and runs their tests. CAF and Cap'n Proto must be built with
# it too, or each of their locks is a false report: their sources come from Debian, and what is built of them stays in
# ~/.cache/troupe/tsan. The first time takes a quarter of an hour on two cores. JOBS: how many compilers at once (1).
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"
libraries=${XDG_CACHE_HOME:-$HOME/.cache}/troupe/tsan
jobs=${JOBS:-1}
flags=(-O1 -g1 -fPIC -fsanitize=thread)
caf_sum=e2bf5bd243f08bb7d8adde197cfe3e6d71314ed3378fe0692f8932f4c3b3928c
capnp_sum=4031e9c9158fce1979baf3c5234315c1be74b273c0be9f6c4aaf4d0dfda52542

source_of() {  # PACKAGE SHA-256: unpacks the upstream source into $work/PACKAGE
  local lists=$work/lists archive
  mkdir -p "$lists/partial" "$work/$1"
  # Where packages come from, sources do too.
  sed 's/^Types: deb$/Types: deb-src/' /etc/apt/sources.list.d/debian.sources > "$work/debian.sources"
  local apt=(-qq -o "Dir::Etc::sourcelist=$work/debian.sources" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$lists")
  apt-get "${apt[@]}" update
  (cd "$work" && apt-get "${apt[@]}" source --download-only "$1") || true  # the packaging is not needed
  archive=$(find "$work" -maxdepth 1 -name "$1_*.orig.tar.gz")
  echo "$2  $archive" | sha256sum --check --quiet
  tar -xf "$archive" -C "$work/$1" --strip-components 1
}

build_caf() {
  source_of actor-framework "$caf_sum"
  cd "$work/actor-framework/libcaf_core"
  # shellcheck disable=SC2016  # for the shells that xargs starts
  find src -name '*.cpp' -print0 | flags="${flags[*]}" xargs -0 -n 1 -P "$jobs" bash -c \
    'g++ -w -std=c++17 $flags -include limits -include cstring -include memory -I. -c "$1" -o "${1//\//_}.o"' compile
  g++ -shared -fsanitize=thread -Wl,-soname,libcaf_core.so.0.17.6 -o "$libraries/libcaf_core.so.0.17.6" \
    ./*.o -lpthread
  cd "$top"
}

build_capnp() {  # under the names that Debian gives the libraries
  source_of capnproto "$capnp_sum"
  cmake -S "$work/capnproto" -B "$work/capnp" -G Ninja -D CMAKE_BUILD_TYPE=None -D BUILD_TESTING=OFF -D BUILD_SHARED_LIBS=ON \
    -D WITH_OPENSSL=OFF -D CMAKE_CXX_FLAGS="${flags[*]} -w" > /dev/null
  ninja -C "$work/capnp" -j "$jobs" kj kj-async capnp capnp-rpc > /dev/null
  local name
  for name in kj kj-async capnp capnp-rpc; do
    cp "$(find "$work/capnp" -name "lib$name.so.0.9.2")" "$libraries/"
    ln -sf "lib$name.so.0.9.2" "$libraries/lib$name-0.9.2.so"
  done
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$libraries"
[ -e "$libraries/libcaf_core.so.0.17.6" ] || build_caf
[ -e "$libraries/libcapnp-rpc-0.9.2.so" ] || build_capnp

cmake --preset tsan > /dev/null
tests=(messages/troupe_messages_tests messages/wire/troupe_wire_tests actors/link/troupe_link_tests actors/troupe_actors_tests)
ninja -C build/tsan -j "$jobs" "${tests[@]##*/}"
export LD_LIBRARY_PATH=$libraries TSAN_OPTIONS="halt_on_error=0:suppressions=$top/tests/support/tsan.supp"
status=0
for test in "${tests[@]}"; do
  # Fuzzing runs on one thread, and takes an hour here.
  "build/tsan/tests/$test" -tce='*hostile frames*,*flipped bit anywhere*' > "$work/log" 2>&1 || status=1
  printf '%-24s %s reports; %s\n' "${test##*/}" "$(grep -c 'WARNING: ThreadSanitizer' "$work/log" || true)" \
    "$(grep 'test cases' "$work/log")"
  grep -A 30 'WARNING: ThreadSanitizer' "$work/log" | head -n 200 || true
done
exit "$status"
