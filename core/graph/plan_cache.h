// Plans by structure, the most recently used ones.
#pragma once

#include <twingrad/graph/plan.h>

#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace twingrad {

class PlanCache {
 public:
  /// A plan and the hash of the structure that it is of.
  struct Found {
    std::uint64_t hash = 0;
    std::shared_ptr<Plan> plan;
  };

  /// The plan of a graph with this structure, made now if there is none.
  Found find_or_make(const Graph& graph);
  /// Whether what find_or_make() gave is still kept; then it counts as found once more.
  bool use_again(const Found& found);

  /// The plan of a graph with this structure if there is one, else nullptr; no use of it.
  std::shared_ptr<Plan> find(const Graph& graph) const;

  PlanCacheStats stats() const;
  void set_limit(std::size_t plans);
  void clear();

 private:
  struct Entry {
    std::uint64_t hash;
    std::vector<std::uint64_t> key;
    std::shared_ptr<Plan> plan;
  };
  void shrink_to(std::size_t plans);

  mutable std::mutex mutex_;
  std::list<Entry> entries_;  ///< the most recently used first
  std::unordered_multimap<std::uint64_t, std::list<Entry>::iterator> index_;
  std::size_t limit_ = 256;
  PlanCacheStats stats_;
};

PlanCache& plan_cache();

}  // namespace twingrad
