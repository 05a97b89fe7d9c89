#!/usr/bin/env bash
# usage: deploy/docker/root_fs.sh cpu|gpu TROUPE DIR
# Puts into DIR what a container of Troupe consists of: the binary, LibTorch, and of Debian the packages that those link to.
# No shell, no package manager, no Python, no compiler. DIR/../packages.tsv says what of Debian is in it: name, version,
# source, file, sha256. They are downloaded in the newest version that the archive of this machine has. DIR/../wheels.tsv
# says which library comes from which wheel: file, name, version.
set -euo pipefail
variant=$1
troupe=$(realpath "$2")
mkdir -p "$3/.."
root=$(realpath "$3")
debs=$(dirname "$root")/debs
list=$(dirname "$root")/packages.tsv
origins=$(dirname "$root")/wheels.tsv
readonly variant troupe root debs list origins user=65532
readonly torch=${TROUPE_TORCH:-${XDG_CACHE_HOME:-$HOME/.cache}/troupe/libtorch-2.11.0/torch}
wheels=$(dirname "$torch")
readonly wheels
fail() { echo "root_fs: $*" >&2; exit 1; }
[ -f "$torch/lib/libtorch_cpu.so" ] || fail "no LibTorch in $torch; run deploy/setup.sh"

linked() {  # FILE...: paths of all libraries that they need, LibTorch's too; the driver's come with the node
  local said
  said=$(LD_LIBRARY_PATH=$torch/lib$(printf ':%s' "$wheels"/nvidia/*/lib) ldd "$@")
  ! grep -F 'not found' <<< "$said" | grep -vF 'libcuda.so.1' || fail "a library is missing; for gpu: deploy/setup.sh --gpu"
  awk '$2 == "=>" && $3 != "not" {print $3} $1 ~ /^\/lib64/ {print $1}' <<< "$said" | sort -u
}
roots=("$troupe")
if [ "$variant" = gpu ]; then
  # The last three are loaded by name, once LibTorch or cuDNN needs them.
  for file in "$(dirname "$troupe")/libtroupe_cuda.so" "$torch"/lib/lib{torch_cuda,torch_cuda_linalg,caffe2_nvrtc}.so \
    "$wheels"/nvidia/cudnn/lib/libcudnn_*.so.9 "$wheels"/nvidia/cu13/lib/libnvrtc-builtins.so.*; do
    [ -f "$file" ] || fail "no $file; run deploy/setup.sh --gpu and build with nvcc"
    roots+=("$file")
  done
fi

packages() {  # of Debian, with what must be there besides libraries
  local path
  echo base-files
  while read -r path; do
    case $path in
      "$wheels"/* | "$(dirname "$troupe")"/*) ;;
      *) { dpkg -S "$path" 2> /dev/null || dpkg -S "$(realpath "$path")" 2> /dev/null || dpkg -S "/usr$path"; } | head -n 1 | cut -d: -f1 ;;
    esac
  done
}
wanted() { linked "${roots[@]}" | packages | sort -u; }

download() {  # PACKAGE; prints its file
  local version name
  version=$(apt-cache policy "$1" | sed -n 's/^ *Candidate: //p')
  name=${1}_${version//:/%3a}
  compgen -G "$debs/${name}_*.deb" > /dev/null || (cd "$debs" && apt-get -o APT::Sandbox::User=root download -qq "$1=$version" > /dev/null)
  compgen -G "$debs/${name}_*.deb"
}

rm -rf "$root"
mkdir -p "$root" "$debs"
: > "$list"
for package in $(wanted); do
  deb=$(download "$package") || fail "cannot download $package ; apt-get update?"
  dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --exclude './usr/share/man' --exclude './usr/share/locale' \
    --exclude './usr/share/lintian' --exclude './usr/share/bug' --exclude './usr/lib/*/gconv' --exclude './usr/lib/*/perl*' \
    --exclude './usr/share/doc/*/*.gz' --exclude './usr/share/doc/*/examples' --exclude './var/cache' --exclude './var/log'
  # shellcheck disable=SC2016  # dpkg expands them
  dpkg-deb -W --showformat '${Package}\t${Version}\t${source:Package}\t' "$deb" >> "$list"
  printf '%s\t%s\n' "$(basename "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)" >> "$list"
done
# As on every Debian since 12.
for folder in lib lib64; do
  [ -L "$root/$folder" ] || { mkdir -p "$root/usr/$folder" && cp -a "$root/$folder/." "$root/usr/$folder/" && rm -r "${root:?}/$folder"; ln -s "usr/$folder" "$root/$folder"; }
done
for folder in bin sbin boot home media mnt opt srv root usr/games usr/include usr/src usr/local usr/bin usr/sbin; do
  rm -rf "${root:?}/$folder"
done

mkdir -p "$root"/{usr/bin,opt/troupe/lib,etc,tmp,proc,sys,dev,run,var/lib/troupe,etc/ld.so.conf.d}
install -m 755 "$troupe" "$root/usr/bin/troupe"
strip --strip-unneeded "$root/usr/bin/troupe"
wheel_of() {  # FILE: name and version
  local record
  record=$(grep -lF "${1#"$wheels"/}," "$wheels"/*.dist-info/RECORD 2> /dev/null | head -n 1)
  basename "${record%.dist-info/RECORD}" | sed -E 's/-([0-9.]+)$/\t\1/'
}
: > "$origins"
{ linked "${roots[@]}" | { grep "^$wheels/" || true; }; printf '%s\n' "${roots[@]:1}"; } | xargs -rn 1 realpath -s | sort -u |
  while read -r library; do
    installed=$root/opt/troupe/lib/$(basename "$library")
    install -m 644 "$library" "$installed"
    case $library in
      "$wheels"/nvidia/*) ;;  # they go on as NVIDIA made them
      *) strip --strip-unneeded "$installed" ;;
    esac
    case $library in
      "$wheels"/*) printf '%s\t%s\n' "$(basename "$library")" "$(wheel_of "$library")" >> "$origins" ;;
    esac
  done

# Debian's licences lie in usr/share/doc, and those of the wheels beside them.
while IFS=$'\t' read -r name version; do
  mkdir -p "$root/usr/share/doc/$name"
  find "$wheels/$name-$version.dist-info" -path '*/licenses/*' -type f -exec install -m 644 {} "$root/usr/share/doc/$name/" \;
done < <(cut -f 2,3 "$origins" | sort -u)

printf 'root:x:0:0::/:/nologin\ntroupe:x:%d:%d::/var/lib/troupe:/nologin\n' $user $user > "$root/etc/passwd"
printf 'root:x:0:\ntroupe:x:%d:\n' $user > "$root/etc/group"
printf 'hosts: files dns\n' > "$root/etc/nsswitch.conf"
printf '/opt/troupe/lib\n/usr/lib/x86_64-linux-gnu\n' > "$root/etc/ld.so.conf"
ldconfig -r "$root" -f /etc/ld.so.conf
rm -rf "$root/var/cache"
chmod 1777 "$root/tmp"
chmod 755 "$root"
