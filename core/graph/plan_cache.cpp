#include <twingrad/graph/plan_cache.h>

#include <algorithm>
#include <utility>

namespace twingrad {
namespace {

// FNV-1a over words, with a final mix.
std::uint64_t hash_of(const PoolVector<std::uint64_t>& key) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const std::uint64_t word : key) {
    hash = (hash ^ word) * 0x100000001b3U;
    hash ^= hash >> 29;
  }
  return hash;
}

}  // namespace

PlanCache::Found PlanCache::find_or_make(const Graph& graph) {
  const PoolVector<std::uint64_t> key = structure_key(graph);
  const std::uint64_t hash = hash_of(key);
  {
    const std::lock_guard lock(mutex_);
    const auto [begin, end] = index_.equal_range(hash);
    for (auto it = begin; it != end; ++it) {
      if (std::ranges::equal(it->second->key, key)) {
        entries_.splice(entries_.begin(), entries_, it->second);
        ++stats_.hits;
        return {hash, it->second->plan};
      }
    }
    ++stats_.misses;
  }
  std::shared_ptr<Plan> plan = make_plan(graph);
  const std::lock_guard lock(mutex_);
  if (limit_ > 0) {
    entries_.push_front({hash, {key.begin(), key.end()}, plan});
    index_.emplace(hash, entries_.begin());
    shrink_to(limit_);
  }
  return {hash, std::move(plan)};
}

bool PlanCache::use_again(const Found& found) {
  const std::lock_guard lock(mutex_);
  const auto [begin, end] = index_.equal_range(found.hash);
  const auto it = std::find_if(begin, end, [&](const auto& item) { return item.second->plan == found.plan; });
  if (it == end) {
    return false;
  }
  entries_.splice(entries_.begin(), entries_, it->second);
  ++stats_.hits;
  return true;
}

std::shared_ptr<Plan> PlanCache::find(const Graph& graph) const {
  const PoolVector<std::uint64_t> key = structure_key(graph);
  const std::lock_guard lock(mutex_);
  const auto [begin, end] = index_.equal_range(hash_of(key));
  const auto it = std::find_if(begin, end, [&](const auto& item) {
    const auto& known = item.second->key;
    return std::equal(known.begin(), known.end(), key.begin(), key.end());
  });
  return it == end ? nullptr : it->second->plan;
}

PlanCacheStats PlanCache::stats() const {
  const std::lock_guard lock(mutex_);
  PlanCacheStats result = stats_;
  result.plans = entries_.size();
  return result;
}

void PlanCache::set_limit(std::size_t plans) {
  const std::lock_guard lock(mutex_);
  limit_ = plans;
  shrink_to(limit_);
}

void PlanCache::clear() {
  const std::lock_guard lock(mutex_);
  entries_.clear();
  index_.clear();
}

void PlanCache::shrink_to(std::size_t plans) {
  while (entries_.size() > plans) {
    const auto last = std::prev(entries_.end());
    const auto [begin, end] = index_.equal_range(last->hash);
    index_.erase(std::find_if(begin, end, [&](const auto& item) { return item.second == last; }));
    entries_.erase(last);
    ++stats_.evictions;
  }
}

PlanCache& plan_cache() {
  static auto* const cache = new PlanCache;  // never destroyed, as the devices
  return *cache;
}

}  // namespace twingrad
