# Options of the build, and the flags every target is held to. A value or a name that does not exist is an error.
set(TWINGRAD_CUDA AUTO CACHE STRING
    "Build the CUDA backend: ON (fail when it cannot be had), OFF, AUTO, or EMULATED (for tests: its kernels run on the CPU)")
set_property(CACHE TWINGRAD_CUDA PROPERTY STRINGS AUTO ON OFF EMULATED)
set(TWINGRAD_CUDA_ARCHITECTURES "" CACHE STRING
    "GPU architectures as CMake names them (90-real;120); empty: all supported ones, and PTX for later GPUs")
option(TWINGRAD_PTXAS_INFO "Let ptxas print registers and spills of every CUDA kernel" OFF)
option(TWINGRAD_NATIVE "Compile CPU kernels for this machine's processor" ${PROJECT_IS_TOP_LEVEL})
option(TWINGRAD_WERROR "Warnings are errors" ${PROJECT_IS_TOP_LEVEL})
option(TWINGRAD_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(TWINGRAD_BUILD_EXAMPLES "Build the examples" ${PROJECT_IS_TOP_LEVEL})
option(TWINGRAD_BUILD_BENCH "Build the benchmarks" OFF)
set(TWINGRAD_BENCH_TORCH "" CACHE PATH "Folder of a Python environment's torch package: LibTorch beside our training step")
set(installable ${PROJECT_IS_TOP_LEVEL})
if(TWINGRAD_CUDA STREQUAL "EMULATED")
  set(installable OFF)
endif()
option(TWINGRAD_INSTALL "Make install rules" ${installable})
set(TWINGRAD_SANITIZE "" CACHE STRING "Sanitizers for every target: address, undefined, address,undefined or thread")
set_property(CACHE TWINGRAD_SANITIZE PROPERTY STRINGS "" address undefined address,undefined thread)

set(switches TWINGRAD_PTXAS_INFO TWINGRAD_NATIVE TWINGRAD_WERROR TWINGRAD_BUILD_TESTS TWINGRAD_BUILD_EXAMPLES
             TWINGRAD_BUILD_BENCH TWINGRAD_INSTALL)
set(choices TWINGRAD_BENCH_TORCH TWINGRAD_CUDA TWINGRAD_CUDA_ARCHITECTURES TWINGRAD_SANITIZE)
set(found_by_configure TWINGRAD_CCACHE TWINGRAD_CLANG_FORMAT)

get_cmake_property(all_variables CACHE_VARIABLES)
foreach(variable IN LISTS all_variables)
  if(variable MATCHES "^TWINGRAD_" AND NOT variable IN_LIST switches AND NOT variable IN_LIST choices
     AND NOT variable IN_LIST found_by_configure)
    list(JOIN switches ", " switches_text)
    list(JOIN choices ", " choices_text)
    message(FATAL_ERROR "There is no option ${variable}. There are ${choices_text}, ${switches_text}. "
                        "To forget it: cmake -U${variable} ${PROJECT_BINARY_DIR}")
  endif()
endforeach()
foreach(switch IN LISTS switches)
  if(NOT ${switch} MATCHES "^(ON|OFF|TRUE|FALSE|YES|NO|1|0)$")
    message(FATAL_ERROR "${switch} is ON or OFF, not '${${switch}}'")
  endif()
endforeach()
if(NOT TWINGRAD_CUDA MATCHES "^(ON|OFF|AUTO|EMULATED)$")
  message(FATAL_ERROR "TWINGRAD_CUDA is ON, OFF, AUTO or EMULATED, not '${TWINGRAD_CUDA}'")
endif()
if(TWINGRAD_CUDA STREQUAL "EMULATED" AND TWINGRAD_INSTALL)
  message(FATAL_ERROR "TWINGRAD_CUDA=EMULATED is for tests and never installed: configure with -DTWINGRAD_INSTALL=OFF")
endif()
if(NOT TWINGRAD_CUDA_ARCHITECTURES MATCHES "^([0-9]+a?(-real|-virtual)?(;|$))*$" AND NOT TWINGRAD_CUDA_ARCHITECTURES STREQUAL "native")
  message(FATAL_ERROR "TWINGRAD_CUDA_ARCHITECTURES is 'native' or a list like 80-real;90, "
                      "not '${TWINGRAD_CUDA_ARCHITECTURES}'")
endif()
if(NOT TWINGRAD_SANITIZE MATCHES "^(|address|undefined|address,undefined|thread)$")
  message(FATAL_ERROR "TWINGRAD_SANITIZE is address, undefined, address,undefined or thread, not '${TWINGRAD_SANITIZE}'")
endif()

get_property(generator_is_multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
if(PROJECT_IS_TOP_LEVEL AND NOT generator_is_multi_config)
  if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
  endif()
  if(NOT CMAKE_BUILD_TYPE MATCHES "^(Debug|Release|RelWithDebInfo|MinSizeRel)$")
    message(FATAL_ERROR "CMAKE_BUILD_TYPE is Debug, Release, RelWithDebInfo or MinSizeRel, not '${CMAKE_BUILD_TYPE}'")
  endif()
endif()
set(CMAKE_CXX_EXTENSIONS OFF)

find_program(TWINGRAD_CCACHE ccache)
mark_as_advanced(TWINGRAD_CCACHE)
if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
  if(TWINGRAD_CCACHE)
    set(CMAKE_CXX_COMPILER_LAUNCHER ${TWINGRAD_CCACHE})
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${TWINGRAD_CCACHE})
  endif()
endif()

add_library(twingrad_warnings INTERFACE)
target_compile_options(
  twingrad_warnings
  INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion;-Wsign-conversion>
            $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Wshadow>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 sees overlapping copies in its own std::string where there are none (its bug 105651).
  target_compile_options(twingrad_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
endif()
if(TWINGRAD_WERROR)
  target_compile_options(twingrad_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>
                                                     $<$<COMPILE_LANGUAGE:CUDA>:--Werror=all-warnings>)
endif()

# No contraction: a product and a sum round twice on every processor, so results do not depend on where they were built.
set(TWINGRAD_UNCONTRACTED $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off> $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-ffp-contract=off>)

# Nobody reads errno or the exception flags of kernels; both keep loops from being vectorised.
set(TWINGRAD_CPU_FLAGS -O3 -fno-math-errno -fno-trapping-math)
if(TWINGRAD_NATIVE)
  include(CheckCXXCompilerFlag)
  foreach(flag -march=native -mprefer-vector-width=512)
    string(MAKE_C_IDENTIFIER "compiler_takes${flag}" answer)
    check_cxx_compiler_flag(${flag} ${answer})
    if(${answer})
      list(APPEND TWINGRAD_CPU_FLAGS ${flag})
    endif()
  endforeach()
endif()

if(TWINGRAD_CUDA STREQUAL "EMULATED" AND TWINGRAD_SANITIZE STREQUAL "thread")
  message(FATAL_ERROR "TWINGRAD_CUDA=EMULATED switches stacks, which the thread sanitizer cannot follow: take address or "
                      "undefined, or TWINGRAD_CUDA=OFF")
endif()
if(TWINGRAD_SANITIZE)
  # Instrumented code takes several times as long to compile; with fewer inlined calls the reports are clearer, too, and
  # of debug information they show lines only.
  list(REMOVE_ITEM TWINGRAD_CPU_FLAGS -O3)
  add_compile_options($<$<AND:$<COMPILE_LANGUAGE:CXX>,$<NOT:$<CONFIG:Debug>>>:-O1>
                      $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<NOT:$<CONFIG:Debug>>>:-g1>)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${TWINGRAD_SANITIZE}>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize-recover=all>)
  add_link_options(-fsanitize=${TWINGRAD_SANITIZE})
endif()
