// The file that a user may name for the algorithms of his products: what was measured once is taken again, so that the
// same program gives the same bits in its next run. Plain C++; the tests need no GPU.
//
//   ProductChoices choices("products.txt");
//   if (!choices.find(key)) { choices.add(key, measured); }
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace twingrad::cuda {

/// cuBLASLt's description of an algorithm. It may be kept and given back to the same version of the library.
using AlgorithmWords = std::array<std::uint64_t, 8>;

/// Lines of a key, a tab and the algorithm in hex. Lines of other GPUs and library versions, which the keys name, are
/// kept.
class ProductChoices {
 public:
  /// A file that is not there is empty. Throws IoError for one that is no such file, with its line.
  explicit ProductChoices(std::string path);

  const std::string& path() const { return path_; }
  std::optional<AlgorithmWords> find(const std::string& key) const;
  /// Writes the file anew and puts it in the old one's place. Throws IoError when it cannot.
  void add(const std::string& key, const AlgorithmWords& algorithm);

 private:
  std::string path_;
  std::map<std::string, AlgorithmWords> choices_;
};

}  // namespace twingrad::cuda
