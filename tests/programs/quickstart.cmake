program_test(runs quickstart EXIT 0 OUTPUT "accuracy")
