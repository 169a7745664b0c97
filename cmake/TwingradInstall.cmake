# `cmake --install`: library, public headers as <twingrad/...>, and a package for find_package(twingrad).
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/twingrad)

install(TARGETS twingrad EXPORT twingradTargets)
# What public headers do not use stays at home: nodes, plans, helpers of gradient rules and readers. The consumer test
# compiles every installed header on its own, and would find one that misses another.
install(DIRECTORY core/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/twingrad FILES_MATCHING PATTERN "*.h"
        PATTERN graph EXCLUDE
        PATTERN ops EXCLUDE
        REGEX "/data/(csv_scanner|host_random|host_rows|streamed_rows|text)\\.h$" EXCLUDE
        REGEX "/optim/(rules|step_replay)\\.h$" EXCLUDE
        REGEX "/check/(compare_pieces|faults_list|graph_layout|graph_layout_lane|lanes|op_case_maker|reference_interpreter|reference_pieces|reference_sources|report_style|score_cases|score_model|subject|tracked_lanes)\\.h$" EXCLUDE)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(EXPORT twingradTargets NAMESPACE twingrad:: DESTINATION ${package_dir})

configure_package_config_file(cmake/twingradConfig.cmake.in twingradConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(twingradConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/twingradConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/twingradConfigVersion.cmake
        DESTINATION ${package_dir})
