# Sourced by the other scripts: where things are, and what this machine has.
# shellcheck shell=bash
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034  # for those who source this
jobs=${JOBS:-$(nproc)}

say() { printf '== %s\n' "$*"; }
fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# A machine without a package registry may have Debian packages unpacked into .deps/ (see install_deps --download).
use_unpacked_packages() {
  local deps=$root/.deps package libraries
  [[ -d $deps ]] || return 0
  for package in "$deps"/*.deb; do
    [[ -e $package ]] || continue
    [[ -e $deps/unpacked/$(basename "$package") ]] && continue
    dpkg -x "$package" "$deps"
    mkdir -p "$deps/unpacked"
    touch "$deps/unpacked/$(basename "$package")"
  done
  libraries=$deps/usr/lib/$(uname -m)-linux-gnu
  export CMAKE_PREFIX_PATH=$deps/usr${CMAKE_PREFIX_PATH:+:$CMAKE_PREFIX_PATH}
  export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export LIBRARY_PATH=$libraries${LIBRARY_PATH:+:$LIBRARY_PATH}
  export PATH=$PATH:$deps/usr/bin
}

# Puts nvcc on PATH if the toolkit is at its usual place; false if there is none.
have_nvcc() {
  local folder
  for folder in "${CUDA_PATH:-/usr/local/cuda}/bin" /usr/local/cuda/bin; do
    if ! command -v nvcc >/dev/null && [[ -x $folder/nvcc ]]; then
      PATH=$PATH:$folder
    fi
  done
  command -v nvcc >/dev/null
}

have_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q '^GPU 0'; }

# The architecture of the first GPU as CMake names it: 90-real.
gpu_architecture() {
  nvidia-smi --query-gpu=compute_cap --format=csv,noheader -i 0 | tr -d '. \n' | sed 's/$/-real/'
}
