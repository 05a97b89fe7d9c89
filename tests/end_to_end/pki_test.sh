#!/usr/bin/env bash
# usage: pki_test.sh TROUPE issued_certificates|revocation|no_list|many_at_once|bad_input
# The judge of every certificate is openssl's command line.
set -euo pipefail
troupe=$(realpath "$1")
part=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
  echo "FAILED: $*" >&2
  exit 1
}
expect() {  # EXIT-CODE TEXT COMMAND...: runs it; the text is in what it prints
  local wanted=$1 text=$2 status=0
  shift 2
  "$@" > output 2>&1 < /dev/null || status=$?
  [ "$status" = "$wanted" ] || { cat output >&2; fail "exit code $status, not $wanted: $*"; }
  grep -qF -- "$text" output || { cat output >&2; fail "'$text' is not in the output of: $*"; }
}
verify() {  # PURPOSE CERTIFICATE [DIRECTORY]: of the authority, pki if not given
  openssl verify -x509_strict -crl_check -CAfile "${3:-pki}/ca.pem" -CRLfile "${3:-pki}/crl.pem" -purpose "$1" "$2"
}
issue() { "$troupe" pki issue pki "$@" > /dev/null; }

issued_certificates() {
  expect 0 'made an authority' "$troupe" pki init pki --name here
  expect 0 'issued pki/director.pem for director director' "$troupe" pki issue pki --role director --name director \
    --host Head.example --host 10.0.0.7 --host ::1
  expect 0 'issued pki/gen-0.pem for generator gen-0' "$troupe" pki issue pki --role generator --name gen-0 --days 20
  expect 0 'issued pki/ver-_any.pem for verifier ver-*' "$troupe" pki issue pki --role verifier --name 'ver-*'
  expect 0 'OK' verify sslclient pki/ver-_any.pem
  expect 0 'OK' verify sslserver pki/director.pem
  expect 0 'OK' verify sslclient pki/director.pem
  expect 0 'OK' verify sslclient pki/gen-0.pem
  expect 0 'OK' verify sslserver pki/gen-0.pem  # to other generators: broadcaster.relay
  expect 2 'unsuitable certificate purpose' verify sslserver pki/ver-_any.pem
  expect 0 'URI:troupe://director/director, DNS:head.example, IP Address:10.0.0.7, IP Address:0:0:0:0:0:0:0:1' \
    openssl x509 -in pki/director.pem -noout -ext subjectAltName
  expect 0 'CN = here' openssl x509 -in pki/gen-0.pem -noout -issuer
  expect 0 'CRL Number' openssl crl -in pki/crl.pem -CAfile pki/ca.pem -noout -text
  expect 0 'verify OK' openssl crl -in pki/crl.pem -CAfile pki/ca.pem -noout
  openssl x509 -in pki/gen-0.pem -noout -checkend $((19 * 86400)) > /dev/null || fail "gen-0 ends too soon"
  ! openssl x509 -in pki/gen-0.pem -noout -checkend $((20 * 86400)) > /dev/null || fail "gen-0 ends too late"
  [ "$(stat -c %a pki pki/ca.key pki/gen-0.key pki/gen-0.pem | paste -sd' ')" = '700 600 600 644' ] || fail "modes"
  [ "$(openssl x509 -in pki/gen-0.pem -noout -pubkey)" = "$(openssl pkey -in pki/gen-0.key -pubout)" ] ||
    fail "key and certificate of gen-0 do not belong together"
  expect 0 '"days_left": ' "$troupe" pki show pki/gen-0.pem --json
  grep -qE '"days_left": (19|20),' output || fail "not 20 days, or a second less"
  expect 0 "$(openssl x509 -in pki/gen-0.pem -noout -fingerprint -sha256 | sed 's/.*=//; s/://g' | tr A-F a-f)" \
    "$troupe" pki show pki/gen-0.pem
  expect 0 'head.example,10.0.0.7,::1' "$troupe" pki show pki
}

revocation() {
  "$troupe" pki init pki > output
  issue --role generator --name gen-0
  issue --role verifier --name ver-0 --days 20
  cp pki/gen-0.pem before.pem
  cp pki/gen-0.key before.key
  expect 0 'renewed pki/ver-0.pem' "$troupe" pki renew pki
  ! grep -q gen-0 output || fail "gen-0 was renewed, which has 90 days"
  expect 0 'nothing is due' "$troupe" pki renew pki --within 10
  expect 0 'renewed pki/gen-0.pem' "$troupe" pki renew pki gen-0
  ! cmp -s before.key pki/gen-0.key || fail "the key of gen-0 is the old one"
  expect 0 'OK' verify sslclient pki/gen-0.pem
  expect 0 'OK' verify sslclient before.pem
  expect 0 'revoked 2 certificates of gen-0' "$troupe" pki revoke pki gen-0
  expect 2 'certificate revoked' verify sslclient pki/gen-0.pem
  expect 2 'certificate revoked' verify sslclient before.pem
  expect 0 'OK' verify sslclient pki/ver-0.pem
  expect 0 '"revoked": true' "$troupe" pki show pki/gen-0.pem --json
  expect 2 'gen-0 is revoked' "$troupe" pki renew pki gen-0
  issue --role generator --name gen-0
  expect 0 'OK' verify sslclient pki/gen-0.pem
}

no_list() {  # an authority that keeps none: only who is told so goes without
  "$troupe" pki init pki > output
  issue --role observer --name me
  local ask=("$troupe" status 127.0.0.1:1 --pki pki --name me --timeout 0.1)
  expect 1 'Connection refused' "${ask[@]}"
  expect 2 'pki/crl.pem: is a revocation list, and none is to be heeded' "${ask[@]}" --no-revocation-list
  rm pki/crl.pem
  expect 2 'pki/crl.pem' "${ask[@]}"
  expect 1 'Connection refused' "${ask[@]}" --no-revocation-list
}

many_at_once() {
  "$troupe" pki init pki > output
  local processes=() process won=0
  for n in 0 1 2 3 4 5; do issue --role generator --name "gen-$n" & processes+=($!); done
  for process in "${processes[@]}"; do wait "$process" || fail "one of six was not issued"; done
  for n in 0 1 2 3 4 5; do expect 0 'OK' verify sslclient "pki/gen-$n.pem"; done
  "$troupe" pki show pki --json > shown
  [ "$(grep '"serial"' shown | sort -u | wc -l)" = 7 ] || fail "of seven certificates two have one serial"
  processes=()
  for n in 0 1 2 3; do issue --role verifier --name ver 2> "refusal-$n" & processes+=($!); done
  for process in "${processes[@]}"; do if wait "$process"; then won=$((won + 1)); fi; done
  [ "$won" = 1 ] || fail "$won of four were issued one name"
  expect 0 'OK' verify sslclient pki/ver.pem
}

bad_input() {
  expect 2 'does not exist; make one with troupe pki init' "$troupe" pki issue pki --role verifier --name v
  mkdir empty
  expect 2 'empty: holds no authority' "$troupe" pki show empty
  "$troupe" pki init pki > output
  issue --role generator --name gen-0
  local key
  key=$(cat pki/gen-0.key)
  expect 2 'pki/ca.key: is here already' "$troupe" pki init pki
  expect 2 'gen-0 was issued' "$troupe" pki issue pki --role generator --name gen-0
  [ "$(cat pki/gen-0.key)" = "$key" ] || fail "a key was overwritten"
  expect 2 'did you mean generator?' "$troupe" pki issue pki --role generater --name gen-1
  expect 2 'the roles are director' "$troupe" pki issue pki --role emperor --name gen-1
  expect 2 'a name has 1 to 63' "$troupe" pki issue pki --role generator --name ../gen
  expect 2 'with --host' "$troupe" pki issue pki --role learner --name learner
  expect 2 'without port' "$troupe" pki issue pki --role learner --name learner --host a:7000
  expect 2 'wildcard' "$troupe" pki issue pki --role learner --name learner --host '*.example'
  expect 2 'gen-0 is issued' "$troupe" pki issue pki --role generator --name 'gen-*'
  expect 2 'did you mean gen-0?' "$troupe" pki renew pki gen0
  expect 2 'did you mean gen-0?' "$troupe" pki revoke pki gen0
  expect 2 'did you mean issue?' "$troupe" pki isue pki
  expect 2 '--days' "$troupe" pki issue pki --role generator --name gen-1 --days 0
  expect 2 'give fewer days' "$troupe" pki issue pki --role generator --name gen-1 --days 4000
  expect 2 'holds no readable certificate' "$troupe" pki show pki/ca.key
  expect 2 'nowhere.pem' "$troupe" pki show nowhere.pem
  expect 2 'cannot be made' "$troupe" pki init /dev/null/pki
  for command in init issue show renew revoke; do
    expect 0 "example: troupe pki $command" "$troupe" pki "$command" --help
  done
  chmod 644 pki/gen-0.key
  expect 0 'pki/gen-0.key: others can read this key; chmod 600' "$troupe" pki show pki
  "$troupe" pki init other > output
  cp pki/gen-0.pem other/
  expect 0 'signed by another authority' "$troupe" pki show other/gen-0.pem
  expect 2 'unable to get local issuer' verify sslclient pki/gen-0.pem other
  echo '{' > pki/index.json
  expect 2 'pki/index.json: is not the record' "$troupe" pki issue pki --role verifier --name v
}

"$part"
