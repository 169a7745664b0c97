#include <twingrad/check/graph_layout_lane.h>

#include <algorithm>
#include <cstddef>
#include <limits>

namespace twingrad::check {
namespace {

constexpr double node_gap = 16;
constexpr double part_gap = 24;
constexpr double bend_width = 8;
constexpr double bend_pull = 3;  // of a wire that passes rows, over one between neighbours
constexpr int order_sweeps = 12;
constexpr int position_sweeps = 16;

std::size_t at(int i) {
  return static_cast<std::size_t>(i);
}

/// A node, or the place where a wire passes a row.
struct Item {
  struct Link {
    int item;
    double weight;
  };
  int node = -1;
  double width = 0;
  std::vector<Link> above;
  std::vector<Link> below;
  double x = 0;
  double key = 0;
};

class Arrangement {
 public:
  Arrangement(const std::vector<LayoutNode>& nodes, const Rows& rows, const std::vector<int>& part,
              const std::vector<std::pair<int, int>>& edges)
      : rows_(at(rows.count)) {
    std::map<int, int> item_of;
    for (const int node : part) {
      item_of[node] = add(rows.row[at(node)], node, nodes[at(node)].width);
    }
    const Lane lane = rows.lane[at(part.front())];
    const Pulls pull(nodes, rows, lane);
    bends_.resize(edges.size());
    for (std::size_t e = 0; e < edges.size(); ++e) {
      const auto [from, to] = edges[e];
      if (!item_of.contains(from)) {
        continue;
      }
      const int step = rows.row[at(to)] > rows.row[at(from)] ? 1 : -1;
      int last = item_of.at(from);
      for (int r = rows.row[at(from)] + step; r != rows.row[at(to)]; r += step) {
        const int bend = add(r, -1, bend_width);
        bends_[e].emplace_back(r, bend);
        join(last, bend, step, bend_pull * pull(from, to));
        last = bend;
      }
      join(last, item_of.at(to), step, pull(from, to));
    }
  }

  LaneColumns arrange() {
    order();
    position();
    LaneColumns result;
    double left = std::numeric_limits<double>::infinity();
    double right = -left;
    for (const Item& item : items_) {
      left = std::min(left, item.x - item.width / 2);
      right = std::max(right, item.x + item.width / 2);
    }
    result.width = items_.empty() ? 0 : right - left;
    for (const Item& item : items_) {
      if (item.node >= 0) {
        result.centre[item.node] = item.x - left;
      }
    }
    for (const auto& edge : bends_) {
      std::vector<std::pair<int, double>> bends;
      for (const auto& [r, item] : edge) {
        bends.emplace_back(r, items_[at(item)].x - left);
      }
      result.bends.push_back(std::move(bends));
    }
    return result;
  }

 private:
  int add(int row, int node, double width) {
    items_.push_back({node, width, {}, {}, 0, 0});
    rows_[at(row)].push_back(static_cast<int>(items_.size()) - 1);
    return static_cast<int>(items_.size()) - 1;
  }
  void join(int from, int to, int step, double pull) {
    (step > 0 ? items_[at(from)].below : items_[at(from)].above).push_back({to, pull});
    (step > 0 ? items_[at(to)].above : items_[at(to)].below).push_back({from, pull});
  }

  // How much a wire wants to be straight: the more, the longer the paths before and behind it, so that the trunk of the
  // graph is a straight line and what joins it makes way.
  class Pulls {
   public:
    Pulls(const std::vector<LayoutNode>& nodes, const Rows& rows, Lane lane)
        : before_(nodes.size(), 1), behind_(nodes.size(), 1) {
      const auto within = [&](std::size_t i, int input) {
        return rows.lane[i] == lane && rows.lane[at(input)] == lane;
      };
      for (std::size_t i = 0; i < nodes.size(); ++i) {
        for (const int input : nodes[i].inputs) {
          before_[i] = within(i, input) ? std::max(before_[i], before_[at(input)] + 1) : before_[i];
        }
      }
      for (std::size_t i = nodes.size(); i-- > 0;) {
        for (const int input : nodes[i].inputs) {
          double& behind = behind_[at(input)];
          behind = within(i, input) ? std::max(behind, behind_[i] + 1) : behind;
        }
      }
    }
    double operator()(int from, int to) const {
      const double length = before_[at(from)] * behind_[at(to)];
      return length * length;
    }

   private:
    std::vector<double> before_;
    std::vector<double> behind_;
  };

  void number_rows() {
    for (const std::vector<int>& row : rows_) {
      for (std::size_t p = 0; p < row.size(); ++p) {
        items_[at(row[p])].x = static_cast<double>(p);
      }
    }
  }

  // Barycentre sweeps; the order with the fewest crossings is kept.
  void order() {
    number_rows();
    std::vector<std::vector<int>> best = rows_;
    std::int64_t fewest = crossings();
    for (int sweep = 0; sweep < order_sweeps && fewest > 0; ++sweep) {
      const bool downwards = sweep % 2 == 0;
      for (std::size_t k = 0; k < rows_.size(); ++k) {
        std::vector<int>& row = rows_[downwards ? k : rows_.size() - 1 - k];
        for (const int i : row) {
          Item& item = items_[at(i)];
          const std::vector<Item::Link>& neighbours = downwards ? item.above : item.below;
          item.key = neighbours.empty() ? item.x : mean(neighbours);
        }
        std::stable_sort(row.begin(), row.end(), [&](int a, int b) { return items_[at(a)].key < items_[at(b)].key; });
        for (std::size_t p = 0; p < row.size(); ++p) {
          items_[at(row[p])].x = static_cast<double>(p);
        }
      }
      if (const std::int64_t now = crossings(); now < fewest) {
        fewest = now;
        best = rows_;
      }
    }
    rows_ = std::move(best);
    number_rows();
  }

  double mean(const std::vector<Item::Link>& neighbours) const {
    double sum = 0;
    for (const Item::Link& link : neighbours) {
      sum += items_[at(link.item)].x;
    }
    return sum / static_cast<double>(neighbours.size());
  }

  std::int64_t crossings() const {
    std::int64_t count = 0;
    for (const std::vector<int>& row : rows_) {
      // Inversions among the lower ends, in the order of the upper ones.
      std::vector<double> seen;
      for (const int i : row) {
        std::vector<double> ends;
        for (const Item::Link& link : items_[at(i)].below) {
          ends.push_back(items_[at(link.item)].x);
        }
        for (const double end : ends) {
          count += seen.end() - std::upper_bound(seen.begin(), seen.end(), end);
        }
        for (const double end : ends) {
          seen.insert(std::upper_bound(seen.begin(), seen.end(), end), end);
        }
      }
    }
    return count;
  }

  void position() {
    for (const std::vector<int>& row : rows_) {
      double x = 0;
      for (std::size_t p = 0; p < row.size(); ++p) {
        x += p == 0 ? 0 : apart(row[p - 1], row[p]);
        items_[at(row[p])].x = x;
      }
      for (const int i : row) {
        items_[at(i)].x -= x / 2;
      }
    }
    for (int sweep = 0; sweep < position_sweeps; ++sweep) {
      const bool downwards = sweep % 2 == 0;
      const bool last = sweep + 2 >= position_sweeps;
      for (std::size_t k = 0; k < rows_.size(); ++k) {
        place(rows_[downwards ? k : rows_.size() - 1 - k], downwards || last, !downwards || last);
      }
    }
  }

  double apart(int a, int b) const {
    const bool bends = items_[at(a)].node < 0 && items_[at(b)].node < 0;
    return (items_[at(a)].width + items_[at(b)].width) / 2 + (bends ? 2 : node_gap);
  }

  // Where the neighbours would have the item, and how much they insist.
  std::pair<double, double> wish(const Item& item, bool look_up, bool look_down) const {
    double sum = 0;
    double weight = 0;
    const auto ask = [&](const std::vector<Item::Link>& neighbours) {
      for (const Item::Link& link : neighbours) {
        sum += link.weight * items_[at(link.item)].x;
        weight += link.weight;
      }
    };
    if (look_up) {
      ask(item.above);
    }
    if (look_down) {
      ask(item.below);
    }
    return weight == 0 ? std::pair(item.x, 0.1) : std::pair(sum / weight, weight);
  }

  // Least squares under the order and the distances: with the distances taken off the wishes this is an isotonic
  // regression, which pooling neighbours that violate it solves exactly.
  void place(const std::vector<int>& row, bool look_up, bool look_down) {
    struct Pool {
      double sum;
      double weight;
      std::size_t count;
    };
    std::vector<Pool> pools;
    std::vector<double> offset;
    double total = 0;
    for (std::size_t p = 0; p < row.size(); ++p) {
      total += p == 0 ? 0 : apart(row[p - 1], row[p]);
      offset.push_back(total);
      const auto [x, weight] = wish(items_[at(row[p])], look_up, look_down);
      pools.push_back({(x - total) * weight, weight, 1});
      while (pools.size() > 1 &&
             pools[pools.size() - 2].sum / pools[pools.size() - 2].weight > pools.back().sum / pools.back().weight) {
        const Pool top = pools.back();
        pools.pop_back();
        pools.back() = {pools.back().sum + top.sum, pools.back().weight + top.weight, pools.back().count + top.count};
      }
    }
    std::size_t p = 0;
    for (const Pool& pool : pools) {
      for (std::size_t k = 0; k < pool.count; ++k, ++p) {
        items_[at(row[p])].x = pool.sum / pool.weight + offset[p];
      }
    }
  }

  std::vector<std::vector<int>> rows_;
  std::vector<Item> items_;
  std::vector<std::vector<std::pair<int, int>>> bends_;  // per edge: row and item
};

}  // namespace

LaneColumns arrange_lane(const std::vector<LayoutNode>& nodes, const Rows& rows, Lane lane,
                         const std::vector<std::pair<int, int>>& edges) {
  std::vector<std::vector<int>> parts = parts_of(rows, lane, edges);
  if (lane != Lane::update) {
    // The trunk first, strays to its right.
    std::stable_sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
  }
  LaneColumns result;
  result.bends.resize(edges.size());
  struct Placed {
    int low;
    int high;
    double left;
    double right;
  };
  std::vector<Placed> placed;
  for (const std::vector<int>& part : parts) {
    const LaneColumns columns = Arrangement(nodes, rows, part, edges).arrange();
    Placed here{rows.count, 0, 0, columns.width};
    for (const int node : part) {
      here.low = std::min(here.low, rows.row[at(node)]);
      here.high = std::max(here.high, rows.row[at(node)]);
    }
    // The leftmost place that is free; each part passed over lies further right than the last.
    const auto in_the_way = [&](const Placed& other) {
      return other.low <= here.high && here.low <= other.high && other.left < here.right + part_gap &&
             here.left < other.right + part_gap;
    };
    for (auto other = placed.begin();
         (other = std::find_if(placed.begin(), placed.end(), in_the_way)) != placed.end();) {
      here.left = other->right + part_gap;
      here.right = here.left + columns.width;
    }
    placed.push_back(here);
    for (const auto& [node, centre] : columns.centre) {
      result.centre[node] = here.left + centre;
    }
    for (std::size_t e = 0; e < edges.size(); ++e) {
      for (const auto& [row, bend] : columns.bends[e]) {
        result.bends[e].emplace_back(row, here.left + bend);
      }
    }
    result.width = std::max(result.width, here.right);
  }
  return result;
}

}  // namespace twingrad::check
