#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR source=support.sh disable=SC2016,SC2317
. "$(dirname "$0")/support.sh"

export XDG_CACHE_HOME=$scratch/cache TMPDIR=$scratch
unset TROUPE_TORCH
cache=$scratch/cache/troupe
setup=$repository/deploy/setup.sh

stand_in dpkg-query <<< 'echo installed'
stand_in apt-get <<< 'echo "apt-get must not run: $*" >&2; exit 1'
stand_in uname <<< 'echo x86_64'
stand_in cmake <<< 'echo cmake version 3.25.1'
stand_in python3 <<< 'echo "python3 must not run" >&2; exit 1'
stand_in sudo <<< '"$@"'
stand_in df <<< 'printf "Filesystem 1M Used Available Use Mounted\n/dev/x 99999 1 99998 1%% /\n"'

# A stand-in for pip; what it does with the directory of --dest comes on stdin.
pip_does() {
  stand_in python3 << TEXT
[ "\$3" != --version ] || exit 0
while [ "\$1" != --dest ]; do shift; done
dest=\$2
$(cat)
TEXT
}

fake_libtorch() {  # directory, minor version
  mkdir -p "$1/lib" "$1/include/ATen" "$1/include/torch/headeronly"
  touch "$1/lib/libtorch_cpu.so" "$1/lib/libtorch_cuda.so"
  printf '#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR %s\n' "$2" > "$1/include/torch/headeronly/version.h"
}

fake_installation() {
  fake_libtorch "$cache/libtorch-2.11.0/torch" 11
  mkdir "$cache/libtorch-2.11.0"/{torch-2.11.0,nvidia_cuda_runtime-13.0.96,nvidia_cuda_cupti-13.0.85}.dist-info
}

expect_nothing_left() {
  local left
  left=$(find "$cache" -mindepth 1 ! -name .setup.lock 2> /dev/null || true)
  [ -z "$left" ] || fail "half-done work is left behind: $left"
}

test_setup_runs_again_without_apt_or_pip() {
  fake_installation
  observe "$setup"
  expect_code 0
  expect_line 'setup: all Debian packages are there'
  expect_last_line 'setup: ready'
}

test_setup_refuses_another_processor() {
  stand_in uname <<< 'echo aarch64'
  observe "$setup"
  expect_code 3
  expect_line 'setup: only x86-64 is supported, and this machine is aarch64; LibTorch is fetched for x86-64 only.'
}

test_setup_refuses_a_system_without_apt() {
  local tool
  rm "$scratch/bin/apt-get"
  for tool in bash env cat uname rm mktemp mkdir; do
    [ -e "$scratch/bin/$tool" ] || ln -s "$(command -v "$tool")" "$scratch/bin/$tool"
  done
  PATH=$scratch/bin observe "$setup"
  expect_code 3
  expect_line 'setup: this system has no apt; Debian 12, Ubuntu 24.04 or a newer one of them is needed.'
}

test_setup_says_that_the_disk_is_too_full_before_it_fetches() {
  stand_in df <<< 'printf "Filesystem 1M Used Available Use Mounted\n/dev/x 999 1 500 99%% /\n"'
  pip_does <<< 'echo must not download >&2; exit 1'
  observe "$setup"
  expect_code 5
  expect_text "setup: the disk is too full: LibTorch needs "
  expect_text " MB free in $cache, which has 500 MB; free some, or set XDG_CACHE_HOME to a larger disk."
  expect_nothing_left
}

test_setup_says_that_the_disk_filled_up_while_it_fetched() {
  pip_does <<< 'echo "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"; exit 1'
  observe "$setup"
  expect_code 5
  expect_text 'setup: the disk is full: '
  expect_nothing_left
}

test_setup_says_that_the_package_index_is_out_of_reach() {
  pip_does <<< 'echo "WARNING: Retrying after connection broken by NewConnectionError"; exit 1'
  observe "$setup"
  expect_code 4
  expect_line 'setup: pip cannot reach its package index to download torch 2.11.0; check the network and the proxy, then run this again.'
  expect_nothing_left
}

test_setup_refuses_a_wheel_with_another_hash() {
  pip_does <<< 'mkdir "$dest"; echo other > "$dest/torch-2.11.0.whl"'
  observe "$setup"
  expect_code 6
  expect_text 'setup: the downloaded torch 2.11.0 is not the pinned file (its sha256 differs)'
  expect_nothing_left
}

test_setup_keeps_an_older_installation_when_fetching_more_fails() {
  fake_installation
  pip_does <<< 'echo "connection broken"; exit 1'
  observe "$setup" --gpu
  expect_code 4
  [ -f "$cache/libtorch-2.11.0/torch/lib/libtorch_cpu.so" ] || fail 'the installation is gone'
  [ "$(find "$cache" -maxdepth 1 | wc -l)" = 3 ] || fail 'half-done work is left behind'
}

test_setup_uses_a_libtorch_that_is_already_there() {
  fake_libtorch "$scratch/own/torch" 12
  TROUPE_TORCH=$scratch/own/torch observe "$setup"
  expect_code 0
  expect_line "setup: using LibTorch 2.12 in $scratch/own/torch"
  expect_nothing_left
}

test_setup_refuses_a_libtorch_that_is_too_old() {
  fake_libtorch "$scratch/own/torch" 9
  TROUPE_TORCH=$scratch/own/torch observe "$setup"
  expect_code 6
  expect_text "is LibTorch 2.9, and 2.11 or newer is needed; unset it to have one fetched."
}

test_setup_refuses_a_directory_that_is_no_libtorch() {
  mkdir "$scratch/empty"
  TROUPE_TORCH=$scratch/empty observe "$setup"
  expect_code 6
  expect_text "TROUPE_TORCH=$scratch/empty is no LibTorch"
}

test_setup_installs_only_what_is_missing_and_says_why() {
  fake_installation
  stand_in dpkg-query <<< 'case "${*: -1}" in libcaf-dev | unzip) exit 1 ;; *) echo installed ;; esac'
  stand_in apt-get <<< "echo \"\$*\" >> $scratch/apt.log"
  observe "$setup"
  expect_code 0
  expect_line 'setup: for actors: libcaf-dev'
  expect_line 'setup: installing with apt: libcaf-dev unzip'
  grep -q 'install -y --no-install-recommends libcaf-dev unzip$' "$scratch/apt.log" || fail 'apt was asked for something else'
}

test_setup_says_that_the_package_archive_is_out_of_reach() {
  fake_installation
  stand_in dpkg-query <<< 'exit 1'
  stand_in apt-get <<< 'echo "E: Failed to fetch: Could not resolve the archive"; exit 100'
  observe "$setup"
  expect_code 4
  expect_line 'setup: apt cannot reach its package archive; check the network and the proxy, then run this again.'
}

test_setup_refuses_a_release_that_lacks_a_package() {
  fake_installation
  stand_in dpkg-query <<< 'case "${*: -1}" in libcaf-dev) exit 1 ;; *) echo installed ;; esac'
  stand_in apt-get <<< 'case "$*" in *install*) echo "E: Unable to locate package libcaf-dev"; exit 100 ;; esac'
  observe "$setup"
  expect_code 3
  expect_line 'setup: this release lacks package libcaf-dev; Debian 12, Ubuntu 24.04 or a newer one of them is needed.'
}

test_setup_refuses_an_old_cmake() {
  fake_installation
  stand_in cmake <<< 'echo cmake version 3.22.1'
  observe "$setup"
  expect_code 3
  expect_text 'setup: cmake 3.22.1 is too old, 3.25 is needed'
}

test_setup_names_an_unknown_option() {
  observe "$setup" --cuda
  expect_code 2
  expect_line 'setup: unknown option --cuda; try --help'
}

"$1"
