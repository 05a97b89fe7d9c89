#!/usr/bin/env bash
# usage: certificates.sh TROUPE foreign|expired|wrong_role|wrong_host|revoked
# Processes with papers that are not good: what each side says, and how the one with the papers ends. What is refused
# never harms those who have joined.
set -euo pipefail
troupe=$(realpath "$1")
part=$2
config=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/deploy/config/smoke.toml
work=$(mktemp -d)
processes=()
trap 'kill -9 "${processes[@]}" 2> /dev/null || true; wait 2> /dev/null || true; rm -rf "$work"' EXIT
cd "$work"
settings=(--set network.listen=127.0.0.1:0 --set stage.rl.updates=1000000 --set evaluation.every=0
  --set network.redial-longest-seconds=0.3)

fail() {
  echo "FAILED: $*" >&2
  tail -n 20 said* run/log.jsonl >&2 || true
  exit 1
}
until_true() {  # COMMAND...: within a minute
  for _ in $(seq 600); do
    if "$@" > /dev/null 2>&1; then return; fi
    sleep 0.1
  done
  fail "never true: $*"
}
authority() {  # DIRECTORY: with papers for all
  "$troupe" pki init "$1" > /dev/null
  "$troupe" pki issue "$1" --role director --name director --host "${host:-127.0.0.1}" > /dev/null
  for name in gen-0 gen-1; do "$troupe" pki issue "$1" --role generator --name "$name" > /dev/null; done
  "$troupe" pki issue "$1" --role verifier --name ver-0 > /dev/null
}
start() {  # a run with one generator and one verifier; its authority is in pki
  mkdir run
  "$troupe" serve "$config" --role director --name director --pki pki --director 127.0.0.1:7420 --quiet "${settings[@]}" \
    --run-directory "$work/run" --ready-file "$work/ready" > said-director 2>&1 &
  processes+=($!)
  until_true test -f ready
  address=$(grep -o '127.0.0.1:[0-9]*' ready)
}
join() {  # ROLE NAME
  "$troupe" serve "$config" --role "$1" --name "$2" --pki pki --director "$address" --out "$2" --quiet "${settings[@]}" > "said-$2" 2>&1 &
  processes+=($!)
  until_true grep -qF "joined: $2 " run/log.jsonl
}
made_more_updates() {
  local before
  before=$(grep -c '"type":"update"' run/metrics.jsonl) || true  # 0 so far is no failure
  until_true more_than "$before"
}
more_than() { [ "$(grep -c '"type":"update"' run/metrics.jsonl)" -gt "$1" ]; }
ends() {  # EXIT-CODE TEXT PKI NAME [ROLE]: a process with such papers
  local status=0
  timeout 60 "$troupe" serve "$config" --role "${5:-generator}" --name "$4" --pki "$3" --director "$address" --out other --quiet \
    "${settings[@]}" --set network.away-deadline-seconds=2 > said 2>&1 || status=$?
  [ "$status" = "$1" ] || fail "exit code $status, not $1"
  grep -qF -- "$2" said || fail "the process does not say '$2'"
}
heard() { until_true grep -q "link_refused: .*$1" run/log.jsonl; }  # what the director says

foreign() {
  authority pki
  authority elsewhere
  start
  join generator gen-0
  join verifier ver-0
  ends 1 'foreign_ca' elsewhere gen-1
  heard foreign_ca
  made_more_updates
}

expired() {  # openssl makes one that has ended, and shows it, as no process of Troupe would
  authority pki
  start
  join generator gen-0
  join verifier ver-0
  cp -r pki old
  openssl x509 -in pki/gen-1.pem -x509toreq -signkey pki/gen-1.key -out request 2> /dev/null
  openssl x509 -in pki/gen-1.pem -noout -ext subjectAltName | sed -n 's/^ *URI:/subjectAltName=URI:/p' > extensions
  printf 'extendedKeyUsage=clientAuth\nkeyUsage=digitalSignature\n' >> extensions
  cat > authority.conf <<'CONF'
[ca]
default_ca = here
[here]
database = index
new_certs_dir = .
serial = serial
default_md = sha256
policy = any
[any]
commonName = optional
CONF
  : > index
  echo 77 > serial
  openssl ca -batch -config authority.conf -cert pki/ca.pem -keyfile pki/ca.key -in request -out old/gen-1.pem -extfile extensions \
    -startdate 20200101000000Z -enddate 20210101000000Z -notext 2> /dev/null || fail "openssl makes no certificate"
  ends 2 'expired on 2021-01-01' old gen-1
  openssl s_client -connect "$address" -cert old/gen-1.pem -key old/gen-1.key -CAfile pki/ca.pem > said 2>&1 < /dev/null || true
  heard expired
  made_more_updates
}

wrong_role() {
  authority pki
  start
  join generator gen-0
  join verifier ver-0
  ends 2 'is of role verifier, and generator is needed' pki ver-0
  "$troupe" pki issue pki --role observer --name watcher > /dev/null
  ends 2 'is of role observer, and generator is needed' pki watcher
  made_more_updates
}

wrong_host() {  # the director's papers are for another host
  host=other.example authority pki
  start
  ends 1 'wrong_host' pki gen-0
  heard wrong_host
}

revoked() {  # before it joins, and while the run goes on
  authority pki
  cp -r pki old  # papers and list from before
  "$troupe" pki revoke pki gen-1 > /dev/null
  start
  join generator gen-0
  join verifier ver-0
  ends 2 'revoked' pki gen-1
  ends 1 'revoked' old gen-1
  heard revoked
  "$troupe" pki issue pki --role generator --name gen-2 > /dev/null
  cp pki/gen-2.* old/
  join generator gen-2
  "$troupe" pki revoke pki gen-2 > /dev/null  # the director reads the new list before the next handshake
  kill -9 "${processes[-1]}"
  ends 1 'revoked' old gen-2
  made_more_updates
}

"$part"
