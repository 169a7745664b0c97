#include <twingrad/graph/fuse.h>
#include <twingrad/op.h>

#include <algorithm>
#include <cstddef>
#include <memory>

namespace twingrad {
namespace {

/// More parts would not fit the nearest cache together.
constexpr int most_parts = 16;

bool works_by_element(const Plan::Step& step) {
  const Family family = step.call.op->family;
  return family == Family::elementwise || family == Family::update;
}

class Grouper {
 public:
  Grouper(std::vector<Plan::Step>& steps, const std::vector<char>& kept, Backend& backend)
      : steps_(steps), kept_(kept), backend_(backend), last_reader_(steps.size(), -1) {
    for (std::size_t s = 0; s < steps.size(); ++s) {
      for (const int producer : steps[s].producers) {
        if (producer >= 0) {
          last_reader_[static_cast<std::size_t>(producer)] = static_cast<int>(s);
        }
      }
    }
  }

  std::vector<Plan::Launch> run() {
    const int count = static_cast<int>(steps_.size());
    std::vector<Plan::Launch> launches;
    for (int first = 0; first < count;) {
      int end = first + 1;
      while (end < count && end - first < most_parts && joins(first, end)) {
        ++end;
      }
      // The longest group that the device takes.
      Plan::Launch launch = single(first);
      for (; end - first > 1; --end) {
        if (std::unique_ptr<PreparedKernel> kernel = offer(first, end); kernel != nullptr) {
          launch.count = end - first;
          launch.kernel = std::move(kernel);
          leave_out_of_memory(first, end);
          break;
        }
      }
      first += launch.count;
      launches.push_back(std::move(launch));
    }
    return launches;
  }

 private:
  const Plan::Step& step(int s) const { return steps_[static_cast<std::size_t>(s)]; }

  static Plan::Launch single(int s) {
    Plan::Launch launch;
    launch.first = s;
    return launch;
  }

  /// Whether step `s` may go on with what the steps from `first` on have made.
  bool joins(int first, int s) const {
    const Plan::Step& next = step(s);
    const TensorView& head = step(first).call.output;
    const bool head_fits = works_by_element(step(first)) || step(first).call.op->family == Family::matmul;
    if (!head_fits || !works_by_element(next) || next.call.output.numel() != head.numel()) {
      return false;
    }
    for (std::size_t j = 0; j < next.inputs.size(); ++j) {
      const TensorView& view = next.call.inputs[j];
      if (next.producers[j] >= first &&
          (!view.contiguous() || view.numel() != head.numel() || next.inputs[j].offset != 0)) {
        return false;
      }
    }
    return true;
  }

  /// Whether anything but the steps before `end` needs the result in memory.
  bool stored(int s, int end) const {
    return kept_[static_cast<std::size_t>(step(s).output.slot)] != 0 ||
           last_reader_[static_cast<std::size_t>(s)] >= end;
  }

  std::unique_ptr<PreparedKernel> offer(int first, int end) const {
    Fusion fusion;
    for (int s = first; s < end; ++s) {
      Fusion::Part part{.call = step(s).call, .from = {}, .stored = stored(s, end)};
      for (const int producer : step(s).producers) {
        part.from.push_back(producer >= first ? producer - first : -1);
      }
      fusion.parts.push_back(std::move(part));
    }
    return backend_.fuse(fusion);
  }

  void leave_out_of_memory(int first, int end) {
    for (int s = first; s < end; ++s) {
      steps_[static_cast<std::size_t>(s)].stored = stored(s, end);
    }
  }

  std::vector<Plan::Step>& steps_;
  const std::vector<char>& kept_;
  Backend& backend_;
  std::vector<int> last_reader_;  // by step
};

}  // namespace

std::vector<Plan::Launch> fused_launches(std::vector<Plan::Step>& steps, const std::vector<char>& kept,
                                         Backend& backend) {
  return Grouper(steps, kept, backend).run();
}

}  // namespace twingrad
