#!/usr/bin/env bash
# usage: shell_test.sh TROUPE completion|manual
# What people use on a terminal beside the commands themselves.
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

# What bash would offer for the last of these words.
offered() {
  bash -c 'source ./script
    COMP_WORDS=("$@")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    compopt() { :; }
    _troupe
    printf "%s\n" "${COMPREPLY[@]}"' bash "$@"
}
offers() {  # WANTED WORD...
  offered "${@:2}" > output
  grep -qxF -- "$1" output || { cat output >&2; fail "'$1' is not offered for: ${*:2}"; }
}
offers_not() {  # UNWANTED WORD...
  offered "${@:2}" > output
  ! grep -qxF -- "$1" output || fail "'$1' is offered for: ${*:2}"
}

completion() {
  "$troupe" completion bash > script
  mkdir folder
  touch job.toml
  offers train troupe tr
  offers_not status troupe tr
  offers issue troupe pki ''
  offers --host troupe pki issue --h
  offers verifier troupe pki issue authority --role v
  offers job.toml troupe train j
  offers folder troupe sample f
  offers_not job.toml troupe sample ''
  offers learner.clip-high= troupe train job.toml --set learner.clip
  offers zsh troupe completion ''
  # Every command that --help names is completed.
  "$troupe" --help | sed -n '/^Subcommands:/,/^$/s/^  \([a-z]\+\) .*/\1/p' > commands
  [ "$(wc -l < commands)" -gt 10 ] || fail "no commands in the help"
  while read -r command; do offers "$command" troupe "$command"; done < commands
  for shell in zsh fish; do
    "$troupe" completion "$shell" > script
    grep -q clip-high script || fail "$shell: no config keys"
    if command -v "$shell" > /dev/null; then
      "$shell" -n script || fail "$shell does not take its script"
    else
      echo "$shell is not installed: its script was not read by it"
    fi
  done
  ! "$troupe" completion csh > output 2>&1 || fail "there is no completion for csh"
  grep -q fish output || fail "the shells that there are go unnamed"
}

manual() {
  "$troupe" manual > troupe.1
  for text in '.TH TROUPE 1' 'EXIT STATUS' 'troupe pki issue' '\-\-role' 'troupe train deploy'; do
    grep -qF -- "$text" troupe.1 || fail "the page has no '$text'"
  done
  if ! command -v groff > /dev/null; then
    echo "groff is not installed: the page was not formatted"
    return
  fi
  groff -man -Tutf8 -ww troupe.1 > page 2> warnings
  [ ! -s warnings ] || { cat warnings >&2; fail "groff warns"; }
}

"$part"
