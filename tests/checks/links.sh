#!/usr/bin/env bash
# Relative links and named files in README.md, CONTRIBUTING.md and docs/ exist. Usage: links.sh ROOT
set -euo pipefail
cd "${1:?usage: links.sh ROOT}"

failed=0
check() { # check DOCUMENT TARGET BASE
  if [[ ! -e $3/${2%%#*} ]]; then
    printf '%s names %s, which does not exist\n' "$1" "$2"
    failed=1
  fi
}
for document in README.md CONTRIBUTING.md docs/*.md; do
  while IFS= read -r target; do
    [[ $target =~ ^(https?:|#) ]] || check "$document" "$target" "$(dirname "$document")"
  done < <(grep -oE '\]\([^) ]+\)' "$document" | sed -E 's/^\]\((.*)\)$/\1/')
  # shellcheck disable=SC2016  # backticks of Markdown
  while IFS= read -r target; do
    check "$document" "$target" .
  done < <(grep -oE '`(core|cpu|cuda|tests|bench|examples|scripts|cmake|docs)/[A-Za-z0-9_./-]+`' "$document" | tr -d '`')
done
[[ $failed == 0 ]] && echo 'all links lead somewhere'
exit $failed
