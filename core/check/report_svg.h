// Drawings of the report's page: the graph coloured by error, histograms, positions. All are inline SVG whose colours
// come from the page's style sheet. Private to the cross-check, but for escaped(), which pages of the benchmarks use
// too.
#pragma once

#include <twingrad/check/check.h>

#include <string>
#include <string_view>

namespace twingrad::check {

/// The graph of one device with a heading over each lane. Nodes get the ids "<prefix>-0", "<prefix>-1", ...
/// `overview` is a small copy whose boxes link to them; empty for graphs that need none.
struct GraphDrawing {
  std::string graph;
  std::string overview;
};
/// Numbers in formulas are left out: nothing can be wrong with them, and an optimizer has three for every parameter.
bool is_drawn(const NodeResult& node);
GraphDrawing draw_graph(const DeviceReport& device, const std::string& prefix);

/// Colours of the error relative to its bound.
std::string draw_legend();
/// Elements by units in the last place, bars in the logarithm of counts.
std::string draw_ulps(const Comparison& comparison);
/// Where elements outside their bounds lie, by index modulo 128 in rows of 32.
std::string draw_positions(const Comparison& comparison);
/// A ratio on a logarithmic scale from 0.001 to 1000, with a mark at 1.
std::string draw_ratio(double ratio);

/// The style class of an error: "e0" exact, "e1" to "e4" inside the bound, "e5" to "e7" outside.
std::string_view error_class(const NodeResult& node);

/// Text for HTML: markup and quotes escaped, characters that HTML forbids left out.
std::string escaped(std::string_view text);
/// At most `most` characters, the last of them an ellipsis where text is cut.
std::string shortened(const std::string& text, std::size_t most);

}  // namespace twingrad::check
