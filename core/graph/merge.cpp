#include <twingrad/graph/merge.h>
#include <twingrad/op.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace twingrad {
namespace {

/// Kernels of more elements fill a device by themselves, and their operands should not wait in memory.
constexpr std::int64_t most_elements = std::int64_t{1} << 16;
/// How many launches are offered as one, and how far apart they may stand.
constexpr std::size_t most_launches = 16;
constexpr std::size_t farthest = 64;

class Merger {
 public:
  Merger(std::vector<Plan::Step>& steps, std::vector<Plan::Launch>& launches, const std::vector<Plan::Slot>& slots,
         Backend& backend)
      : steps_(steps), launches_(launches), slots_(slots), backend_(backend), unit_of_(steps.size()) {
    for (std::size_t l = 0; l < launches.size(); ++l) {
      units_.push_back(unit_for(l));
      if (units_.back().may_merge) {
        classify(units_.back());
      }
    }
    number_units();
  }

  void run() {
    bool merges = false;
    for (std::size_t u = 0; u < units_.size(); ++u) {
      if (!units_[u].may_merge) {
        continue;
      }
      const Group group = group_from(u);
      if (group.members.size() < 2) {
        continue;
      }
      std::vector<Fusion> fusions;
      for (const std::size_t member : group.members) {
        fusions.push_back(units_[member].fusion);
      }
      if (std::unique_ptr<PreparedKernel> kernel = backend_.merge(fusions)) {
        replace(group, std::move(kernel));
        merges = true;
        --u;  // another one stands here now
      }
    }
    if (merges) {
      reorder();
    }
  }

 private:
  /// What is launched at once: one of the given launches, or several.
  struct Unit {
    std::vector<int> steps{};
    std::size_t launch = 0;                    ///< which one of the given
    std::unique_ptr<PreparedKernel> kernel{};  ///< of several
    bool may_merge = true;
    bool updates = false;
    Fusion fusion{};
    int kind = 0;                    ///< the same for fusions that may be merged
    std::vector<int> read{};         ///< slots, ascending
    std::vector<int> overwritten{};  ///< those that results may lie on: see Planner::may_overwrite()
  };

  /// Units that can run at once, before unit `place`.
  struct Group {
    std::vector<std::size_t> members{};
    std::size_t place = 0;
  };

  const Plan::Step& step(int s) const { return steps_[static_cast<std::size_t>(s)]; }

  Unit unit_for(std::size_t l) const {
    const Plan::Launch& launch = launches_[l];
    Unit unit;
    unit.launch = l;
    for (int s = launch.first; s < launch.first + launch.count; ++s) {
      const KernelCall& call = step(s).call;
      const bool is_update = call.op->family == Family::update;
      const bool by_element = is_update || call.op->family == Family::elementwise;
      unit.steps.push_back(s);
      unit.may_merge = unit.may_merge && by_element && call.output.numel() <= most_elements;
      unit.updates = unit.updates || is_update;
      for (std::size_t j = 0; j < step(s).inputs.size(); ++j) {
        const int slot = step(s).inputs[j].slot;
        const bool is_hyper = is_update && j + 1 == step(s).inputs.size();
        unit.read.push_back(slot);
        const bool is_literal = slots_[static_cast<std::size_t>(slot)].kind == Plan::Slot::Kind::literal;
        if (by_element && !is_hyper && !is_literal && call.inputs[j].contiguous()) {
          unit.overwritten.push_back(slot);
        }
      }
    }
    std::sort(unit.read.begin(), unit.read.end());
    std::sort(unit.overwritten.begin(), unit.overwritten.end());
    return unit;
  }

  Fusion fusion_of(const Unit& unit) const {
    Fusion fusion;
    for (const int s : unit.steps) {
      Fusion::Part part{.call = step(s).call, .from = {}, .stored = step(s).stored};
      for (const int producer : step(s).producers) {
        part.from.push_back(producer < unit.steps.front() ? -1 : producer - unit.steps.front());
      }
      fusion.parts.push_back(std::move(part));
    }
    return fusion;
  }

  void classify(Unit& unit) {
    unit.fusion = fusion_of(unit);
    const auto known =
        std::find_if(kinds_.begin(), kinds_.end(), [&](std::size_t u) { return alike(units_[u].fusion, unit.fusion); });
    unit.kind = static_cast<int>(known - kinds_.begin());
    if (known == kinds_.end()) {
      kinds_.push_back(static_cast<std::size_t>(&unit - units_.data()));
    }
  }

  void number_units() {
    for (std::size_t u = 0; u < units_.size(); ++u) {
      for (const int s : units_[u].steps) {
        unit_of_[static_cast<std::size_t>(s)] = u;
      }
    }
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

  static bool meet(const std::vector<int>& a, const std::vector<int>& b) {
    auto x = a.begin();
    auto y = b.begin();
    while (x != a.end() && y != b.end() && *x != *y) {
      *x < *y ? ++x : ++y;
    }
    return x != a.end() && y != b.end();
  }
  static void add(std::vector<int>& slots, const std::vector<int>& more) {
    const auto middle = static_cast<std::ptrdiff_t>(slots.size());
    slots.insert(slots.end(), more.begin(), more.end());
    std::inplace_merge(slots.begin(), slots.begin() + middle, slots.end());
  }

  bool reads_result(std::size_t reader, std::size_t u) const {
    const std::vector<int>& steps = units_[reader].steps;
    return std::any_of(steps.begin(), steps.end(), [&](int s) {
      const std::vector<int>& producers = step(s).producers;
      return std::any_of(producers.begin(), producers.end(), [&](int producer) {
        return producer >= 0 && unit_of_[static_cast<std::size_t>(producer)] == u;
      });
    });
  }

  /// Whether unit `update`, which stands behind unit `u`, may write over what that reads: then it does so in place only
  /// if they stay in this order.
  bool overwrites_operands(std::size_t update, std::size_t u) const {
    return units_[update].updates && meet(units_[update].overwritten, units_[u].read);
  }

  /// The first place, no earlier than `from`, where unit `u` may run.
  std::size_t earliest(std::size_t u, std::size_t from) const {
    std::size_t place = u;
    while (place > from && !reads_result(u, place - 1) && !overwrites_operands(u, place - 1)) {
      --place;
    }
    return place;
  }

  /// The last place, no later than `limit`, where unit `u` may run.
  std::size_t latest(std::size_t u, std::size_t limit) const {
    std::size_t place = u + 1;
    while (place < limit && !reads_result(place, u) && !overwrites_operands(place, u)) {
      ++place;
    }
    return place;
  }

  /// Unit `first` and those behind it that can run with it.
  Group group_from(std::size_t first) const {
    const std::size_t end = std::min(units_.size(), first + farthest);
    Group group{.members = {first}, .place = first};
    std::size_t deadline = latest(first, end);
    std::vector<int> read = units_[first].read;
    std::vector<int> overwritten = units_[first].overwritten;
    for (std::size_t u = first + 1; u < end && group.members.size() < most_launches; ++u) {
      const Unit& unit = units_[u];
      if (!unit.may_merge || unit.kind != units_[first].kind || meet(read, unit.overwritten) ||
          meet(overwritten, unit.read)) {
        continue;
      }
      // All run before what waits for the first of them, and after what the last of them waits for.
      const std::size_t place = std::max(group.place, earliest(u, group.place));
      const bool waits = std::any_of(group.members.begin(), group.members.end(),
                                     [&](std::size_t member) { return reads_result(u, member); });
      if (waits || place > deadline) {
        continue;
      }
      group.members.push_back(u);
      group.place = place;
      deadline = std::min(deadline, latest(u, end));
      add(read, unit.read);
      add(overwritten, unit.overwritten);
    }
    return group;
  }

  void replace(const Group& group, std::unique_ptr<PreparedKernel> kernel) {
    Unit merged;
    merged.kernel = std::move(kernel);
    merged.may_merge = false;
    for (const std::size_t member : group.members) {
      const Unit& unit = units_[member];
      merged.steps.insert(merged.steps.end(), unit.steps.begin(), unit.steps.end());
      merged.updates = merged.updates || unit.updates;
      add(merged.read, unit.read);
      add(merged.overwritten, unit.overwritten);
    }
    std::vector<Unit> units;
    for (std::size_t u = 0; u <= units_.size(); ++u) {
      if (u == group.place) {
        units.push_back(std::move(merged));
      }
      if (u < units_.size() && std::find(group.members.begin(), group.members.end(), u) == group.members.end()) {
        units.push_back(std::move(units_[u]));
      }
    }
    units_ = std::move(units);
    number_units();
  }

  void reorder() {
    std::vector<int> place(steps_.size());
    std::vector<Plan::Step> sorted;
    sorted.reserve(steps_.size());
    std::vector<Plan::Launch> launches;
    for (Unit& unit : units_) {
      Plan::Launch launch;
      launch.first = static_cast<int>(sorted.size());
      launch.count = static_cast<int>(unit.steps.size());
      launch.kernel = std::move(unit.kernel == nullptr ? launches_[unit.launch].kernel : unit.kernel);
      launches.push_back(std::move(launch));
      for (const int s : unit.steps) {
        place[static_cast<std::size_t>(s)] = static_cast<int>(sorted.size());
        sorted.push_back(std::move(steps_[static_cast<std::size_t>(s)]));
      }
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
  const std::vector<Plan::Slot>& slots_;
  Backend& backend_;
  std::vector<std::size_t> kinds_;    // the first unit of each, while units are classified
  std::vector<Unit> units_;           // in the order they are launched
  std::vector<std::size_t> unit_of_;  // by step
};

}  // namespace

void merge_launches(std::vector<Plan::Step>& steps, std::vector<Plan::Launch>& launches,
                    const std::vector<Plan::Slot>& slots, Backend& backend) {
  if (backend.merges()) {
    Merger(steps, launches, slots, backend).run();
  }
}

}  // namespace twingrad
