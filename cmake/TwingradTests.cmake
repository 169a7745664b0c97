# twingrad_discover_suites(target): after the target is built, asks it for its tests and adds a ctest entry per suite.
# One process per test would start thousands of times; one for everything would say too little.
function(twingrad_discover_suites target)
  set(entries ${CMAKE_CURRENT_BINARY_DIR}/${target}_suites.cmake)
  set(results ${PROJECT_BINARY_DIR}/test-results)
  file(MAKE_DIRECTORY ${results})
  add_custom_command(
    TARGET ${target}
    POST_BUILD
    COMMAND ${CMAKE_COMMAND} -Dbinary=$<TARGET_FILE:${target}> -Dentries=${entries} -Dresults=${results} -P
            ${PROJECT_SOURCE_DIR}/cmake/DiscoverSuites.cmake
    VERBATIM)
  file(
    GENERATE
    OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${target}_include.cmake
    CONTENT "if(EXISTS \"${entries}\")
  include(\"${entries}\")
else()
  add_test(${target}_NOT_BUILT ${target}_NOT_BUILT)
endif()
")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${CMAKE_CURRENT_BINARY_DIR}/${target}_include.cmake)
endfunction()
