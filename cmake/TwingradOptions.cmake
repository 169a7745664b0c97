# Options of the build, and the warnings every target is held to.
set(TWINGRAD_CUDA AUTO CACHE STRING "Build the CUDA backend: ON (fail when it cannot be had), OFF, or AUTO")
set_property(CACHE TWINGRAD_CUDA PROPERTY STRINGS AUTO ON OFF)
option(TWINGRAD_NATIVE "Compile CPU kernels for this machine's processor" ${PROJECT_IS_TOP_LEVEL})
option(TWINGRAD_WERROR "Warnings are errors" ${PROJECT_IS_TOP_LEVEL})
option(TWINGRAD_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(TWINGRAD_BUILD_EXAMPLES "Build the examples" ${PROJECT_IS_TOP_LEVEL})
option(TWINGRAD_BUILD_BENCH "Build the benchmarks" OFF)
set(TWINGRAD_SANITIZE "" CACHE STRING "Sanitizers for every target: address,undefined or thread")

set(generator_is_multi_config FALSE)
get_property(generator_is_multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
if(PROJECT_IS_TOP_LEVEL AND NOT generator_is_multi_config AND NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_CXX_EXTENSIONS OFF)

find_program(TWINGRAD_CCACHE ccache)
if(TWINGRAD_CCACHE AND PROJECT_IS_TOP_LEVEL)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${TWINGRAD_CCACHE})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${TWINGRAD_CCACHE})
endif()

add_library(twingrad_warnings INTERFACE)
target_compile_options(
  twingrad_warnings
  INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion;-Wsign-conversion>
            $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Wshadow;--Wno-deprecated-gpu-targets>)
if(TWINGRAD_WERROR)
  target_compile_options(twingrad_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>
                                                     $<$<COMPILE_LANGUAGE:CUDA>:--Werror=all-warnings>)
endif()

# No contraction: a product and a sum round twice on every processor, so results do not depend on where they were built.
set(TWINGRAD_CPU_FLAGS -O3 -ffp-contract=off -fno-math-errno -fno-trapping-math -fopenmp)
if(TWINGRAD_NATIVE)
  list(APPEND TWINGRAD_CPU_FLAGS -march=native -mprefer-vector-width=512)
endif()

if(TWINGRAD_SANITIZE)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${TWINGRAD_SANITIZE}> $<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize-recover=all>)
  add_link_options(-fsanitize=${TWINGRAD_SANITIZE})
endif()
