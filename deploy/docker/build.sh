#!/usr/bin/env bash
# usage: deploy/docker/build.sh [cpu|gpu] [--troupe FILE] [--out DIR]
# Makes build/image/VARIANT.tar, an OCI archive (podman load -i, ctr image import, skopeo copy oci-archive:...), without a
# registry and without a daemon; VARIANT.ref, its name with digest; VARIANT.spdx.json, what is in it. The same inputs (the
# binary, LibTorch, the Debian archive) give the same digest.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(realpath "$here/../..")
variant=cpu
troupe=$top/build/release/troupe
out=$top/build/image
while [ $# -gt 0 ]; do
  case $1 in
    cpu | gpu) variant=$1 ;;
    --troupe) troupe=$2; shift ;;
    --out) out=$2; shift ;;
    -h | --help) sed -n '2,5s/^# //p' "$here/build.sh"; exit 0 ;;
    *) echo "build: unknown argument $1; try --help" >&2; exit 2 ;;
  esac
  shift
done
for tool in jq dpkg-deb apt-get ldd strip; do
  command -v "$tool" > /dev/null || { echo "build: $tool is missing; apt-get install jq binutils" >&2; exit 3; }
done
[ -x "$troupe" ] || { echo "build: no $troupe; build it (deploy/test.sh), or give --troupe FILE" >&2; exit 2; }

name=localhost/troupe
[ "$variant" = cpu ] || name+=-$variant
readonly name epoch=0
mkdir -p "$out"
work=$out/$variant
"$here/root_fs.sh" "$variant" "$troupe" "$work/root"

layout=$work/layout
rm -rf "$layout"
mkdir -p "$layout/blobs/sha256"
sum() { sha256sum "$1" | cut -d' ' -f1; }
keep() {  # FILE: into the blobs; prints its digest
  local digest
  digest=$(sum "$1")
  mv "$1" "$layout/blobs/sha256/$digest"
  echo "$digest"
}
blob() { stat -c %s "$layout/blobs/sha256/$1"; }
archive() {  # FILE, and what goes into it: the same bytes for the same files
  tar --create --file "$1" --directory "$work/root" --format=gnu --sort=name --mtime="@$epoch" --numeric-owner --owner=0 --group=0 \
    --no-recursion --files-from <(cd "$work/root" && find "${@:2}" | LC_ALL=C sort -u)
}
layer() {  # NAME PATH...: prints digest of the tar and of the compressed tar
  archive "$work/$1.tar" "${@:2}"
  gzip --no-name --fast --stdout "$work/$1.tar" > "$work/$1.tar.gz"
  local plain
  plain=$(sum "$work/$1.tar")
  rm "$work/$1.tar"
  echo "$plain $(keep "$work/$1.tar.gz")"
}
# What changes rarely lies below.
read -r system_plain system < <(cd "$work/root" && layer system . -mindepth 1 -not -path './usr/bin/troupe')
read -r binary_plain binary < <(layer binary ./usr/bin/troupe)

version=$("$troupe" version | awk '$1 == "troupe" {print $2}')
jq -ncS --arg a "sha256:$system_plain" --arg b "sha256:$binary_plain" --arg version "$version" '{
  architecture: "amd64", os: "linux", created: "1970-01-01T00:00:00Z",
  config: {User: "65532:65532", Entrypoint: ["/usr/bin/troupe"], WorkingDir: "/var/lib/troupe",
           Env: ["PATH=/usr/bin", "HOME=/var/lib/troupe"], StopSignal: "SIGTERM",
           Labels: {"org.opencontainers.image.title": "troupe", "org.opencontainers.image.version": $version}},
  rootfs: {type: "layers", diff_ids: [$a, $b]}}' > "$work/config.json"
config=$(keep "$work/config.json")
jq -ncS --arg c "$config" --argjson c_size "$(blob "$config")" --arg a "$system" --argjson a_size "$(blob "$system")" \
  --arg b "$binary" --argjson b_size "$(blob "$binary")" '
  def part($type; $digest; $size): {mediaType: ("application/vnd.oci.image." + $type), digest: ("sha256:" + $digest), size: $size};
  {schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config: part("config.v1+json"; $c; $c_size),
   layers: [part("layer.v1.tar+gzip"; $a; $a_size), part("layer.v1.tar+gzip"; $b; $b_size)]}' > "$work/manifest.json"
manifest=$(keep "$work/manifest.json")
printf '{"imageLayoutVersion":"1.0.0"}' > "$layout/oci-layout"
jq -ncS --arg m "sha256:$manifest" --argjson s "$(blob "$manifest")" --arg name "$name:latest" '
  {schemaVersion: 2, manifests: [{mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $m, size: $s,
   annotations: {"org.opencontainers.image.ref.name": $name}}]}' > "$layout/index.json"
tar --create --file "$out/$variant.tar" --directory "$layout" --format=gnu --sort=name --mtime="@$epoch" --numeric-owner \
  --owner=0 --group=0 --mode=u=rwX,go=rX blobs index.json oci-layout
echo "$name@sha256:$manifest" > "$out/$variant.ref"

# SPDX: Debian's packages as downloaded, and what is ours or from LibTorch's wheels, by file.
parts() { (cd "$work/root" && sha256sum usr/bin/troupe opt/troupe/lib/*); }
jq -nS --arg name "troupe-$variant" --arg version "$version" --arg digest "$manifest" --rawfile debian "$work/packages.tsv" \
  --rawfile wheels "$work/wheels.tsv" --arg parts "$(parts)" '
  def id: gsub("[^A-Za-z0-9.-]"; "-") | "SPDXRef-" + .;
  def package($name; $version; $sum): {SPDXID: ($name | id), name: $name, versionInfo: $version, downloadLocation: "NOASSERTION",
    filesAnalyzed: false, licenseConcluded: "NOASSERTION", licenseDeclared: "NOASSERTION", copyrightText: "NOASSERTION",
    checksums: [{algorithm: "SHA256", checksumValue: $sum}]};
  [$debian | split("\n")[] | select(. != "") | split("\t") |
    package(.[0]; .[1]; .[4]) +
    {sourceInfo: ("built from " + .[2]),
     externalRefs: [{referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: "pkg:deb/debian/\(.[0])@\(.[1])?arch=amd64"}]}] as $packages |
  ([$wheels | split("\n")[] | select(. != "") | split("\t") | {(.[0]): .}] | add) as $origin |
  [$parts | split("\n")[] | capture("^(?<sum>[0-9a-f]{64})  (?<file>.*)$") | (.file | split("/")[-1]) as $name |
    package($name; $origin[$name][2] // $version; .sum) +
    if $origin[$name][1] then {sourceInfo: "from the wheel \($origin[$name][1])"} else {} end] as $own |
  {spdxVersion: "SPDX-2.3", dataLicense: "CC0-1.0", SPDXID: "SPDXRef-DOCUMENT", name: $name,
   documentNamespace: "https://spdx.org/spdxdocs/\($name)-\($digest)", creationInfo: {created: "1970-01-01T00:00:00Z", creators: ["Tool: troupe-image"]},
   packages: ($packages + $own),
   relationships: [($packages + $own)[] | {spdxElementId: "SPDXRef-DOCUMENT", relationshipType: "DESCRIBES", relatedSpdxElement: .SPDXID}]}' > "$out/$variant.spdx.json"

megabytes() { du -sm --apparent-size "$1" | cut -f1; }
echo "$(cat "$out/$variant.ref"): $(megabytes "$work/root") MB unpacked, $(megabytes "$out/$variant.tar") MB to carry, $(jq '.packages | length' "$out/$variant.spdx.json") parts"
rm -rf "$work/root" "$layout"
