#!/usr/bin/env bash
# Installs what Troupe is built with. Running it again changes nothing and takes seconds.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: deploy/setup.sh [--gpu] [--lint] [--browser]

Installs Debian packages with apt (through sudo when not root) and puts LibTorch 2.11 into a private folder,
$XDG_CACHE_HOME/troupe or ~/.cache/troupe. pip only downloads LibTorch; nothing of Python is installed or run.

  --gpu    also fetches the CUDA 13 libraries and compiler that a GPU needs (2 GB to download, 5 GB on disk)
  --lint   also installs clang 14, clang-format, clang-tidy and shellcheck, which .ci/run uses
  --browser  also installs Chromium and its driver, for tests/end_to_end/dashboard.sh (500 MB)
  --help   prints this text

Environment:
  TROUPE_TORCH    the torch directory of a LibTorch >= 2.11 that is already there (include/, lib/); none is fetched
  XDG_CACHE_HOME  where the private folder goes

Exit codes: 0 ready, 2 wrong usage, 3 system not supported, 4 network, 5 disk full, 6 unusable LibTorch or download,
1 anything else.

Example:
  deploy/setup.sh && cmake --preset release && cmake --build --preset release
TEXT
}

readonly torch_version=2.11.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/troupe
readonly cache target=$cache/libtorch-$torch_version

# Why | packages. The reasons are printed when something of a line is missing.
readonly packages='
the compiler and build tools|g++ cmake ninja-build ccache pkg-config
actors|libcaf-dev
messages|libcapnp-dev capnproto
links between processes, certificates|libssl-dev
the metrics page|prometheus-cpp-dev libcivetweb-dev zlib1g-dev
the curves of the dashboard (compiled in)|libjs-dygraphs
configuration, command line, logs, JSON|libtomlplusplus-dev libcli11-dev libspdlog-dev libfmt-dev nlohmann-json3-dev
digests of weights|libxxhash-dev
the tests (prometheus watches a run, promtool checks rules, jq dashboards, openssl certificates)|doctest-dev prometheus jq openssl procps
unpacking LibTorch|unzip'
readonly lint_packages='
the checks of .ci/run|clang-14 clang-format-14 clang-tidy-14 shellcheck'
readonly browser_packages='
the dashboard in a browser|chromium chromium-driver curl jq'

# Wheel, version, MB, sha256. The versions are the ones that torch's own metadata pins.
readonly cpu_wheels='
torch 2.11.0 531 7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a
nvidia-cuda-runtime 13.0.96 2 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
nvidia-cuda-cupti 13.0.85 11 4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8'
readonly gpu_wheels='
nvidia-cublas 13.1.0.3 423 ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171
nvidia-cudnn-cu13 9.19.0.56 366 d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf
nvidia-cufft 12.0.0.61 214 6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3
nvidia-cusolver 12.0.4.66 201 0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112
nvidia-nccl-cu13 2.28.9 196 e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42
nvidia-cusparselt-cu13 0.8.0 170 25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd
nvidia-cusparse 12.6.3.3 146 2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b
nvidia-cuda-nvrtc 13.0.88 90 ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575
nvidia-nvvm 13.0.88 62 c5f41ffeb6466944a026dfa5317d7d85355c119bbec279205d22f1869d1054e0
nvidia-nvshmem-cu13 3.4.5 60 290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80
nvidia-curand 10.4.0.35 60 1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc
nvidia-nvjitlink 13.0.88 41 13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b
nvidia-cuda-nvcc 13.0.88 37 56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03
nvidia-cuda-cccl 13.0.85 3 e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649
nvidia-cufile 1.15.1.6 1 08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44
nvidia-cuda-crt 13.0.88 1 2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4'

gpu=false
lint=false
browser=false
for argument in "$@"; do
  case $argument in
    --gpu) gpu=true ;;
    --lint) lint=true ;;
    --browser) browser=true ;;
    -h | --help) usage; exit 0 ;;
    *) echo "setup: unknown option $argument; try --help" >&2; exit 2 ;;
  esac
done

say() { echo "setup: $*"; }
fail() {  # exit code, sentence
  echo "setup: $2" >&2
  exit "$1"
}

staging=
log=
policy=
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
clean_up() {
  status=$?
  [ -z "$staging" ] || rm -rf "$staging"
  [ -z "$policy" ] || as_root rm -f "$policy"
  if [ -n "$log" ] && [ -s "$log" ] && [ "$status" != 0 ]; then
    echo "setup: the commands' own output is in $log" >&2
  elif [ -n "$log" ]; then
    rm -f "$log"
  fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM

check_system() {
  local machine
  machine=$(uname -m)
  [ "$machine" = x86_64 ] ||
    fail 3 "only x86-64 is supported, and this machine is $machine; LibTorch is fetched for x86-64 only."
  if ! command -v apt-get > /dev/null || ! command -v dpkg-query > /dev/null; then
    fail 3 "this system has no apt; Debian 12, Ubuntu 24.04 or a newer one of them is needed."
  fi
}

# --- Debian packages ---

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2> /dev/null)" = installed ]; }

missing_packages() {  # prints those of the table on stdin that are not installed, and why to stderr
  local reason list package absent
  while IFS='|' read -r reason list; do
    absent=
    for package in $list; do installed "$package" || absent+=" $package"; done
    [ -z "$absent" ] || { echo "setup: for $reason:$absent" >&2; echo "$absent"; }
  done
}

# Debian starts a service when its package is installed; of prometheus only promtool is wanted.
forbid_services() {
  [ ! -e /usr/sbin/policy-rc.d ] || return 0
  policy=/usr/sbin/policy-rc.d
  as_root sh -c "printf '#!/bin/sh\nexit 101\n' > $policy && chmod +x $policy"
}

explain_apt() {
  if grep -qiE 'no space left|enough free space' "$log"; then
    fail 5 "the disk is full: apt could not store the packages; free about 1 GB and run this again."
  elif grep -qE 'Unable to locate package|has no installation candidate' "$log"; then
    fail 3 "this release lacks $(grep -oE "package '?[a-z0-9.+-]+" "$log" | head -n 1); Debian 12, Ubuntu 24.04 or a newer one of them is needed."
  elif grep -qiE 'could not (resolve|connect)|temporary failure|failed to fetch|cannot initiate|timed out' "$log"; then
    fail 4 "apt cannot reach its package archive; check the network and the proxy, then run this again."
  fi
  fail 1 "apt could not install the packages: $(grep -E '^E: ' "$log" | tail -n 1)"
}

install_packages() {
  if [ "$(id -u)" != 0 ] && ! command -v sudo > /dev/null; then
    fail 3 "installing packages needs root or sudo; ask for these: $*"
  fi
  say "installing with apt: $*"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
  as_root "${apt[@]}" -o APT::Update::Error-Mode=any update >> "$log" 2>&1 || explain_apt
  case " $* " in *' prometheus '*) forbid_services ;; esac
  as_root "${apt[@]}" install -y --no-install-recommends "$@" >> "$log" 2>&1 < /dev/null || explain_apt
  if [ -n "$policy" ] && command -v systemctl > /dev/null; then
    as_root systemctl disable prometheus.service >> "$log" 2>&1 || true  # no systemd running: nothing to disable
  fi
}

check_cmake() {
  local found
  found=$(cmake --version | sed -n 's/^cmake version \([0-9.]*\).*/\1/p')
  printf '3.25\n%s\n' "$found" | sort -CV ||
    fail 3 "cmake $found is too old, 3.25 is needed: Debian 12, Ubuntu 24.04 or newer, or put a newer cmake first in PATH."
}

# --- LibTorch ---

check_own_torch() {  # of TROUPE_TORCH
  local version_file=$TROUPE_TORCH/include/torch/headeronly/version.h version
  if [ ! -f "$TROUPE_TORCH/lib/libtorch_cpu.so" ] || [ ! -d "$TROUPE_TORCH/include/ATen" ]; then
    fail 6 "TROUPE_TORCH=$TROUPE_TORCH is no LibTorch: it needs lib/libtorch_cpu.so and include/ATen; unset it to have one fetched."
  fi
  # LibTorch has had this file since 2.9.
  version=$(sed -nE 's/^#define TORCH_VERSION_(MAJOR|MINOR) ([0-9]+)/\2/p' "$version_file" 2> /dev/null | paste -sd.) || true
  printf '2.11\n%s\n' "${version:-0}" | sort -CV ||
    fail 6 "TROUPE_TORCH=$TROUPE_TORCH is LibTorch ${version:-older than 2.9}, and 2.11 or newer is needed; unset it to have one fetched."
  say "using LibTorch $version in $TROUPE_TORCH"
}

# libtorch_cuda.so is kept where it can be used or linked.
want_cuda() { $gpu || command -v nvcc > /dev/null || [ -x /usr/local/cuda/bin/nvcc ]; }

have_wheel() {  # name, version, directory
  local info=${1//-/_}-$2.dist-info
  [ -d "$3/$info" ] || return 1
  [ "$1" = torch ] || return 0
  [ -f "$3/torch/lib/libtorch_cpu.so" ] || return 1
  ! want_cuda || [ -f "$3/torch/lib/libtorch_cuda.so" ]
}

missing_wheels() {
  local name version rest
  while read -r name version rest; do
    if [ -n "$name" ] && ! have_wheel "$name" "$version" "$target"; then echo "$name $version $rest"; fi
  done < <(echo "$cpu_wheels"; if $gpu; then echo "$gpu_wheels"; fi)
}

check_space() {  # rows of missing wheels on stdin
  # A wheel, pip's copy of it, and what is unpacked (up to three times its size) lie side by side.
  local needed_mb free_mb
  needed_mb=$(awk '{sum += 2.5 * $3; if ($3 > most) most = $3} END {printf "%d", sum + 2 * most}')
  mkdir -p "$cache" 2> /dev/null || fail 5 "cannot write to $cache; set XDG_CACHE_HOME to a folder of yours."
  free_mb=$(df -Pm "$cache" | awk 'NR == 2 {print $4}')
  [ "$free_mb" -ge "$needed_mb" ] ||
    fail 5 "the disk is too full: LibTorch needs $needed_mb MB free in $cache, which has $free_mb MB; free some, or set XDG_CACHE_HOME to a larger disk."
}

find_pip() {
  local python
  for python in python3 /usr/bin/python3; do
    if "$python" -m pip --version > /dev/null 2>&1; then echo "$python"; return 0; fi
  done
  return 1
}

download_wheel() {  # name, version, sha256; into $staging/wheel
  local platforms=() minor
  for minor in 5 12 {17..28}; do platforms+=(--platform "manylinux_2_${minor}_x86_64"); done
  for minor in 1 2010 2014; do platforms+=(--platform "manylinux${minor}_x86_64"); done
  TMPDIR=$staging "$(find_pip)" -m pip --disable-pip-version-check download --quiet --no-deps --no-cache-dir --retries 2 \
    --python-version 3.11 --implementation cp --only-binary=:all: "${platforms[@]}" \
    --dest "$staging/wheel" "$1==$2" >> "$log" 2>&1 < /dev/null || explain_pip "$1 $2"
  echo "$3  $(echo "$staging"/wheel/*.whl)" | sha256sum --check --status ||
    fail 6 "the downloaded $1 $2 is not the pinned file (its sha256 differs); the package index served something else, so nothing was unpacked."
}

explain_pip() {
  if grep -qi 'no space left' "$log"; then
    fail 5 "the disk is full: $cache could not hold $1; free some, or set XDG_CACHE_HOME to a larger disk."
  elif grep -qiE 'connection|resolve|timed out|unreachable|proxy|SSL' "$log"; then
    fail 4 "pip cannot reach its package index to download $1; check the network and the proxy, then run this again."
  fi
  fail 4 "pip found no $1 in its package index; check which index pip is set to, then run this again."
}

unpack_wheel() {  # name; what is there already stays as it is
  local unwanted=('*.py' '*.pyi' 'torch/bin/*' 'torch/lib/libtorch_python.so' 'torch/lib/libshm*')
  want_cuda || unwanted+=('torch/lib/libtorch_cuda*' 'torch/lib/libtorch_nvshmem.so' 'torch/lib/libcaffe2_nvrtc.so')
  local wanted=()
  [ "$1" != torch ] || wanted=('torch/include/*' 'torch/lib/*' 'torch/share/*' 'torch-*.dist-info/*')
  if ! unzip -nq "$staging"/wheel/*.whl "${wanted[@]}" -x "${unwanted[@]}" -d "$staging/tree" >> "$log" 2>&1; then
    ! grep -qiE 'no space left|disk full|write error' "$log" ||
      fail 5 "the disk is full: $cache could not hold $1 unpacked; free some, or set XDG_CACHE_HOME to a larger disk."
    fail 6 "could not unpack $1."
  fi
  rm -r "$staging/wheel"
}

# Gives the wheels of CUDA the shape of a toolkit: names without version for the linker, lib64, tools that may be run.
complete_cuda() {  # tree
  local library
  for library in "$1"/nvidia/*/lib/lib*.so.*; do
    [ ! -e "$library" ] || ln -sf "${library##*/}" "${library%%.so.*}.so"
  done
  ln -sfn lib "$1/nvidia/cu13/lib64"
  chmod -R a+x "$1/nvidia/cu13/bin" "$1/nvidia/cu13/nvvm/bin"
}

fetch_libtorch() {  # rows of wheels on stdin
  staging=$(mktemp -d "$cache/.setup.XXXXXX")
  mkdir "$staging/tree"
  [ ! -d "$target" ] || cp -al "$target/." "$staging/tree"
  local name version megabytes sha256
  while read -r name version megabytes sha256; do
    say "fetching $name $version ($megabytes MB)"
    download_wheel "$name" "$version" "$sha256"
    unpack_wheel "$name"
  done
  ! $gpu || complete_cuda "$staging/tree"
  [ ! -d "$target" ] || mv "$target" "$staging/old"
  mv "$staging/tree" "$target"
  rm -rf "$staging"
  staging=
}

check_system
log=$(mktemp "${TMPDIR:-/tmp}/troupe-setup.XXXXXX")
if [ -n "${TROUPE_TORCH:-}" ]; then check_own_torch; fi

mkdir -p "$cache" 2> /dev/null || fail 5 "cannot write to $cache; set XDG_CACHE_HOME to a folder of yours."
exec 9> "$cache/.setup.lock"
flock 9  # two at a time would fetch the same files twice

wheels=
if [ -z "${TROUPE_TORCH:-}" ]; then
  wheels=$(missing_wheels)
  [ -z "$wheels" ] || check_space <<< "$wheels"
fi
read -r -a missing <<< "$(missing_packages < <(echo "$packages" | sed '/^$/d'; if $lint; then echo "$lint_packages" | sed '/^$/d'; fi; if $browser; then echo "$browser_packages" | sed '/^$/d'; fi) | paste -sd' ')"
if [ -n "$wheels" ] && ! find_pip > /dev/null; then
  say "for downloading LibTorch, and nothing else: python3-pip"
  missing+=(python3-pip)
fi
if [ "${#missing[@]}" -gt 0 ]; then install_packages "${missing[@]}"; else say "all Debian packages are there"; fi
check_cmake
if [ -n "$wheels" ]; then
  say "for tensors and automatic differentiation: LibTorch, into $target"
  fetch_libtorch <<< "$wheels"
fi
[ -n "${TROUPE_TORCH:-}" ] || say "LibTorch $torch_version is in $target"
say "ready"
