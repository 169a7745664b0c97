#!/usr/bin/env bash
# expect.sh STATUS OUTPUT ERROR PROGRAM ARGUMENT...: runs the program in an empty folder and compares exit status and, as
# extended regexes, both streams. A failing program prints one line of error (and may point to --help) and leaves no file
# behind.
set -euo pipefail
wanted=$1 output=$2 error=$3
shift 3

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/run"
cd "$folder/run"
status=0
"$@" >../output 2>../error </dev/null || status=$?
cat ../output ../error

fail() {
  printf 'FAILED: %s\n' "$1"
  exit 1
}
[[ $status == "$wanted" ]] || fail "exit status $status, not $wanted"
[[ -z $output ]] || grep -qE -- "$output" ../output || fail "no line of the output matches: $output"
[[ -z $error ]] || grep -qE -- "$error" ../error || fail "no line of the error output matches: $error"
if [[ $wanted != 0 ]]; then
  [[ $(grep -cv '^Run with --help for more information\.$' ../error) == 1 ]] || fail "the error is not one line"
  [[ -z $(ls -A .) ]] || fail "files were left behind: $(ls -A .)"
fi
