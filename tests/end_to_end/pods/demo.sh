# shellcheck shell=bash disable=SC2154  # read by pods.sh
# The demo trains across pods, each answers for its health, a generator that is killed comes back and joins, those that are
# told to end hand over what they have, a director that is killed finds the run going on, and all updates are made with
# nothing lost. In `hardened` verifiers see a kernel of their own.
play_all
until_true 600 trained
say "the learner has made its first update"
healthy_and_ready
operator=$work/kubernetes/site/pki/authority
observe=(--pki /pki --name operator)
if [ -d "$work/secret/troupe-operator" ]; then
  operator=$work/secret/troupe-operator
  (cd "$operator" && mv ca.crt ca.pem && mv tls.crt operator.pem && mv tls.key operator.key)
  observe+=(--no-revocation-list)
fi
status_from() {  # NETWORK
  podman run --rm --user 0 --network "$1" --volume "$operator:/pki:ro" "$image" status replay-buffer:7420 "${observe[@]}"
}
status_from troupe-generator-replay-buffer | grep -qF 'mutual TLS 1.3' || fail "no status from where the director can be reached"
! status_from troupe-generator-broadcaster > /dev/null 2>&1 || fail "the generators' way to the broadcaster leads to the replay buffer"
say "the replay buffer is reached where a policy allows it, and nowhere else"

kernel_of() {  # NAME: what a program in its pod is told; there is none in the image, so it gets one in its volume
  cp /bin/uname "$work/volumes/$1-state/"
  podman exec "$1-troupe" /var/lib/troupe/uname --kernel-release
}
graded() { answers verifier-7f9c-x0 /metrics | grep -E '^troupe_verifier_verdicts_total.*outcome="pass"' | grep -vqE ' 0$'; }
if [ "$overlay" = hardened ]; then
  [ "$(kernel_of generator-7f9c-x0)" = "$(uname -r)" ] || fail "a generator has another kernel than this machine"
  [ "$(kernel_of verifier-7f9c-x0)" != "$(uname -r)" ] || fail "the verifier has the kernel of this machine"
  until_true 600 graded
  say "the verifier grades on a kernel of its own, $(kernel_of verifier-7f9c-x0); this machine's is $(uname -r)"
fi

learning() { podman logs director-0-troupe | grep '^reason [0-9]' > /dev/null; }
until_true 600 learning
until_true 120 times 'generator-7f9c-x1 \(generator\) from' 1
kill -9 "$(process_of generator-7f9c-x1)"
until_true 120 times 'generator-7f9c-x1 \(generator\) from' 2
say "a generator that was killed is back"
for name in generator-7f9c-x0 verifier-7f9c-x0 broadcaster-0; do  # a rolling restart
  ends_well $name
  podman start "$name-troupe" > /dev/null
  until_true 120 times "${name%-0} \(.*\) from" 2  # the pod of a StatefulSet joins by its role
done
logged 'generator-7f9c-x0 has left' || fail "the generator handed over nothing"
say "generator, verifier and broadcaster have been ended and started again"
before=$(updates)
kill -9 "$(process_of director-0)"
until_true 120 trained $((before + 20))
say "the director was killed: updates went on"
until_true 120 answers director-0 /readyz
say "another director leads"

until_true 900 logged 'the run is done'
say "the run is done"
balanced "$work"/volumes/director-0-state/*/summary.json
grep -qF "\"updates\": $updates" "$work"/volumes/director-0-state/*/summary.json || fail "not all updates were made"
ends_well director-0
say "the director ended at SIGTERM"
