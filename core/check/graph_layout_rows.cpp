#include <twingrad/check/graph_layout_lane.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <map>
#include <numeric>

namespace twingrad::check {
namespace {

std::size_t at(int i) {
  return static_cast<std::size_t>(i);
}

/// Nodes without inputs stand where they are first read.
std::vector<Lane> lanes_of(const std::vector<LayoutNode>& nodes) {
  std::vector<Lane> lanes;
  std::vector<char> source;
  for (const LayoutNode& node : nodes) {
    lanes.push_back(node.lane);
    source.push_back(static_cast<char>(node.inputs.empty()));
  }
  std::vector<char> seen(nodes.size(), 0);
  for (const auto& node : nodes) {
    for (const int input : node.inputs) {
      const std::size_t s = at(input);
      if (source[s] != 0) {
        lanes[s] = seen[s] != 0 ? std::min(lanes[s], node.lane) : node.lane;
        seen[s] = 1;
      }
    }
  }
  return lanes;
}

constexpr int alignment_passes = 32;

/// Heights above the loss in the forward and the backward lane, such that a backward node stands beside the forward
/// node that it differentiates: where one lane needs more rows, the other one is stretched. A backward node is `live`
/// when it carries a cotangent; the others, recomputed from forward values, hang below what reads them.
class Heights {
 public:
  Heights(const std::vector<LayoutNode>& nodes, const std::vector<Lane>& lanes)
      : nodes_(nodes), lanes_(lanes), live_(nodes.size(), 0), latest_(nodes.size(), -1), height_(nodes.size(), 0) {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (lanes_[i] == Lane::backward) {
        find_what_it_differentiates(i);
      }
    }
  }

  std::vector<int> compute() {
    place_forward();
    place_backward();
    const int pure = top();
    for (int pass = 0; pass < alignment_passes; ++pass) {
      const std::vector<int> before = height_;
      place_forward();
      place_backward();
      if (height_ == before) {
        break;
      }
      // A graph that is no forward and its backward may ask for ever higher rows.
      if (top() > 3 * (pure + 1)) {
        height_ = before;
        break;
      }
    }
    return height_;
  }

 private:
  bool within(std::size_t i, int input) const { return lanes_[at(input)] == lanes_[i]; }
  bool is_source(std::size_t i) const { return nodes_[i].inputs.empty(); }
  int top() const { return height_.empty() ? 0 : *std::max_element(height_.begin(), height_.end()); }

  void find_what_it_differentiates(std::size_t i) {
    bool reads_forward = false;
    bool live = false;
    for (const int input : nodes_[i].inputs) {
      const std::size_t s = at(input);
      if (lanes_[s] == Lane::forward) {
        reads_forward = true;
        latest_[i] = std::max(latest_[i], is_source(s) ? -1 : input);
      } else if (within(i, input)) {
        live = live || is_source(s) || live_[s] != 0;
        reads_forward = reads_forward || (live_[s] == 0 && !is_source(s));
        latest_[i] = live_[s] == 0 ? std::max(latest_[i], latest_[s]) : latest_[i];
      }
    }
    live_[i] = static_cast<char>(!is_source(i) && (live || !reads_forward));
  }

  void place_forward() {
    // The first cotangent that belongs to a forward node.
    std::vector<int> beside(nodes_.size(), -1);
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (live_[i] != 0 && latest_[i] >= 0) {
        int& height = beside[at(latest_[i])];
        height = height < 0 ? height_[i] : std::min(height, height_[i]);
      }
    }
    std::vector<int> readers(nodes_.size(), 0);
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      height_[i] = lanes_[i] == Lane::forward ? std::max(beside[i], 0) : height_[i];
    }
    for (std::size_t i = nodes_.size(); i-- > 0;) {
      for (const int input : nodes_[i].inputs) {
        if (lanes_[i] == Lane::forward && within(i, input)) {
          ++readers[at(input)];
          height_[at(input)] = std::max(height_[at(input)], height_[i] + 1);
        }
      }
    }
    // What nothing else in the lane reads stands right below its inputs.
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (lanes_[i] == Lane::forward && readers[i] == 0 && beside[i] < 0) {
        height_[i] = std::max(height_[i], lowest_input(i) - 1);
      }
      for (const int input : nodes_[i].inputs) {
        if (lanes_[i] == Lane::forward && within(i, input) && is_source(at(input))) {
          height_[at(input)] = std::max(height_[at(input)], height_[i] + 1);
        }
      }
    }
  }

  /// The height of the lowest input of the lane that is itself computed; 0 without one.
  int lowest_input(std::size_t i) const {
    int lowest = std::numeric_limits<int>::max();
    for (const int input : nodes_[i].inputs) {
      lowest = within(i, input) && !is_source(at(input)) ? std::min(lowest, height_[at(input)]) : lowest;
    }
    return lowest == std::numeric_limits<int>::max() ? 0 : lowest;
  }

  void place_backward() {
    std::vector<int> beside(nodes_.size(), std::numeric_limits<int>::max());
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (lanes_[i] != Lane::backward) {
        continue;
      }
      int height = 0;
      for (const int input : nodes_[i].inputs) {
        const std::size_t s = at(input);
        if (lanes_[s] == Lane::forward) {
          beside[i] = std::min(beside[i], height_[s]);
        } else if (within(i, input) && !is_source(s)) {
          beside[i] = live_[s] == 0 ? std::min(beside[i], beside[s]) : beside[i];
          height = live_[s] == live_[i] ? std::max(height, height_[s] + 1) : height;
        }
      }
      height_[i] = beside[i] == std::numeric_limits<int>::max() ? height : std::max(height, beside[i]);
    }
    std::vector<int> lowest_reader(nodes_.size(), std::numeric_limits<int>::max());
    for (std::size_t i = nodes_.size(); i-- > 0;) {
      if (lanes_[i] != Lane::backward) {
        continue;
      }
      if (live_[i] == 0 && lowest_reader[i] != std::numeric_limits<int>::max()) {
        height_[i] = lowest_reader[i] - 1;
      }
      for (const int input : nodes_[i].inputs) {
        lowest_reader[at(input)] =
            within(i, input) ? std::min(lowest_reader[at(input)], height_[i]) : lowest_reader[at(input)];
      }
    }
  }

  const std::vector<LayoutNode>& nodes_;
  const std::vector<Lane>& lanes_;
  std::vector<char> live_;
  std::vector<int> latest_;  ///< forward node that a backward node differentiates, or -1
  std::vector<int> height_;
};

/// The update lane runs down, no higher than the gradients it reads; what it is given stands above its first reader.
void place_updates(const std::vector<LayoutNode>& nodes, Rows& rows) {
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (rows.lane[i] != Lane::update) {
      continue;
    }
    int row = std::numeric_limits<int>::min();
    for (const int input : nodes[i].inputs) {
      const std::size_t s = at(input);
      if (rows.lane[s] == Lane::backward) {
        row = std::max(row, rows.row[s]);
      } else if (rows.lane[s] == Lane::update && !nodes[s].inputs.empty()) {
        row = std::max(row, rows.row[s] + 1);
      }
    }
    rows.row[i] = row == std::numeric_limits<int>::min() ? 0 : row;
  }
  std::vector<char> placed(nodes.size(), 0);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    for (const int input : nodes[i].inputs) {
      const std::size_t s = at(input);
      if (nodes[s].inputs.empty() && rows.lane[s] == Lane::update && rows.lane[i] == Lane::update) {
        rows.row[s] = placed[s] != 0 ? std::min(rows.row[s], rows.row[i] - 1) : rows.row[i] - 1;
        placed[s] = 1;
      }
    }
  }
}

/// Moves the parts of the update lane down so that they stand below each other, in no more columns than the other lanes
/// are high: every parameter has a part of its own, and all would like to stand beside their gradients.
void stack_updates(const std::vector<LayoutNode>& nodes, Rows& rows) {
  std::vector<std::pair<int, int>> edges;
  int top = std::numeric_limits<int>::max();
  int bottom = std::numeric_limits<int>::min();
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    for (const int input : nodes[i].inputs) {
      if (rows.lane[i] == Lane::update && rows.lane[at(input)] == Lane::update) {
        edges.emplace_back(input, static_cast<int>(i));
      }
    }
    if (rows.lane[i] != Lane::update) {
      top = std::min(top, rows.row[i]);
      bottom = std::max(bottom, rows.row[i]);
    }
  }
  struct Extent {
    int low = std::numeric_limits<int>::max();
    int high = std::numeric_limits<int>::min();
  };
  const std::vector<std::vector<int>> parts = parts_of(rows, Lane::update, edges);
  std::vector<Extent> extents(parts.size());
  int needed = 0;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    for (const int node : parts[p]) {
      extents[p].low = std::min(extents[p].low, rows.row[at(node)]);
      extents[p].high = std::max(extents[p].high, rows.row[at(node)]);
    }
    needed += extents[p].high - extents[p].low + 1;
  }
  if (top > bottom) {
    return;
  }
  const int height = bottom - top + 1;
  std::vector<int> free(at((needed + height - 1) / height), std::numeric_limits<int>::min());
  for (std::size_t p = 0; p < parts.size(); ++p) {
    int& column = *std::min_element(free.begin(), free.end());
    const int shift = std::max(column, extents[p].low) - extents[p].low;
    for (const int node : parts[p]) {
      rows.row[at(node)] += shift;
    }
    column = extents[p].high + shift + 1;
  }
}

}  // namespace

Rows::Rows(const std::vector<LayoutNode>& nodes) : lane(lanes_of(nodes)), row(nodes.size(), 0) {
  const std::vector<int> heights = Heights(nodes, lane).compute();
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    row[i] = -heights[i];
  }
  place_updates(nodes, *this);
  stack_updates(nodes, *this);
  std::vector<int> used = row;
  std::sort(used.begin(), used.end());
  used.erase(std::unique(used.begin(), used.end()), used.end());
  for (int& r : row) {
    r = static_cast<int>(std::lower_bound(used.begin(), used.end(), r) - used.begin());
  }
  count = static_cast<int>(used.size());
}

std::vector<std::vector<int>> parts_of(const Rows& rows, Lane lane, const std::vector<std::pair<int, int>>& edges) {
  std::vector<int> parent(rows.lane.size());
  std::iota(parent.begin(), parent.end(), 0);
  const auto root = [&](int node) {
    while (parent[at(node)] != node) {
      parent[at(node)] = parent[at(parent[at(node)])];
      node = parent[at(node)];
    }
    return node;
  };
  for (const auto& [from, to] : edges) {
    parent[at(root(to))] = root(from);
  }
  std::map<int, std::vector<int>> by_root;
  for (std::size_t i = 0; i < rows.lane.size(); ++i) {
    if (rows.lane[i] == lane) {
      by_root[root(static_cast<int>(i))].push_back(static_cast<int>(i));
    }
  }
  std::vector<std::pair<int, std::vector<int>>> sorted;
  for (auto& [first, part] : by_root) {
    int top = std::numeric_limits<int>::max();
    for (const int node : part) {
      top = std::min(top, rows.row[at(node)]);
    }
    sorted.emplace_back(top, std::move(part));
  }
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::vector<int>> parts;
  for (auto& [top, part] : sorted) {
    parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace twingrad::check
