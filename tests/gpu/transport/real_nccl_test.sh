#!/usr/bin/env bash
# usage: real_nccl_test.sh NCCL_RANK [LIBRARY [DEVICE]]
# Two processes on one GPU, over NCCL itself: every collective, and a version in buckets. To NCCL they are two hosts, so
# that it takes both; what is between them is the loopback interface. Ends with 77, and why, where there is no GPU or no NCCL.
set -euo pipefail
rank=$(realpath "$1")
library=${2:-libnccl.so.2}
device=${3:-cuda:0}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export NCCL_SOCKET_IFNAME=lo NCCL_IB_DISABLE=1 NCCL_NET=Socket NCCL_NVLS_ENABLE=0 NCCL_MAX_NCHANNELS=1
NCCL_HOSTID=r1 "$rank" "$library" 1 2 "@$work/id" 120000 "$device" > "$work/one" 2>&1 &
one=$!
status=0
NCCL_HOSTID=r0 "$rank" "$library" 0 2 "@$work/id" 120000 "$device" > "$work/zero" 2>&1 || status=$?
if [ "$status" = 77 ]; then
  wait "$one" || true
  echo "skipped: $(cat "$work/zero")"
  exit 77
fi
wait "$one" || status=$?
cat "$work/zero" "$work/one"
[ "$status" = 0 ] && [ "$(tail -n 1 "$work/zero") $(tail -n 1 "$work/one")" = 'ok ok' ]
