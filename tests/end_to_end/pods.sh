#!/usr/bin/env bash
# usage: tests/end_to_end/pods.sh [TROUPE] [OVERLAY]
# An overlay in real containers, without a cluster: builds the image, renders the overlay, and plays its pods in podman
# (pods/pods.jq says how they are mapped, pods/place.sh what they are given). Then what pods/ has for it:
#   cpu-demo, hardened, cert-manager (openssl stands in)  the demo trains across pods, through faults (pods/demo.sh)
#   ranks, ranks-cert-manager                             a learner of three pods, one of which is killed (pods/ranks.sh)
#   single-node                                           the Job, to its end and told to end (pods/single_node.sh)
# As root. Exit code 77: a tool is missing, and which. UPDATES: how many of the last stage (time for faults).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(realpath "$here/../..")
troupe=$(realpath "${1:-$top/build/release/troupe}")
overlay=${2:-cpu-demo}
skip() { echo "skipped: $*"; exit 77; }
case $overlay in
  cpu-demo | cert-manager) story=demo default_updates=1500 ;;
  hardened) story=demo default_updates=1500 ;;
  ranks | ranks-cert-manager) story=ranks default_updates=200 ;;
  single-node) story=single_node default_updates=50 ;;
  *) echo "pods: nothing is known of the overlay $overlay" >&2; exit 2 ;;
esac
updates=${UPDATES:-$default_updates}
for tool in podman runc catatonit netavark iptables kubectl jq curl openssl bc; do
  command -v $tool > /dev/null || [ -x /usr/lib/podman/$tool ] || skip "$tool is missing"
done
[ -x /usr/lib/podman/aardvark-dns ] || skip "aardvark-dns is missing"
[ "$overlay" != hardened ] || command -v runsc > /dev/null || skip "runsc is missing"
[ "$(id -u)" = 0 ] || skip "root is needed"

work=$(mktemp -d)
chmod 755 "$work"
say() { printf '%6.1f s  %s\n' "$(bc -l <<< "$(date +%s.%N) - $begin")" "$*"; }
fail() {
  echo "FAILED: $*" >&2
  for pod in $(jq -r '.[].name' "$work/pods.json"); do
    echo "-- $pod" >&2
    podman logs --tail 15 "$pod-troupe" >&2 || true
  done
  exit 1
}
# shellcheck source=tests/end_to_end/pods/place.sh
. "$here/pods/place.sh"
# shellcheck source=tests/end_to_end/pods/watch.sh
. "$here/pods/watch.sh"
trap clean_up EXIT
write_containers_conf
prepare
make_volumes
make_networks
begin=$(date +%s.%N)
# shellcheck source=/dev/null
. "$here/pods/$story.sh"
