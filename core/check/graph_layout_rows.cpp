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
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    for (const int input : nodes[i].inputs) {
      const std::size_t s = at(input);
      if (source[s] != 0) {
        lanes[s] = seen[s] != 0 ? std::min(lanes[s], nodes[i].lane) : nodes[i].lane;
        seen[s] = 1;
      }
    }
  }
  return lanes;
}

/// Rows of one lane. Heights count in the lane's own direction, so that one rule serves both.
class LaneRows {
 public:
  LaneRows(const std::vector<LayoutNode>& nodes, const std::vector<Lane>& lanes, std::vector<int>& row)
      : nodes_(nodes), lanes_(lanes), row_(row) {}

  void down(Lane lane) {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (lanes_[i] != lane) {
        continue;
      }
      int row = 0;
      for (const int input : nodes_[i].inputs) {
        if (lanes_[at(input)] == lane) {
          row = std::max(row, row_[at(input)] + 1);
        } else if (lane == Lane::update && lanes_[at(input)] == Lane::backward) {
          row = std::max(row, row_[at(input)]);
        }
      }
      row_[i] = row;
    }
    settle(lane, 1);
  }

  void up(Lane lane, int bottom) {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (lanes_[i] != lane) {
        continue;
      }
      constexpr int none = std::numeric_limits<int>::max();
      int below = none;
      int beside = -1;
      for (const int input : nodes_[i].inputs) {
        const std::size_t s = at(input);
        if (lanes_[s] == Lane::forward) {
          beside = std::max(beside, row_[s]);
        } else if (lanes_[s] == lane && !nodes_[s].inputs.empty()) {
          below = std::min(below, row_[s] - 1);
        }
      }
      if (below == none) {
        row_[i] = beside < 0 ? bottom : beside + 1;
      } else {
        row_[i] = beside < 0 ? below : std::min(below, beside);
      }
    }
    settle(lane, -1);
  }

 private:
  // Moves nodes towards those that read them where that makes no wire longer than it saves.
  void settle(Lane lane, int direction) {
    std::vector<int> readers(nodes_.size(), 0);
    std::vector<int> nearest(nodes_.size(), 0);
    for (std::size_t i = nodes_.size(); i-- > 0;) {
      if (lanes_[i] != lane) {
        continue;
      }
      int inputs = 0;
      for (const int input : nodes_[i].inputs) {
        inputs += lanes_[at(input)] == lane && !nodes_[at(input)].inputs.empty() ? 1 : 0;
      }
      if (readers[i] > 0 && inputs <= readers[i] && (inputs == 0 || readers[i] > inputs)) {
        row_[i] = nearest[i] - direction;
      }
      for (const int input : nodes_[i].inputs) {
        const std::size_t s = at(input);
        if (lanes_[s] == lane) {
          const bool nearer = direction > 0 ? row_[i] < nearest[s] : row_[i] > nearest[s];
          nearest[s] = readers[s] == 0 || nearer ? row_[i] : nearest[s];
          ++readers[s];
        }
      }
    }
  }

  const std::vector<LayoutNode>& nodes_;
  const std::vector<Lane>& lanes_;
  std::vector<int>& row_;
};

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
  LaneRows lane_rows(nodes, lane, row);
  lane_rows.down(Lane::forward);
  int bottom = 0;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    bottom = lane[i] == Lane::forward ? std::max(bottom, row[i]) : bottom;
  }
  lane_rows.up(Lane::backward, bottom);
  lane_rows.down(Lane::update);
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
