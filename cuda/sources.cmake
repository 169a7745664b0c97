# Compile options of the CUDA sources, included from the top CMakeLists.txt where the backend is built.
#
# Host-device functions of core/ call constexpr functions of the standard library (std::bit_cast).
set(TWINGRAD_CUDA_FLAGS --expt-relaxed-constexpr)

# Without contraction a product and a sum round twice, as on the CPU: random numbers and arange are equal bit by bit,
# and so are optimizer updates and all elementwise formulas made of + - * / and sqrt. These kernels wait for memory;
# the math functions keep their own fused operations.
set(TWINGRAD_CUDA_UNCONTRACTED cuda/random.cu cuda/copy.cu cuda/update.cu cuda/elementwise_unary.cu
                               cuda/elementwise_binary.cu cuda/fused_patterns.cu)

target_compile_options(twingrad PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:${TWINGRAD_CUDA_FLAGS}>)
set_source_files_properties(${TWINGRAD_CUDA_UNCONTRACTED} PROPERTIES COMPILE_OPTIONS --fmad=false)
