// The two inner steps of graph_layout: which row every node stands in, and where in its row. Private to it.
#pragma once

#include <twingrad/check/graph_layout.h>

#include <map>
#include <utility>
#include <vector>

namespace twingrad::check {

/// Lane and row of every node; row 0 is on top and no row is empty. In the forward and update lanes a node stands below
/// its inputs of the same lane, in the backward lane above them, and at the height of what it differentiates.
struct Rows {
  explicit Rows(const std::vector<LayoutNode>& nodes);

  std::vector<Lane> lane;
  std::vector<int> row;
  int count = 0;
};

/// One lane's columns, measured from its left edge.
struct LaneColumns {
  double width = 0;
  std::map<int, double> centre;                            ///< of the lane's nodes
  std::vector<std::vector<std::pair<int, double>>> bends;  ///< per edge: rows it passes and where, from the source on
};

/// The parts of a lane that no edge joins: the nodes of each, the part with the topmost node first.
std::vector<std::vector<int>> parts_of(const Rows& rows, Lane lane, const std::vector<std::pair<int, int>>& edges);

/// `edges` are (from, to) within lanes; those of other lanes are left alone. Parts are packed side by side.
LaneColumns arrange_lane(const std::vector<LayoutNode>& nodes, const Rows& rows, Lane lane,
                         const std::vector<std::pair<int, int>>& edges);

}  // namespace twingrad::check
