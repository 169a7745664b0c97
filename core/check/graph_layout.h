// Places the nodes of a training step on a plane: forward runs down the left lane, backward climbs the lane beside it
// at the height of what it differentiates, the optimizer's update stands on the right. Rows come from longest paths,
// the order within rows from barycentre sweeps, positions from least squares under the order; wires between lanes run
// in channels between rows and lanes, so that none crosses a box. Called by the report's page.
//
//   GraphLayout layout = lay_out({{.width = 90, .height = 24}, {.width = 150, .height = 46, .inputs = {0}}});
//   layout.boxes[1].y > layout.boxes[0].y;
#pragma once

#include <cstdint>
#include <vector>

namespace twingrad::check {

enum class Lane : std::uint8_t { forward, backward, update };

struct LayoutNode {
  double width = 0;
  double height = 0;
  std::vector<int> inputs = {};  ///< earlier nodes
  Lane lane = Lane::forward;
};

struct Point {
  double x = 0;
  double y = 0;
};

struct Box {
  double x = 0;  ///< left
  double y = 0;  ///< top
  double width = 0;
  double height = 0;
};

/// The line from one node to a node that reads it.
struct Wire {
  int from = 0;
  int to = 0;
  bool smooth = true;  ///< to be drawn as vertical-tangent curves through the points, otherwise with right angles
  std::vector<Point> points;
};

/// Where a lane lies; width 0 when it has no node.
struct LaneSpan {
  double x = 0;
  double width = 0;
};

struct GraphLayout {
  double width = 0;
  double height = 0;
  std::vector<Box> boxes;  ///< as the nodes
  std::vector<Wire> wires;
  LaneSpan lanes[3];
};

/// No two boxes overlap. A node without inputs goes to the lane of the first lane that reads it. Throws ArgumentError
/// when an input is not an earlier node.
GraphLayout lay_out(const std::vector<LayoutNode>& nodes);

}  // namespace twingrad::check
