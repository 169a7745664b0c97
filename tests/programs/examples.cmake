# Tiny runs of each example, then bad input.
set(data ${PROJECT_SOURCE_DIR}/examples/data)
set(bad ${CMAKE_CURRENT_BINARY_DIR}/bad)
file(WRITE ${bad}/ragged.csv "a,b,c\n1,2,3\n4,5\n")
file(WRITE ${bad}/text.csv "a,b,c\n1,2,3\n4,five,6\n")
file(WRITE ${bad}/nan.csv "a,b,c\n1,2,3\n4,nan,6\n")
file(WRITE ${bad}/empty.csv "")
file(WRITE ${bad}/header.csv "a,b,c\n")
file(WRITE ${bad}/missing.csv "a,b,c\n1,2,3\n4,,6\n")
file(WRITE ${bad}/noise.idx "this is no IDX file")
execute_process(COMMAND head -c 3000 ${data}/digits.csv.gz OUTPUT_FILE ${bad}/truncated.csv.gz COMMAND_ERROR_IS_FATAL ANY)
set(short --epochs 2 --hidden 8 --batch 64)
set(tiny --device cpu ${short})

program_test(runs quickstart EXIT 0 OUTPUT "accuracy on (cpu|cuda:0): (0\\.9|1)")

program_test(digits mlp EXIT 0 OUTPUT "samples/s" ARGS --data digits ${tiny})
foreach(device cpu auto)
  add_test(NAME programs.mlp.streaming_${device}
           COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/same_model.sh $<TARGET_FILE:mlp> --streaming ${short}
                   --data digits --device ${device})
  set_tests_properties(programs.mlp.streaming_${device} PROPERTIES TIMEOUT 300)
endforeach()
program_test(csv mlp EXIT 0 OUTPUT "test accuracy" ARGS --data ${data}/digits.csv.gz --test-fraction 0.5 ${tiny})
program_test(check mlp EXIT 0 OUTPUT "in roundoffs" ARGS --data digits --check ${tiny})
program_test(bf16 mlp EXIT 0 OUTPUT "precision bf16: products in bfloat16" ARGS --data digits --precision bf16 ${tiny})
program_test(fp16 mlp EXIT 0 OUTPUT "loss scale [0-9]+, [0-9]+ of [0-9]+ steps skipped"
             ARGS --data digits --precision fp16 ${tiny})
program_test(no_tf32 mlp EXIT 1 ERROR "the CPU has no TF32" ARGS --data digits --precision tf32 ${tiny})
program_test(unknown_precision mlp EXIT 1 ERROR "'int4'.*bf16" ARGS --data digits --precision int4 ${tiny})
program_test(runs mlp EXIT 0 OUTPUT "median" ARGS --data digits --runs 2 ${tiny})
program_test(help mlp EXIT 0 OUTPUT "--device" ARGS --help)

program_test(mlp regression EXIT 0 OUTPUT "test rmse" ARGS ${tiny})
program_test(target regression EXIT 0 OUTPUT "target 'age'" ARGS --data ${data}/concrete.csv --target age ${tiny})
program_test(closed_form regression EXIT 0 OUTPUT "closed-form solution: [0-9.]+e-(0[5-9]|1[0-9])"
             ARGS --model linear --device cpu)
program_test(check regression EXIT 0 OUTPUT "in roundoffs" ARGS --check ${tiny})

program_test(runs moons EXIT 0 OUTPUT "decision boundary" ARGS --device cpu --epochs 2)

program_test(agrees custom_op EXIT 0 OUTPUT "gradient rules: [0-9]+ checked, 0 wrong")
program_test(wrong_gradient custom_op EXIT 1 OUTPUT "gradient rule +wrong_squareplus +at custom_op.cpp:[0-9]+"
             ERROR "the check found something" ARGS --wrong)
program_test(unknown_option custom_op EXIT 1 ERROR "--wrnog" ARGS --wrnog)

# What a user may get wrong: the option, the device, the file, its contents.
program_test(unknown_option mlp EXIT 1 ERROR "--epohcs" ARGS --epohcs 3)
program_test(bad_number mlp EXIT 1 ERROR "--lr" ARGS --lr -1)
program_test(bad_model regression EXIT 1 ERROR "--model" ARGS --model tree)
program_test(bad_device mlp EXIT 1 ERROR "tpu.*cpu" ARGS --device tpu)
program_test(no_such_gpu mlp EXIT 1 ERROR "cuda:99" ARGS --device cuda:99)
program_test(no_such_file regression EXIT 1 ERROR "nowhere.csv" ARGS --data nowhere.csv)
program_test(no_such_target regression EXIT 1 ERROR "'price'.*cement" ARGS --data ${data}/concrete.csv --target price)
program_test(ragged regression EXIT 1 ERROR "ragged.csv:3" ARGS --data ${bad}/ragged.csv)
program_test(text regression EXIT 1 ERROR "text.csv:3.*five" ARGS --data ${bad}/text.csv)
program_test(nan regression EXIT 1 ERROR "nan.csv:3" ARGS --data ${bad}/nan.csv)
program_test(missing_value regression EXIT 1 ERROR "missing.csv:3" ARGS --data ${bad}/missing.csv)
program_test(empty regression EXIT 1 ERROR "empty.csv.*empty" ARGS --data ${bad}/empty.csv)
program_test(no_rows regression EXIT 1 ERROR "header.csv.*no rows" ARGS --data ${bad}/header.csv)
program_test(truncated_gzip mlp EXIT 1 ERROR "truncated.csv.gz" ARGS --data ${bad}/truncated.csv.gz)
program_test(no_idx mlp EXIT 1 ERROR "noise.idx"
             ARGS --images ${bad}/noise.idx --labels ${bad}/noise.idx --test-images ${bad}/noise.idx --test-labels
                  ${bad}/noise.idx)
program_test(half_idx mlp EXIT 1 ERROR "--labels" ARGS --images ${bad}/noise.idx)
program_test(unwritable_model mlp EXIT 1 ERROR "/nowhere/model.safetensors"
             ARGS --data digits --save /nowhere/model.safetensors ${tiny})
program_test(unwritable_picture moons EXIT 1 ERROR "/nowhere/moons.svg"
             ARGS --picture /nowhere/moons.svg --device cpu --epochs 1)
