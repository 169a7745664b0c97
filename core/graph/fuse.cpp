#include <twingrad/graph/fuse.h>
#include <twingrad/graph/merge.h>
#include <twingrad/op.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <memory>
#include <utility>

namespace twingrad {
namespace {

/// More parts would not fit the nearest cache together.
constexpr int most_parts = 16;
/// How many sums of its results a group may have behind it.
constexpr std::size_t most_sums = 4;
/// How many steps a group looks ahead for one that may join.
constexpr std::ptrdiff_t farthest = 64;

/// Whether input `j` is an update's hyperparameters. What all parameters' updates read makes no two of them one chain
/// where the device merges alike launches: a chain for each parameter is what it can merge.
bool is_hyper(const Plan::Step& step, std::size_t j) {
  return step.call.op->family == Family::update && j + 1 == step.inputs.size();
}

bool works_by_element(const Plan::Step& step) {
  const Family family = step.call.op->family;
  return family == Family::elementwise || family == Family::update;
}

/// Orders the steps anew so that what may run together stands together, and asks the backend.
class Grouper {
 public:
  Grouper(std::vector<Plan::Step>& steps, const std::vector<char>& kept, Backend& backend)
      : steps_(steps),
        kept_(kept),
        backend_(backend),
        readers_(steps.size()),
        leaf_readers_(kept.size(), 0),
        place_(steps.size(), -1) {
    for (std::size_t s = 0; s < steps.size(); ++s) {
      for (std::size_t j = 0; j < steps[s].producers.size(); ++j) {
        if (steps[s].producers[j] >= 0) {
          readers_[static_cast<std::size_t>(steps[s].producers[j])].push_back(static_cast<int>(s));
        } else {
          ++leaf_readers_[static_cast<std::size_t>(steps[s].inputs[j].slot)];
        }
      }
    }
  }

  std::vector<Plan::Launch> run() {
    std::vector<int> pending = late_order();
    std::vector<Plan::Launch> launches;
    while (!pending.empty()) {
      std::vector<int> group{pending.front()};
      while (static_cast<int>(group.size()) < most_parts) {
        const auto next = std::find_if(pending.begin() + 1, pending.begin() + 1 + look_ahead(pending), [&](int s) {
          return std::find(group.begin(), group.end(), s) == group.end() && is_ready(s, group) && joins(s, group);
        });
        if (next == pending.begin() + 1 + look_ahead(pending)) {
          break;
        }
        group.push_back(*next);
      }
      // The longest group that the device takes.
      Plan::Launch launch;
      launch.first = static_cast<int>(order_.size());
      while (group.size() > 1) {
        launch.kernel = offer(group);
        if (launch.kernel != nullptr) {
          break;
        }
        group.pop_back();
      }
      if (works_by_element(step(group.front()))) {
        add_sums(group, launch, pending);
      }
      launch.count = static_cast<int>(group.size());
      emit(group);
      std::erase_if(pending, [&](int s) { return place_[static_cast<std::size_t>(s)] >= 0; });
      launches.push_back(std::move(launch));
    }
    reorder();
    return launches;
  }

 private:
  const Plan::Step& step(int s) const { return steps_[static_cast<std::size_t>(s)]; }
  bool is_emitted(int s) const { return place_[static_cast<std::size_t>(s)] >= 0; }
  static bool contains(const std::vector<int>& group, int s) {
    return std::find(group.begin(), group.end(), s) != group.end();
  }
  static std::ptrdiff_t look_ahead(const std::vector<int>& pending) {
    return std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(pending.size()) - 1, farthest);
  }

  /// The given order with every elementwise step as late as the first step that reads it: there it may join it. None
  /// moves past an update, which may write over what it reads.
  std::vector<int> late_order() const {
    std::vector<char> waits(steps_.size(), 0);
    for (std::size_t s = 0; s < steps_.size() && steps_[s].call.op->family != Family::update; ++s) {
      const std::vector<int>& readers = readers_[s];
      waits[s] = static_cast<char>(steps_[s].call.op->family == Family::elementwise && !readers.empty() &&
                                   std::none_of(readers.begin(), readers.end(), [&](int reader) {
                                     return step(reader).call.op->family == Family::update;
                                   }));
    }
    std::vector<int> order;
    order.reserve(steps_.size());
    std::vector<char> done(steps_.size(), 0);
    std::vector<std::pair<int, std::size_t>> stack;  // depth first without recursion: step, next input to look at
    for (int head = 0; head < static_cast<int>(steps_.size()); ++head) {
      if (waits[static_cast<std::size_t>(head)] != 0) {
        continue;
      }
      stack.emplace_back(head, 0);
      while (!stack.empty()) {
        auto& [s, next] = stack.back();
        const std::vector<int>& producers = step(s).producers;
        if (next < producers.size()) {
          const int producer = producers[next++];
          if (producer >= 0 && done[static_cast<std::size_t>(producer)] == 0) {
            stack.emplace_back(producer, 0);
          }
          continue;
        }
        if (done[static_cast<std::size_t>(s)] == 0) {
          done[static_cast<std::size_t>(s)] = 1;
          order.push_back(s);
        }
        stack.pop_back();
      }
    }
    return order;
  }

  /// Whether step `s` may run right after `group`: all that it reads is there, and what it may write over is read.
  bool is_ready(int s, const std::vector<int>& group) const {
    for (const int producer : step(s).producers) {
      if (producer >= 0 && !is_emitted(producer) && !contains(group, producer)) {
        return false;
      }
    }
    if (step(s).call.op->family != Family::update || step(s).producers[0] >= 0) {
      return true;
    }
    // An update in place: nobody else may read the old value afterwards.
    const int slot = step(s).inputs[0].slot;
    int open = leaf_readers_[static_cast<std::size_t>(slot)];
    for (const int member : group) {
      open -= reads_leaf(member, slot);
    }
    return open == reads_leaf(s, slot);
  }

  int reads_leaf(int s, int slot) const {
    int count = 0;
    for (std::size_t j = 0; j < step(s).inputs.size(); ++j) {
      count += step(s).producers[j] < 0 && step(s).inputs[j].slot == slot ? 1 : 0;
    }
    return count;
  }

  /// Lets the group's kernel also sum what it makes, if the device can: all sums that could run next, or those of them
  /// that it takes.
  void add_sums(std::vector<int>& group, Plan::Launch& launch, const std::vector<int>& pending) const {
    std::vector<int> sums;
    std::copy_if(pending.begin() + 1, pending.begin() + 1 + look_ahead(pending), std::back_inserter(sums),
                 [&](int s) { return sums_result(s, group); });
    sums.resize(std::min(sums.size(), most_sums));
    std::vector<int> all = group;
    all.insert(all.end(), sums.begin(), sums.end());
    if (sums.empty() || take(group, launch, all)) {
      return;
    }
    for (std::size_t i = 0; sums.size() > 1 && i < sums.size(); ++i) {
      std::vector<int> longer = group;
      longer.push_back(sums[i]);
      take(group, launch, longer);
    }
  }

  /// Makes `longer` the group, if the device has a kernel for it.
  bool take(std::vector<int>& group, Plan::Launch& launch, const std::vector<int>& longer) const {
    std::unique_ptr<PreparedKernel> kernel = offer(longer);
    if (kernel == nullptr) {
      return false;
    }
    launch.kernel = std::move(kernel);
    group = longer;
    return true;
  }

  /// Whether step `s` reduces all that a step of the group makes.
  bool sums_result(int s, const std::vector<int>& group) const {
    const Plan::Step& next = step(s);
    return next.call.op->family == Family::reduce && contains(group, next.producers[0]) && next.inputs[0].offset == 0 &&
           next.call.inputs[0].contiguous() && next.call.inputs[0].numel() == step(group.front()).call.output.numel();
  }

  /// Whether step `s` may go on with what the group has made, and has something to do with it.
  bool joins(int s, const std::vector<int>& group) const {
    const Plan::Step& next = step(s);
    const Plan::Step& head = step(group.front());
    const TensorView& shown = head.call.output;
    if (!(works_by_element(head) || head.call.op->family == Family::matmul) || !works_by_element(next) ||
        next.call.output.numel() != shown.numel()) {
      return false;
    }
    bool related = false;
    for (std::size_t j = 0; j < next.inputs.size(); ++j) {
      const TensorView& view = next.call.inputs[j];
      if (next.producers[j] >= 0 && contains(group, next.producers[j])) {
        if (!view.contiguous() || view.numel() != shown.numel() || next.inputs[j].offset != 0) {
          return false;
        }
        related = true;
      } else if (view.numel() > 1 && !(backend_.merges() && is_hyper(next, j))) {
        related = related || std::any_of(group.begin(), group.end(), [&](int member) {
                    return std::any_of(step(member).inputs.begin(), step(member).inputs.end(),
                                       [&](const Plan::Place& place) { return place.slot == next.inputs[j].slot; });
                  });
      }
    }
    return related || feeds_one_reader(s, group);
  }

  /// Whether a later step reads both this step's result and one of the group's.
  bool feeds_one_reader(int s, const std::vector<int>& group) const {
    const std::vector<int>& readers = readers_[static_cast<std::size_t>(s)];
    return std::any_of(group.begin(), group.end(), [&](int member) {
      const std::vector<int>& others = readers_[static_cast<std::size_t>(member)];
      return std::find_first_of(readers.begin(), readers.end(), others.begin(), others.end()) != readers.end();
    });
  }

  /// Whether anything outside the group needs the result in memory.
  bool is_stored(int s, const std::vector<int>& group) const {
    const std::vector<int>& readers = readers_[static_cast<std::size_t>(s)];
    return kept_[static_cast<std::size_t>(step(s).output.slot)] != 0 || readers.empty() ||
           std::any_of(readers.begin(), readers.end(), [&](int reader) { return !contains(group, reader); });
  }

  std::unique_ptr<PreparedKernel> offer(const std::vector<int>& group) const {
    Fusion fusion;
    for (const int s : group) {
      Fusion::Part part{.call = step(s).call, .from = {}, .stored = is_stored(s, group)};
      for (const int producer : step(s).producers) {
        const auto found = std::find(group.begin(), group.end(), producer);
        part.from.push_back(found == group.end() ? -1 : static_cast<int>(found - group.begin()));
      }
      fusion.parts.push_back(std::move(part));
    }
    return backend_.fuse(fusion);
  }

  void emit(const std::vector<int>& group) {
    for (const int s : group) {
      steps_[static_cast<std::size_t>(s)].stored = group.size() == 1 || is_stored(s, group);
      place_[static_cast<std::size_t>(s)] = static_cast<int>(order_.size());
      order_.push_back(s);
      for (std::size_t j = 0; j < step(s).inputs.size(); ++j) {
        leaf_readers_[static_cast<std::size_t>(step(s).inputs[j].slot)] -= step(s).producers[j] < 0 ? 1 : 0;
      }
    }
  }

  void reorder() {
    std::vector<Plan::Step> sorted;
    sorted.reserve(steps_.size());
    for (const int s : order_) {
      sorted.push_back(std::move(steps_[static_cast<std::size_t>(s)]));
      for (int& producer : sorted.back().producers) {
        producer = producer < 0 ? producer : place_[static_cast<std::size_t>(producer)];
      }
    }
    steps_ = std::move(sorted);
  }

  std::vector<Plan::Step>& steps_;
  const std::vector<char>& kept_;
  Backend& backend_;
  std::vector<std::vector<int>> readers_;  // by step: the steps that read its result, in order
  std::vector<int> leaf_readers_;          // by slot: reads of a leaf not emitted yet
  std::vector<int> place_;                 // by step: where it stands in the new order, -1 before
  std::vector<int> order_;
};

}  // namespace

std::vector<Plan::Launch> fused_launches(std::vector<Plan::Step>& steps, const std::vector<Plan::Slot>& slots,
                                         const std::vector<char>& kept, Backend& backend) {
  std::vector<Plan::Launch> launches = Grouper(steps, kept, backend).run();
  merge_launches(steps, launches, slots, backend);
  return launches;
}

}  // namespace twingrad
