#!/usr/bin/env bash
# Which folder may include what: core/ no backend, the backends only core and themselves, programs only public headers.
# Usage: rooms.sh ROOT
set -euo pipefail
cd "${1:?usage: rooms.sh ROOT}"

failed=0
# forbid WHAT PATTERN FOLDER...: no source file in the folders has a line that matches the extended regex.
forbid() {
  local what=$1 pattern=$2 found
  shift 2
  found=$(grep -rnHE --include='*.h' --include='*.cuh' --include='*.cpp' --include='*.cu' "$pattern" "$@" |
    grep -vE '^[^:]+:[0-9]+: *//' || true)  # comments may show a program
  if [[ -n $found ]]; then
    printf '%s:\n%s\n' "$what" "$found"
    failed=1
  fi
}

forbid 'core/ includes a backend' '#include *["<](cpu|cuda)/' core
forbid 'core/ includes its own headers by another name than <twingrad/...>' '#include *"' core
forbid 'cpu/ includes cuda/' '#include *["<]cuda/' cpu
forbid 'cuda/ includes cpu/' '#include *["<]cpu/' cuda
forbid 'core/ or cpu/ includes CUDA headers' '#include *["<](cuda|cublas|cub/|thrust/|nvrtc|nvtx)' core cpu
forbid 'a program uses private headers' '#include *(["<](core|cpu|cuda)/|<twingrad/(graph|ops)/)' examples
mapfile -t host_files < <(find core cpu examples -name '*.h' -o -name '*.cpp' | grep -v '^core/annotations.h$')
forbid 'CUDA is asked for by the preprocessor outside cuda/' '^ *# *(el)?if.*(CUDA|NVCC)' "${host_files[@]}"
forbid 'library code prints, exits or aborts' 'std::(cout|cerr|exit|abort|quick_exit|terminate)\b|\bprintf\(|\bassert\(' \
  core cpu cuda

if [[ $failed == 0 ]]; then
  echo 'every folder includes only what it may'
fi
exit $failed
