# The training-step benchmark, where benchmarks are built: a run of ours alone, and bad input with exit status 2.
if(TARGET stepbench)
  program_test(list stepbench EXIT 0 OUTPUT "^narrow" ARGS list)
  program_test(run stepbench EXIT 0 OUTPUT "twingrad@1 +[0-9]" ARGS
               run --works moons --systems twingrad,twingrad-compile,twingrad-unfused,twingrad-op-by-op,handwritten --quick --json run.json)
  program_test(sweep stepbench EXIT 0 OUTPUT "^b16-w8: 8-8-8" ARGS
               sweep --systems twingrad --batches 16 --widths 8 --layers 2)
  program_test(empty_sweep stepbench EXIT 2 ERROR "nothing is left of the sweep" ARGS sweep --most-flops 1)
  program_test(unknown_work stepbench EXIT 2 ERROR "no work 'mooons'; there are moons" ARGS run --works mooons)
  program_test(unknown_system stepbench EXIT 2 ERROR "no system 'caffe'; there are twingrad" ARGS run --systems caffe)
  program_test(bad_repeats stepbench EXIT 2 ERROR "repeats" ARGS run --repeats 0)
  program_test(no_result stepbench EXIT 2 ERROR "cannot read missing.json" ARGS compare missing.json missing.json)
  program_test(no_result_to_show stepbench EXIT 2 ERROR "cannot read missing.json" ARGS html missing.json page.html)
  program_test(not_a_result stepbench EXIT 2 ERROR "no result of this benchmark" ARGS
               compare ${PROJECT_SOURCE_DIR}/bench/works.json ${PROJECT_SOURCE_DIR}/bench/works.json)
  program_test(too_many_threads stepbench EXIT 2 ERROR "this machine has" ARGS run --threads 1000000)
  program_test(no_command stepbench EXIT 2 ERROR "subcommand is required")
  foreach(system twingrad handwritten)
    add_test(NAME programs.bench_system_${system}.no_work COMMAND bench_system_${system} missing.json missing.safetensors)
    set_tests_properties(programs.bench_system_${system}.no_work PROPERTIES PASS_REGULAR_EXPRESSION
                                                                            "cannot read the work missing.json")
  endforeach()
endif()
