# Kernels that are compiled at run time include these files, as text in the library. Included from the top
# CMakeLists.txt where the CUDA backend's sources are built.
set(embedded cuda/divisor.h cuda/element.cuh cuda/fused_kernel.cuh cuda/fused_sums.cuh cuda/slice.cuh
             core/annotations.h core/dtype.h core/formulas.h core/update_formulas.h cuda/nvrtc_error.h cuda/nvrtc_std.h)
list(JOIN embedded "," embedded_names)
list(TRANSFORM embedded PREPEND ${PROJECT_SOURCE_DIR}/)
add_custom_command(
  OUTPUT ${PROJECT_BINARY_DIR}/fused_text.cpp
  COMMAND ${CMAKE_COMMAND} -Droot=${PROJECT_SOURCE_DIR} -Doutput=${PROJECT_BINARY_DIR}/fused_text.cpp
          -Dversion=${PROJECT_VERSION} -Dsources=${embedded_names} -P ${PROJECT_SOURCE_DIR}/cmake/EmbedSources.cmake
  DEPENDS ${embedded} ${PROJECT_SOURCE_DIR}/cmake/EmbedSources.cmake
  VERBATIM)
target_sources(twingrad PRIVATE ${PROJECT_BINARY_DIR}/fused_text.cpp)
target_link_libraries(twingrad PRIVATE ${CMAKE_DL_LIBS})
