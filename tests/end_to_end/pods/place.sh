# shellcheck shell=bash disable=SC2154  # read by pods.sh, which sets work, top, here, troupe, overlay, updates
# What the pods of an overlay find when they start: the image, Secrets and ConfigMaps as folders, volumes, networks.

# Where limits cannot be raised, and control groups are of two kinds, podman's defaults do not start a container.
write_containers_conf() {
  cat > "$work/containers.conf" <<TEXT
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[engine.runtimes]
runsc = ["$work/runsc"]
TEXT
  write_runsc > "$work/runsc"
  chmod 755 "$work/runsc"
  export CONTAINERS_CONF=$work/containers.conf
}
# runsc as podman can use it. Control groups are left alone, as above. runsc of Debian 12 takes the network of a pod for the
# machine's where the kernel is new (seen on 6.18), and refuses to take it over; so it asks the kernel for sockets, of the pod's own network.
# For runsc the containers of a pod are one process, which podman's monitor of the second one takes for gone, and kills: so each
# has a sandbox of its own.
write_runsc() {
  cat <<TEXT
#!/usr/bin/env bash
set -euo pipefail
for ((i = 1; i < \$#; i++)); do
  [ "\${!i}" = --bundle ] || continue
  next=\$((i + 1))
  spec=\${!next}/config.json
  jq 'del(.annotations["io.kubernetes.cri-o.ContainerType"])' "\$spec" > "\$spec.new"
  mv "\$spec.new" "\$spec"
done
exec $(command -v runsc) --network=host --ignore-cgroups "\$@"
TEXT
}
clean_up() {
  local name
  for name in $(jq -r '.[].name' "$work/pods.json" 2> /dev/null); do podman pod rm --force --time 2 "$name" > /dev/null 2>&1 || true; done
  for name in $(networks); do podman network rm --force "$name" > /dev/null 2>&1 || true; done
  rm -rf "$work"
}
networks() { jq -r '.[].networks[] | sub(":.*"; "")' "$work/pods.json" 2> /dev/null | sort -u; }

prepare() {  # the image, and what is to be played: objects.json, as rendered, and pods.json
  local longer=--set=stage.reason.updates=$updates
  if ! [ "$top/build/image/cpu.ref" -nt "$troupe" ]; then "$top/deploy/docker/build.sh" cpu --troupe "$troupe"; fi
  image=$(cat "$top/build/image/cpu.ref")
  podman image exists "$image" || podman load --quiet --input "$top/build/image/cpu.tar" > /dev/null
  cp -r "$top/deploy/kubernetes" "$work/kubernetes"
  rm -rf "$work/kubernetes/site"
  "$work/kubernetes/prepare.sh" --troupe "$troupe" --image "$image" > "$work/said"
  kubectl kustomize "$work/kubernetes/overlays/$overlay" > "$work/rendered.yaml"
  kubectl annotate --local -f "$work/rendered.yaml" played-by=podman -o json | jq -s . > "$work/objects.json"
  jq --arg folder "$work" -f "$here/pods/pods.jq" "$work/objects.json" |
    jq --arg set "$longer" 'map(.pod.spec.containers[0].args += [$set])' > "$work/pods.json"
}

write_files() {  # KIND FOLDER FILTER: the contents of Secrets and ConfigMaps, as a kubelet mounts them
  local kind=$1 folder=$2 name key
  while read -r name key; do
    mkdir -p "$work/$folder/$name"
    jq -j --arg kind "$kind" --arg name "$name" --arg key "$key" ".[] | select(.kind == \$kind and .metadata.name == \$name) | .data[\$key]$3" \
      "$work/objects.json" > "$work/$folder/$name/$key"
  done < <(jq -r --arg kind "$kind" '.[] | select(.kind == $kind) | .metadata.name as $n | .data | keys[] | "\($n) \(.)"' "$work/objects.json")
}
# As cert-manager does it: an authority, and for each Certificate a Secret with ca.crt, tls.crt and tls.key.
write_certificates() {
  local secret names usages folder=$work/secret/troupe-authority key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
  mkdir -p "$folder"
  openssl req -x509 "${key[@]}" -keyout "$folder/tls.key" -out "$folder/tls.crt" -subj /CN=troupe -days 3650 \
    -addext keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign 2> /dev/null
  while IFS=$'\t' read -r secret names usages; do
    folder=$work/secret/$secret
    mkdir -p "$folder"
    openssl req -new "${key[@]}" -keyout "$folder/tls.key" -subj "/CN=${secret#troupe-}" 2> /dev/null |
      openssl x509 -req -CA "$work/secret/troupe-authority/tls.crt" -CAkey "$work/secret/troupe-authority/tls.key" -days 90 -out "$folder/tls.crt" \
        -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=%s\nkeyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:false\n' \
          "$names" "$usages") 2> /dev/null
    cp "$work/secret/troupe-authority/tls.crt" "$folder/ca.crt"
  done < <(jq -r '.[] | select(.kind == "Certificate") | .spec | select(.isCA | not) |
    [.secretName, ([(.uris[] | "URI:" + .), (.dnsNames[]? | "DNS:" + .)] | join(",")),
     ([.usages[] | {"client auth": "clientAuth", "server auth": "serverAuth"}[.] // empty] | join(","))] | @tsv' "$work/objects.json")
}
# A kubelet gives a key of a Secret the name that `items` of the volume say, and a projected volume has several Secrets.
name_items() {
  local secret key path folder
  while read -r folder secret key path; do
    mkdir -p "$work/secret/$folder"
    cp "$work/secret/$secret/$key" "$work/secret/$folder/$path"
  done < <(jq -r '.[].projected[] | .folder as $f | .sources[].secret | .name as $s | .items[] | "\($f) \($s) \(.key) \(.path)"' "$work/pods.json")
  while read -r secret key path; do
    mv "$work/secret/$secret/$key" "$work/secret/$secret/$path"
  done < <(jq -r '.[] | .spec.template.spec.volumes[]?.secret | select(.items) | .secretName as $s | .items[] | "\($s) \(.key) \(.path)"' "$work/objects.json")
}
make_volumes() {
  mkdir -p "$work/volumes" "$work/secret"
  write_files Secret secret ' | gsub("\\s"; "") | @base64d'
  write_files ConfigMap config ''
  if jq -e 'any(.kind == "Certificate")' "$work/objects.json" > /dev/null; then write_certificates; fi
  name_items
  jq -r '.[] | .name as $n | .folders[] | "\($n)-\(.)"' "$work/pods.json" | (cd "$work/volumes" && xargs mkdir)
  find "$work/secret" -name '*.key' -exec chmod 400 {} +
  chown -R 65532:65532 "$work/secret" "$work/volumes"
}
make_networks() {
  local network
  for network in $(networks); do podman network create --internal "$network" > /dev/null; done
}

start() {  # NAME, by the runtime that its pod asks for
  local networks runtime
  mapfile -t networks < <(jq -r --arg name "$1" '.[] | select(.name == $name) | .networks[] | "--network=\(.)"' "$work/pods.json")
  runtime=$(jq -r --arg name "$1" '.[] | select(.name == $name) | .runtime // "runc"' "$work/pods.json")
  jq --arg name "$1" '.[] | select(.name == $name) | .pod' "$work/pods.json" > "$work/$1.json"
  podman --log-level error --runtime "$runtime" kube play --log-driver k8s-file "${networks[@]}" "$work/$1.json" > /dev/null || fail "$1 cannot be played"
}
