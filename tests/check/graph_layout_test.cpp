// The layout of the report's graph: boxes never overlap, wires never run through boxes, whatever the graph.
#include <gtest/gtest.h>
#include <twingrad/check/graph_layout.h>
#include <twingrad/error.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace twingrad::check {
namespace {

bool overlap(const Box& a, const Box& b) {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

/// The rectangle around a piece of a wire; a curve stays within it.
Box around(Point a, Point b) {
  return {std::min(a.x, b.x), std::min(a.y, b.y), std::abs(a.x - b.x), std::abs(a.y - b.y)};
}

void expect_apart(const GraphLayout& layout) {
  for (std::size_t i = 0; i < layout.boxes.size(); ++i) {
    const Box& box = layout.boxes[i];
    EXPECT_GE(box.x, 0) << "node " << i;
    EXPECT_GE(box.y, 0) << "node " << i;
    EXPECT_LE(box.x + box.width, layout.width) << "node " << i;
    EXPECT_LE(box.y + box.height, layout.height) << "node " << i;
    for (std::size_t j = i + 1; j < layout.boxes.size(); ++j) {
      EXPECT_FALSE(overlap(box, layout.boxes[j])) << "nodes " << i << " and " << j;
    }
  }
}

void expect_free_wires(const GraphLayout& layout) {
  for (const Wire& wire : layout.wires) {
    for (std::size_t p = 0; p + 1 < wire.points.size(); ++p) {
      const Box piece = around(wire.points[p], wire.points[p + 1]);
      for (std::size_t i = 0; i < layout.boxes.size(); ++i) {
        EXPECT_FALSE(overlap(piece, layout.boxes[i]))
            << "piece " << p << " of the wire from " << wire.from << " to " << wire.to << " runs through " << i;
      }
    }
  }
}

// Routed wires of different sources may cross, but not run on top of each other.
void expect_own_tracks(const GraphLayout& layout) {
  struct Run {
    int source;
    double y;
    double low;
    double high;
  };
  std::vector<Run> runs;
  for (const Wire& wire : layout.wires) {
    for (std::size_t p = 0; !wire.smooth && p + 1 < wire.points.size(); ++p) {
      const Point a = wire.points[p];
      const Point b = wire.points[p + 1];
      ASSERT_TRUE(a.x == b.x || a.y == b.y) << "a routed wire is not at right angles";
      if (a.y == b.y) {
        runs.push_back({wire.from, a.y, std::min(a.x, b.x), std::max(a.x, b.x)});
      }
    }
  }
  for (std::size_t i = 0; i < runs.size(); ++i) {
    for (std::size_t j = i + 1; j < runs.size(); ++j) {
      const bool on_top = runs[i].source != runs[j].source && runs[i].y == runs[j].y && runs[i].low < runs[j].high &&
                          runs[j].low < runs[i].high;
      EXPECT_FALSE(on_top) << "wires of " << runs[i].source << " and " << runs[j].source << " at y = " << runs[i].y;
    }
  }
}

void expect_ends_at_boxes(const std::vector<LayoutNode>& nodes, const GraphLayout& layout) {
  std::size_t edges = 0;
  for (const LayoutNode& node : nodes) {
    edges += node.inputs.size();
  }
  ASSERT_EQ(layout.wires.size(), edges);
  for (const Wire& wire : layout.wires) {
    const auto at_edge = [&](int node, Point end) {
      const Box& box = layout.boxes[static_cast<std::size_t>(node)];
      return end.x > box.x && end.x < box.x + box.width && (end.y == box.y || end.y == box.y + box.height);
    };
    EXPECT_TRUE(at_edge(wire.from, wire.points.front())) << wire.from << " to " << wire.to;
    EXPECT_TRUE(at_edge(wire.to, wire.points.back())) << wire.from << " to " << wire.to;
  }
}

void expect_sound(const std::vector<LayoutNode>& nodes) {
  const GraphLayout layout = lay_out(nodes);
  ASSERT_EQ(layout.boxes.size(), nodes.size());
  expect_apart(layout);
  expect_free_wires(layout);
  expect_own_tracks(layout);
  expect_ends_at_boxes(nodes, layout);
}

/// `lanes` of the three lanes are used; inputs are mostly near, sometimes far back.
std::vector<LayoutNode> random_graph(std::uint32_t seed, int count, int lanes) {
  std::mt19937 generator(seed);
  const auto up_to = [&](int most) { return static_cast<int>(generator() % static_cast<std::uint32_t>(most + 1)); };
  std::vector<LayoutNode> nodes;
  for (int i = 0; i < count; ++i) {
    LayoutNode node{60.0 + up_to(140), 20.0 + up_to(44), {}, static_cast<Lane>(up_to(lanes - 1))};
    for (int k = i == 0 ? 0 : up_to(3); k > 0; --k) {
      const int back = up_to(9) == 0 ? up_to(i - 1) : std::min(i - 1, up_to(7));
      node.inputs.push_back(i - 1 - back);
    }
    std::sort(node.inputs.begin(), node.inputs.end());
    node.inputs.erase(std::unique(node.inputs.begin(), node.inputs.end()), node.inputs.end());
    nodes.push_back(node);
  }
  return nodes;
}

TEST(GraphLayout, BoxesOfRandomGraphsDoNotOverlapAndWiresRunAroundThem) {
  for (std::uint32_t seed = 1; seed <= 6; ++seed) {
    for (const int count : {1, 2, 7, 33, 120}) {
      for (int lanes = 1; lanes <= 3; ++lanes) {
        SCOPED_TRACE(testing::Message() << "seed " << seed << ", " << count << " nodes, " << lanes << " lanes");
        expect_sound(random_graph(seed, count, lanes));
      }
    }
  }
}

TEST(GraphLayout, LargeRandomGraphs) {
  for (int lanes = 1; lanes <= 3; ++lanes) {
    SCOPED_TRACE(testing::Message() << lanes << " lanes");
    expect_sound(random_graph(7, 400, lanes));
  }
}

TEST(GraphLayout, NothingAndNodesWithoutWires) {
  const GraphLayout empty = lay_out({});
  EXPECT_TRUE(empty.boxes.empty());
  EXPECT_TRUE(empty.wires.empty());
  expect_sound({{100, 40, {}, Lane::forward}, {100, 40, {}, Lane::backward}, {100, 40, {}, Lane::update}});
}

TEST(GraphLayout, ForwardRunsDownBackwardClimbs) {
  const GraphLayout layout = lay_out({{.width = 90, .height = 24},
                                      {.width = 90, .height = 40, .inputs = {0}},
                                      {.width = 90, .height = 40, .inputs = {1}},
                                      {.width = 90, .height = 40, .inputs = {2}, .lane = Lane::backward},
                                      {.width = 90, .height = 40, .inputs = {3, 1}, .lane = Lane::backward}});
  EXPECT_LT(layout.boxes[0].y, layout.boxes[1].y);
  EXPECT_LT(layout.boxes[1].y, layout.boxes[2].y);
  EXPECT_GT(layout.boxes[3].y, layout.boxes[4].y);
  EXPECT_GT(layout.boxes[3].x, layout.boxes[2].x + layout.boxes[2].width);
  // What node 4 differentiates stands beside it.
  EXPECT_EQ(layout.boxes[4].y, layout.boxes[1].y);
}

TEST(GraphLayout, ForwardIsStretchedWhereBackwardNeedsMoreRows) {
  // Four forward nodes, and four backward nodes for each.
  std::vector<LayoutNode> nodes(5, {.width = 90, .height = 40});
  for (int i = 1; i < 5; ++i) {
    nodes[static_cast<std::size_t>(i)].inputs = {i - 1};
  }
  for (int forward = 4; forward > 0; --forward) {
    for (int k = 0; k < 4; ++k) {
      LayoutNode node{.width = 90, .height = 40, .lane = Lane::backward};
      node.inputs = {static_cast<int>(nodes.size()) - 1};
      if (k == 0) {
        node.inputs = forward == 4 ? std::vector{forward} : std::vector{forward, node.inputs[0]};
      }
      nodes.push_back(node);
    }
  }
  // The cotangent starts with a number that is given.
  nodes.insert(nodes.begin() + 5, {.width = 90, .height = 40, .lane = Lane::backward});
  for (std::size_t i = 6; i < nodes.size(); ++i) {
    for (int& input : nodes[i].inputs) {
      input += input >= 5 ? 1 : 0;
    }
  }
  nodes[6].inputs = {4, 5};
  const GraphLayout layout = lay_out(nodes);
  for (std::size_t k = 0; k < 4; ++k) {
    EXPECT_EQ(layout.boxes[4 - k].y, layout.boxes[6 + 4 * k].y) << "forward node " << 4 - k;
  }
}

TEST(GraphLayout, WhatIsRecomputedFromForwardHangsBelowItsReader) {
  const GraphLayout layout = lay_out({{.width = 90, .height = 40},
                                      {.width = 90, .height = 40, .inputs = {0}},
                                      {.width = 90, .height = 40, .inputs = {1}},
                                      {.width = 90, .height = 40, .lane = Lane::backward},
                                      {.width = 90, .height = 40, .inputs = {2, 3}, .lane = Lane::backward},
                                      {.width = 90, .height = 40, .inputs = {1}, .lane = Lane::backward},
                                      {.width = 90, .height = 40, .inputs = {4, 5}, .lane = Lane::backward}});
  EXPECT_EQ(layout.boxes[4].y, layout.boxes[2].y);
  EXPECT_EQ(layout.boxes[6].y, layout.boxes[1].y);
  EXPECT_EQ(layout.boxes[5].y, layout.boxes[4].y);
}

TEST(GraphLayout, UpdatesOfManyParametersStandBelowEachOther) {
  // Eight gradients from one node; each is read by an update of its own.
  std::vector<LayoutNode> nodes(20, {.width = 90, .height = 40});
  for (int i = 1; i < 20; ++i) {
    nodes[static_cast<std::size_t>(i)].inputs = {i - 1};
  }
  nodes.push_back({.width = 90, .height = 40, .inputs = {19}, .lane = Lane::backward});
  for (int k = 0; k < 8; ++k) {
    nodes.push_back({.width = 90, .height = 40, .inputs = {20}, .lane = Lane::update});
  }
  EXPECT_EQ(lay_out(nodes).lanes[2].width, 90);
}

TEST(GraphLayout, AChainIsAStraightLine) {
  std::vector<LayoutNode> chain(1000, {.width = 120, .height = 40});
  for (int i = 1; i < 1000; ++i) {
    chain[static_cast<std::size_t>(i)].inputs = {i - 1};
  }
  const GraphLayout layout = lay_out(chain);
  for (std::size_t i = 1; i < chain.size(); ++i) {
    EXPECT_DOUBLE_EQ(layout.boxes[i].x, layout.boxes[0].x);
    EXPECT_GT(layout.boxes[i].y, layout.boxes[i - 1].y);
  }
}

TEST(GraphLayout, ALeafStandsBesideWhatReadsItFirst) {
  // A parameter that is made first and used last.
  std::vector<LayoutNode> nodes(8, {.width = 100, .height = 40});
  for (int i = 2; i < 7; ++i) {
    nodes[static_cast<std::size_t>(i)].inputs = {i - 1};
  }
  nodes[7].inputs = {0, 6};
  const GraphLayout layout = lay_out(nodes);
  EXPECT_EQ(layout.boxes[0].y, layout.boxes[6].y);
}

TEST(GraphLayout, RefusesInputsThatAreNotEarlier) {
  EXPECT_THROW(lay_out({{.width = 1, .height = 1, .inputs = {0}}}), ArgumentError);
  EXPECT_THROW(lay_out({{.width = 1, .height = 1, .inputs = {-1}}}), ArgumentError);
  EXPECT_THROW(lay_out({{.width = 1, .height = 1, .inputs = {1}}, {.width = 1, .height = 1}}), ArgumentError);
}

}  // namespace
}  // namespace twingrad::check
