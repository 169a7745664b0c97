#include <twingrad/graph/merge.h>
#include <twingrad/op.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <utility>

namespace twingrad {
namespace {

/// Updates of more elements fill a device by themselves, and their gradients should not wait in memory.
constexpr std::int64_t most_elements = std::int64_t{1} << 16;
/// How many launches are offered as one.
constexpr std::size_t most_launches = 16;

class Merger {
 public:
  Merger(std::vector<Plan::Step>& steps, std::vector<Plan::Launch>& launches, Backend& backend)
      : steps_(steps), launches_(launches), backend_(backend), launch_of_(steps.size()) {
    for (std::size_t l = 0; l < launches.size(); ++l) {
      for (int s = launches[l].first; s < launches[l].first + launches[l].count; ++s) {
        launch_of_[static_cast<std::size_t>(s)] = l;
      }
    }
  }

  void run() {
    find_groups();
    bool merges = false;
    for (Group& group : groups_) {
      drop_awaited(group);
      if (group.launches.size() < 2) {
        continue;
      }
      std::vector<Fusion> fusions;
      for (const std::size_t l : group.launches) {
        fusions.push_back(fusion_of(launches_[l]));
      }
      group.kernel = backend_.merge(fusions);
      merges = merges || group.kernel != nullptr;
    }
    if (merges) {
      reorder();
    }
  }

 private:
  struct Group {
    Fusion like;
    std::vector<std::size_t> launches{};
    std::set<int> read{};
    std::set<int> overwritten{};  ///< may be
    std::unique_ptr<PreparedKernel> kernel{};
  };

  const Plan::Step& step(int s) const { return steps_[static_cast<std::size_t>(s)]; }

  bool may_merge(const Plan::Launch& launch) const {
    bool updates = false;
    for (int s = launch.first; s < launch.first + launch.count; ++s) {
      const Family family = step(s).call.op->family;
      if ((family != Family::update && family != Family::elementwise) || step(s).call.output.numel() > most_elements) {
        return false;
      }
      updates = updates || family == Family::update;
    }
    return updates;
  }

  Fusion fusion_of(const Plan::Launch& launch) const {
    Fusion fusion;
    for (int s = launch.first; s < launch.first + launch.count; ++s) {
      Fusion::Part part{.call = step(s).call, .from = {}, .stored = step(s).stored};
      for (const int producer : step(s).producers) {
        part.from.push_back(producer < launch.first ? -1 : producer - launch.first);
      }
      fusion.parts.push_back(std::move(part));
    }
    return fusion;
  }

  static bool alike(const Fusion& a, const Fusion& b) {
    const auto same_part = [](const Fusion::Part& x, const Fusion::Part& y) {
      const auto same_input = [](const TensorView& one, const TensorView& other) {
        return one.dtype == other.dtype && one.contiguous() == other.contiguous();
      };
      return x.call.op == y.call.op && x.call.attributes == y.call.attributes && x.from == y.from &&
             x.stored == y.stored && x.call.output.dtype == y.call.output.dtype &&
             std::equal(x.call.inputs.begin(), x.call.inputs.end(), y.call.inputs.begin(), y.call.inputs.end(),
                        same_input);
    };
    return std::equal(a.parts.begin(), a.parts.end(), b.parts.begin(), b.parts.end(), same_part);
  }

  /// What the launch reads, and which of it its results may lie on: see Planner::may_overwrite().
  void add_slots(const Plan::Launch& launch, std::set<int>& read, std::set<int>& overwritten) const {
    for (int s = launch.first; s < launch.first + launch.count; ++s) {
      for (std::size_t j = 0; j < step(s).inputs.size(); ++j) {
        const int slot = step(s).inputs[j].slot;
        const bool is_hyper = step(s).call.op->family == Family::update && j + 1 == step(s).inputs.size();
        read.insert(slot);
        if (!is_hyper && step(s).call.inputs[j].contiguous()) {
          overwritten.insert(slot);
        }
      }
    }
  }

  void find_groups() {
    for (std::size_t l = 0; l < launches_.size(); ++l) {
      if (!may_merge(launches_[l])) {
        continue;
      }
      Fusion fusion = fusion_of(launches_[l]);
      std::set<int> read;
      std::set<int> overwritten;
      add_slots(launches_[l], read, overwritten);
      const auto meet = [](const std::set<int>& a, const std::set<int>& b) {
        return std::any_of(a.begin(), a.end(), [&](int slot) { return b.contains(slot); });
      };
      const auto takes = [&](const Group& group) {
        return group.launches.size() < most_launches && alike(group.like, fusion) && !meet(read, group.overwritten) &&
               !meet(overwritten, group.read);
      };
      auto group = std::find_if(groups_.begin(), groups_.end(), takes);
      if (group == groups_.end()) {
        group = groups_.insert(groups_.end(), Group{.like = std::move(fusion)});
      }
      group->launches.push_back(l);
      group->read.merge(read);
      group->overwritten.merge(overwritten);
    }
  }

  /// A launch whose results are read before the last one of its group runs cannot wait for it.
  void drop_awaited(Group& group) const {
    const std::size_t last = group.launches.back();
    std::erase_if(group.launches, [&](std::size_t l) {
      for (std::size_t later = l + 1; later <= last; ++later) {
        const Plan::Launch& reader = launches_[later];
        for (int s = reader.first; s < reader.first + reader.count; ++s) {
          const std::vector<int>& producers = step(s).producers;
          if (std::any_of(producers.begin(), producers.end(), [&](int producer) {
                return producer >= 0 && launch_of_[static_cast<std::size_t>(producer)] == l;
              })) {
            return true;
          }
        }
      }
      return false;
    });
  }

  void reorder() {
    std::vector<Group*> group_of(launches_.size(), nullptr);
    for (Group& group : groups_) {
      for (const std::size_t l : group.launches) {
        group_of[l] = group.kernel == nullptr ? nullptr : &group;
      }
    }
    std::vector<int> place(steps_.size());
    std::vector<Plan::Step> sorted;
    sorted.reserve(steps_.size());
    std::vector<Plan::Launch> launches;
    const auto move_steps = [&](const Plan::Launch& from, Plan::Launch& to) {
      for (int s = from.first; s < from.first + from.count; ++s) {
        place[static_cast<std::size_t>(s)] = static_cast<int>(sorted.size());
        sorted.push_back(std::move(steps_[static_cast<std::size_t>(s)]));
      }
      to.count += from.count;
    };
    for (std::size_t l = 0; l < launches_.size(); ++l) {
      Group* const group = group_of[l];
      if (group != nullptr && group->launches.back() != l) {
        continue;
      }
      Plan::Launch launch;
      launch.first = static_cast<int>(sorted.size());
      launch.count = 0;
      launch.kernel = std::move(group == nullptr ? launches_[l].kernel : group->kernel);
      for (const std::size_t from : group == nullptr ? std::vector<std::size_t>{l} : group->launches) {
        move_steps(launches_[from], launch);
      }
      launches.push_back(std::move(launch));
    }
    for (Plan::Step& one : sorted) {
      for (int& producer : one.producers) {
        producer = producer < 0 ? producer : place[static_cast<std::size_t>(producer)];
      }
    }
    steps_ = std::move(sorted);
    launches_ = std::move(launches);
  }

  std::vector<Plan::Step>& steps_;
  std::vector<Plan::Launch>& launches_;
  Backend& backend_;
  std::vector<std::size_t> launch_of_;  // by step
  std::vector<Group> groups_;
};

}  // namespace

void merge_updates(std::vector<Plan::Step>& steps, std::vector<Plan::Launch>& launches, Backend& backend) {
  Merger(steps, launches, backend).run();
}

}  // namespace twingrad
