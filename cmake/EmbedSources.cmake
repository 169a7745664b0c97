# Run as a script: writes cuda/fused_text.h's functions, with the sources of the kernels as text.
#   cmake -Droot=... -Doutput=... -Dversion=... -Dsources=cuda/divisor.h,... -P EmbedSources.cmake
#
# NVRTC has no standard headers: each one that is included is cuda/nvrtc_std.h under another name.
set(standard bit cmath cstddef cstdint string_view tuple type_traits)
string(REPLACE "," ";" sources "${sources}")

set(rows "")
set(all "")
foreach(source IN LISTS sources)
  file(READ ${root}/${source} text)
  string(APPEND all "${source}\n${text}\n")
  string(REGEX REPLACE "^core/" "twingrad/" name ${source})
  string(REPLACE "cuda/nvrtc_error.h" "twingrad/error.h" name ${name})
  string(APPEND rows "    {\"${name}\",\n     R\"twingrad(${text})twingrad\"},\n")
endforeach()
foreach(name IN LISTS standard)
  string(APPEND rows "    {\"${name}\", \"#include \\\"cuda/nvrtc_std.h\\\"\\n\"},\n")
endforeach()
string(SHA256 hash "${all}")

set(text "#include \"cuda/fused_text.h\"

namespace twingrad::cuda {

const std::vector<Header>& fused_headers() {
  static const std::vector<Header> headers = {
${rows}  };
  return headers;
}

const char* fused_headers_key() {
  return \"twingrad ${version} ${hash}\";
}

}  // namespace twingrad::cuda
")
file(WRITE ${output} "${text}")
