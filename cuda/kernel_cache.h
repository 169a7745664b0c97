// Kernels that were compiled while a program ran, kept as files for the next run. fused.cpp looks here before it
// compiles. Plain C++; the tests need no GPU.
//
//   KernelCache cache(KernelCache::user_directory());
//   if (std::optional<std::string> image = cache.find(key)) { ... } else { cache.store(key, compile(...)); }
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace twingrad::cuda {

/// A folder of files, one per kernel, named by a hash of the key. A file holds its key, so a name that two keys share
/// costs a compilation and nothing worse, and a checksum: one that is damaged is as good as none and is written anew.
/// Written under another name and then renamed, so that programs may share the folder. Needs no clearing: a new version
/// of anything that a kernel depends on is another key.
class KernelCache {
 public:
  /// Empty: nothing is kept.
  explicit KernelCache(std::string directory) : directory_(std::move(directory)) {}

  /// What the user says: $TWINGRAD_KERNEL_CACHE, where "off" keeps nothing, else twingrad/kernels in $XDG_CACHE_HOME or
  /// ~/.cache; empty where there is no home either.
  static std::string user_directory();

  const std::string& directory() const { return directory_; }

  std::optional<std::string> find(const std::string& key) const;
  /// A folder that cannot be written to is no error: what was compiled serves this run.
  void store(const std::string& key, std::string_view image) const;
  /// Where the kernel of this key lies.
  std::string path(const std::string& key) const;

 private:
  std::string directory_;
};

}  // namespace twingrad::cuda
