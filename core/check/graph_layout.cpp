#include <twingrad/check/graph_layout.h>
#include <twingrad/check/graph_layout_lane.h>
#include <twingrad/error.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <map>
#include <string>
#include <utility>

namespace twingrad::check {
namespace {

constexpr double margin = 16;
constexpr double row_gap = 26;       // between rows without a channel in use
constexpr double track_gap = 6;      // between parallel wires
constexpr double lane_gap = 34;      // between lanes without a channel in use
constexpr int longest_in_lane = 24;  // rows; longer wires leave the lane for the channel beside it

std::size_t at(int i) {
  return static_cast<std::size_t>(i);
}

/// Pieces of wires in one channel; pieces of one source share a track, and tracks are reused where pieces do not meet.
class Channel {
 public:
  void add(int source, double from, double to) {
    auto [found, is_new] = pieces_.try_emplace(source, Piece{std::min(from, to), std::max(from, to), 0});
    if (!is_new) {
      found->second.low = std::min({found->second.low, from, to});
      found->second.high = std::max({found->second.high, from, to});
    }
  }
  void assign(double apart) {
    std::vector<Piece*> sorted;
    for (auto& [source, piece] : pieces_) {
      sorted.push_back(&piece);
    }
    std::stable_sort(sorted.begin(), sorted.end(), [](const Piece* a, const Piece* b) { return a->low < b->low; });
    std::vector<double> ends;
    for (Piece* piece : sorted) {
      const auto free = std::find_if(ends.begin(), ends.end(), [&](double end) { return end + apart <= piece->low; });
      piece->track = static_cast<int>(free - ends.begin());
      if (free == ends.end()) {
        ends.push_back(piece->high);
      } else {
        *free = piece->high;
      }
    }
    tracks_ = static_cast<int>(ends.size());
  }
  int tracks() const { return tracks_; }
  int track(int source) const { return pieces_.at(source).track; }

 private:
  struct Piece {
    double low;
    double high;
    int track;
  };
  std::map<int, Piece> pieces_;
  int tracks_ = 0;
};

class Drawing {
 public:
  explicit Drawing(const std::vector<LayoutNode>& nodes) : nodes_(nodes), rows_(nodes) {}

  GraphLayout draw() {
    sort_edges();
    for (int lane = 0; lane < 3; ++lane) {
      arranged_[lane] = arrange_lane(nodes_, rows_, static_cast<Lane>(lane), in_lane_);
    }
    place_columns();
    place_rows();
    place_boxes();
    draw_wires();
    return std::move(result_);
  }

 private:
  struct Edge {
    int from;
    int to;
  };

  int lane(int node) const { return static_cast<int>(rows_.lane[at(node)]); }
  int row(int node) const { return rows_.row[at(node)]; }
  bool climbs(int node) const { return rows_.lane[at(node)] == Lane::backward; }

  void sort_edges() {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      for (const int input : nodes_[i].inputs) {
        const int node = static_cast<int>(i);
        const bool beside = lane(input) == lane(node) && std::abs(row(input) - row(node)) <= longest_in_lane;
        if (beside) {
          in_lane_.emplace_back(input, node);
        } else {
          routed_.push_back({input, node});
        }
      }
    }
  }

  // Channel g lies above row g. A wire leaves its source in the direction of the source's lane and enters its target
  // from where that lane's inputs come.
  int exit_gap(int node) const { return climbs(node) ? row(node) : row(node) + 1; }
  int entry_gap(int node) const { return climbs(node) ? row(node) + 1 : row(node); }
  int gutter(const Edge& edge) const { return std::max(lane(edge.from), lane(edge.to)); }

  void place_columns() {
    for (const Edge& edge : routed_) {
      if (exit_gap(edge.from) != entry_gap(edge.to)) {
        gutters_[gutter(edge)].add(edge.from, exit_gap(edge.from), entry_gap(edge.to));
      }
    }
    double x = margin;
    for (int lane = 0; lane < 3; ++lane) {
      gutters_[lane].assign(1);
      if (arranged_[lane].width == 0) {
        continue;
      }
      const double channel = gutters_[lane].tracks() * track_gap;
      x += x == margin ? 0 : lane_gap / 2;
      gutter_x_[lane] = x;
      x += channel + (x == margin && channel == 0 ? 0 : lane_gap / 2);
      result_.lanes[lane] = {x, arranged_[lane].width};
      x += arranged_[lane].width;
    }
    result_.width = x + margin;
  }

  double centre(int node) const { return result_.lanes[lane(node)].x + arranged_[lane(node)].centre.at(node); }
  double exit_x(int node) const { return centre(node) + 0.36 * nodes_[at(node)].width; }
  double entry_x(std::size_t edge) const {
    return centre(routed_[edge].to) - nodes_[at(routed_[edge].to)].width * entry_share_[edge];
  }
  double gutter_x(const Edge& edge) const {
    const int g = gutter(edge);
    return gutter_x_[g] + (gutters_[g].track(edge.from) + 0.5) * track_gap;
  }

  void place_rows() {
    // Several wires into one node enter side by side.
    std::map<int, std::vector<std::size_t>> entering;
    for (std::size_t e = 0; e < routed_.size(); ++e) {
      entering[routed_[e].to].push_back(e);
    }
    entry_share_.resize(routed_.size());
    for (const auto& [node, edges] : entering) {
      for (std::size_t j = 0; j < edges.size(); ++j) {
        entry_share_[edges[j]] = 0.4 - 0.28 * static_cast<double>(j) / static_cast<double>(edges.size());
      }
    }
    gaps_.resize(at(rows_.count) + 1);
    for (std::size_t e = 0; e < routed_.size(); ++e) {
      const Edge& edge = routed_[e];
      const int out = exit_gap(edge.from);
      const int in = entry_gap(edge.to);
      if (out == in) {
        gaps_[at(out)].add(edge.from, exit_x(edge.from), entry_x(e));
      } else {
        gaps_[at(out)].add(edge.from, exit_x(edge.from), gutter_x(edge));
        gaps_[at(in)].add(edge.from, gutter_x(edge), entry_x(e));
      }
    }
    row_height_.assign(at(rows_.count), 0);
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      double& height = row_height_[at(rows_.row[i])];
      height = std::max(height, nodes_[i].height);
    }
    double y = margin;
    for (int r = 0; r <= rows_.count; ++r) {
      Channel& gap = gaps_[at(r)];
      gap.assign(track_gap);
      gap_y_.push_back(y);
      const bool outer = r == 0 || r == rows_.count;
      y += outer && gap.tracks() == 0 ? 0 : row_gap + std::max(gap.tracks() - 1, 0) * track_gap;
      if (r < rows_.count) {
        row_y_.push_back(y);
        y += row_height_[at(r)];
      }
    }
    result_.height = y + margin;
  }

  double track_y(int gap, int source) const {
    return gap_y_[at(gap)] + row_gap / 2 + gaps_[at(gap)].track(source) * track_gap;
  }

  void place_boxes() {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      const LayoutNode& node = nodes_[i];
      const std::size_t r = at(rows_.row[i]);
      result_.boxes.push_back({centre(static_cast<int>(i)) - node.width / 2,
                               row_y_[r] + (row_height_[r] - node.height) / 2, node.width, node.height});
    }
  }

  double exit_y(int node) const {
    const Box& box = result_.boxes[at(node)];
    return climbs(node) ? box.y : box.y + box.height;
  }
  double entry_y(int node) const {
    const Box& box = result_.boxes[at(node)];
    return climbs(node) ? box.y + box.height : box.y;
  }

  void draw_wires() {
    draw_in_lane();
    for (std::size_t e = 0; e < routed_.size(); ++e) {
      const Edge& edge = routed_[e];
      Wire wire{edge.from, edge.to, false, {}};
      const int out = exit_gap(edge.from);
      const int in = entry_gap(edge.to);
      wire.points.push_back({exit_x(edge.from), exit_y(edge.from)});
      wire.points.push_back({exit_x(edge.from), track_y(out, edge.from)});
      if (out != in) {
        wire.points.push_back({gutter_x(edge), track_y(out, edge.from)});
        wire.points.push_back({gutter_x(edge), track_y(in, edge.from)});
      }
      wire.points.push_back({entry_x(e), track_y(in, edge.from)});
      wire.points.push_back({entry_x(e), entry_y(edge.to)});
      result_.wires.push_back(std::move(wire));
    }
  }

  // Curves lie in the gaps; through a row a wire goes straight.
  void draw_in_lane() {
    std::map<int, std::vector<std::size_t>> entering;
    for (std::size_t e = 0; e < in_lane_.size(); ++e) {
      entering[in_lane_[e].second].push_back(e);
    }
    std::vector<double> entry(in_lane_.size());
    for (auto& [node, edges] : entering) {
      const LaneColumns& columns = arranged_[lane(node)];
      const auto last_x = [&](std::size_t e) {
        return columns.bends[e].empty() ? columns.centre.at(in_lane_[e].first) : columns.bends[e].back().second;
      };
      std::stable_sort(edges.begin(), edges.end(), [&](std::size_t a, std::size_t b) { return last_x(a) < last_x(b); });
      for (std::size_t j = 0; j < edges.size(); ++j) {
        const double share = (static_cast<double>(j) + 0.5) / static_cast<double>(edges.size()) - 0.5;
        entry[edges[j]] = centre(node) + nodes_[at(node)].width * 0.3 * share;
      }
    }
    for (std::size_t e = 0; e < in_lane_.size(); ++e) {
      const auto [from, to] = in_lane_[e];
      const bool up = climbs(from);
      const double x = result_.lanes[lane(from)].x;
      const auto top = [&](int r) { return row_y_[at(r)]; };
      const auto bottom = [&](int r) { return row_y_[at(r)] + row_height_[at(r)]; };
      Wire wire{from, to, true, {}};
      wire.points.push_back({centre(from), exit_y(from)});
      wire.points.push_back({centre(from), up ? top(row(from)) : bottom(row(from))});
      for (const auto& [r, bend] : arranged_[lane(from)].bends[e]) {
        wire.points.push_back({x + bend, up ? bottom(r) : top(r)});
        wire.points.push_back({x + bend, up ? top(r) : bottom(r)});
      }
      wire.points.push_back({entry[e], up ? bottom(row(to)) : top(row(to))});
      wire.points.push_back({entry[e], entry_y(to)});
      result_.wires.push_back(std::move(wire));
    }
  }

  const std::vector<LayoutNode>& nodes_;
  Rows rows_;
  std::vector<std::pair<int, int>> in_lane_;
  std::vector<Edge> routed_;
  LaneColumns arranged_[3];
  Channel gutters_[3];
  double gutter_x_[3] = {};
  std::vector<double> entry_share_;
  std::vector<Channel> gaps_;
  std::vector<double> gap_y_;
  std::vector<double> row_y_;
  std::vector<double> row_height_;
  GraphLayout result_;
};

}  // namespace

GraphLayout lay_out(const std::vector<LayoutNode>& nodes) {
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    for (const int input : nodes[i].inputs) {
      if (input < 0 || static_cast<std::size_t>(input) >= i) {
        throw ArgumentError("graph layout: node " + std::to_string(i) + " has input " + std::to_string(input) +
                            "; inputs must be earlier nodes");
      }
    }
  }
  return Drawing(nodes).draw();
}

}  // namespace twingrad::check
