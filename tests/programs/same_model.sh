#!/usr/bin/env bash
# same_model.sh PROGRAM OPTION ARGUMENT...: trains with the option and without it, and compares what was printed, but for
# times, and the saved models byte by byte.
set -euo pipefail
program=$1 option=$2
shift 2

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
run() { # run NAME ARGUMENT...
  "$program" "${@:2}" --save model.safetensors >printed
  cat printed
  mv model.safetensors "$1.safetensors"
  grep '^epoch' printed | sed -E 's/ [0-9]+ samples.*//' >"$1.epochs"
}
run without "$@"
run with "$option" "$@"
[[ -s without.epochs ]] || { echo "FAILED: no epoch was printed" && exit 1; }
cmp without.epochs with.epochs
cmp without.safetensors with.safetensors
