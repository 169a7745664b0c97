#include <twingrad/check/graph_layout.h>
#include <twingrad/check/report_svg.h>
#include <twingrad/check/report_words.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <vector>

namespace twingrad::check {
namespace {

constexpr double heading = 30;        // room for the lanes' names
constexpr double small_letter = 6.1;  // width of a letter of the nodes' fixed-width font
constexpr double large_letter = 6.7;
constexpr double padding = 7;
constexpr double widest = 208;
constexpr double tall_graph = 1400;  // from here on there is an overview

std::string px(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  std::string result = text;
  return result.ends_with(".0") ? result.substr(0, result.size() - 2) : result;
}

std::string attribute(const char* name, const std::string& value) {
  return std::string(" ") + name + "=\"" + value + "\"";
}

std::string rect(double x, double y, double width, double height, const std::string& more) {
  return "<rect" + attribute("x", px(x)) + attribute("y", px(y)) + attribute("width", px(width)) +
         attribute("height", px(height)) + more + "/>";
}

std::string text_at(double x, double y, const std::string& style, const std::string& text) {
  return "<text" + attribute("x", px(x)) + attribute("y", px(y)) + attribute("class", style) + ">" + escaped(text) +
         "</text>";
}

std::size_t letters(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

double width_of(const std::string& text, double letter) {
  return static_cast<double>(letters(text)) * letter;
}

/// What a box says. Text on the right gives way to none on the left.
struct Line {
  std::string left;
  std::string right;
  bool large = false;

  double letter() const { return large ? large_letter : small_letter; }
  double width() const {
    return width_of(left, letter()) + (right.empty() ? 0 : 8 + width_of(right, small_letter)) + 2 * padding;
  }
};

struct Face {
  std::vector<Line> lines;
  std::string style;
  double line_height = 14;
  bool flagged = false;  ///< a strip with the verdict at the bottom

  double height() const { return 6 + line_height * static_cast<double>(lines.size()) + (flagged ? 17 : 0); }
  double width(double least) const {
    double width = least;
    for (const Line& line : lines) {
      width = std::max(width, line.width());
    }
    return std::min(width, widest);
  }
};

std::string error_text(const NodeResult& node) {
  if (!was_compared(node.isolated)) {
    return node.verdict == Verdict::not_checked ? "?" : "";
  }
  const double ratio = node.isolated.max_ratio;
  if (!std::isfinite(ratio)) {
    return "\u221e";
  }
  return ratio == 0 ? "exact" : number(ratio, 2) + "\u00d7";
}

Face face_of(const NodeResult& node, Lane lane) {
  const std::string id = "#" + std::to_string(node.node);
  Face face;
  if (node.leaf) {
    face.style = "leaf";
    face.lines = {{node.label.empty() ? node.op : node.label, id}, {node.type, ""}};
    face.line_height = 13;
    return face;
  }
  constexpr std::array<const char*, 3> lanes{"fwd", "bwd", "upd"};
  face.style = std::string(node.view ? "view " : "") + lanes[static_cast<std::size_t>(lane)] + " " +
               std::string(error_class(node));
  face.lines = {{node.op, id, true}, {node.type, ""}, {node.where, error_text(node)}};
  face.flagged = node.verdict != Verdict::agrees;
  face.style += !face.flagged ? "" : (is_finding(node.verdict) && node.verdict != Verdict::warning ? " bad" : " odd");
  return face;
}

std::string tooltip(const NodeResult& node) {
  std::string text = "#" + std::to_string(node.node) + " " + node.op + " " + node.type;
  text += node.where.empty() ? "" : " at " + node.where;
  const std::string figures = describe_figures(node);
  return text + (figures.empty() ? "" : ": " + figures) + (node.note.empty() ? "" : ". " + node.note);
}

std::string draw_box(const NodeResult& node, const Face& face, const Box& box, const std::string& id) {
  std::string svg = "<g" + attribute("id", id) + attribute("class", "n " + face.style) + attribute("tabindex", "0") +
                    "><title>" + escaped(tooltip(node)) + "</title>";
  svg += rect(box.x, box.y, box.width, box.height, attribute("rx", node.leaf ? px(box.height / 2) : "5"));
  double y = box.y + 3;
  for (const Line& line : face.lines) {
    y += face.line_height;
    const double room = box.width - 2 * padding - (line.right.empty() ? 0 : 8 + width_of(line.right, small_letter));
    const auto most = static_cast<std::size_t>(std::max(room / line.letter(), 1.0) + 0.01);
    svg += text_at(box.x + padding, y - 3, line.large ? "op" : "t", shortened(line.left, most));
    if (!line.right.empty()) {
      svg += text_at(box.x + box.width - padding, y - 3, "r", line.right);
    }
  }
  if (face.flagged) {
    svg += R"(<path class="flag" d="M)" + px(box.x) + " " + px(box.y + box.height - 17) + "h" + px(box.width) +
           "v12a5 5 0 0 1-5 5h-" + px(box.width - 10) + "a5 5 0 0 1-5-5z\"/>";
    svg += text_at(box.x + box.width / 2, box.y + box.height - 5, "v", std::string(name(node.verdict)));
  }
  return svg + "</g>\n";
}

std::string smooth_path(const std::vector<Point>& points) {
  std::string path = "M" + px(points[0].x) + " " + px(points[0].y);
  for (std::size_t i = 1; i < points.size(); ++i) {
    const Point& a = points[i - 1];
    const Point& b = points[i];
    if (a.x == b.x) {
      path += a.y == b.y ? "" : "V" + px(b.y);
      continue;
    }
    const std::string middle = px((a.y + b.y) / 2);
    path += "C" + px(a.x) + " " + middle + " " + px(b.x) + " " + middle + " " + px(b.x) + " " + px(b.y);
  }
  return path;
}

std::string cornered_path(const std::vector<Point>& points) {
  std::string path = "M" + px(points[0].x) + " " + px(points[0].y);
  for (std::size_t i = 1; i + 1 < points.size(); ++i) {
    const Point& a = points[i - 1];
    const Point& b = points[i];
    const Point& c = points[i + 1];
    const double before = std::abs(b.x - a.x) + std::abs(b.y - a.y);
    const double after = std::abs(c.x - b.x) + std::abs(c.y - b.y);
    const double radius = std::min({4.0, before / 2, after / 2});
    const auto towards = [radius](const Point& from, const Point& to) {
      const double length = std::abs(to.x - from.x) + std::abs(to.y - from.y);
      const double share = length == 0 ? 0 : radius / length;
      return px(from.x + (to.x - from.x) * share) + " " + px(from.y + (to.y - from.y) * share);
    };
    path += "L" + towards(b, a) + "Q" + px(b.x) + " " + px(b.y) + " " + towards(b, c);
  }
  return path + "L" + px(points.back().x) + " " + px(points.back().y);
}

std::string draw_wire(const Wire& wire, const std::vector<int>& node) {
  return "<path" + attribute("class", wire.smooth ? "w" : "w c") +
         attribute("data-f", std::to_string(node[static_cast<std::size_t>(wire.from)])) +
         attribute("data-t", std::to_string(node[static_cast<std::size_t>(wire.to)])) +
         attribute("d", wire.smooth ? smooth_path(wire.points) : cornered_path(wire.points)) + "/>\n";
}

/// What is drawn of a graph, by position in the drawing.
struct Picture {
  std::vector<int> node;      ///< of the graph
  std::vector<int> position;  ///< of a node of the graph in the drawing, or -1
  std::vector<Face> faces;
  GraphLayout layout;
};

Picture picture_of(const DeviceReport& device) {
  const std::vector<char> update = update_nodes(device);
  Picture picture;
  std::vector<LayoutNode> nodes;
  for (std::size_t i = 0; i < device.nodes.size(); ++i) {
    const NodeResult& node = device.nodes[i];
    if (!is_drawn(node)) {
      picture.position.push_back(-1);
      continue;
    }
    const Lane lane = update[i] != 0 ? Lane::update : (node.backward ? Lane::backward : Lane::forward);
    std::vector<int> inputs;
    for (const int input : node.inputs) {
      if (const int position = picture.position[static_cast<std::size_t>(input)]; position >= 0) {
        inputs.push_back(position);
      }
    }
    // x * x reads one node twice: one wire says so.
    std::sort(inputs.begin(), inputs.end());
    inputs.erase(std::unique(inputs.begin(), inputs.end()), inputs.end());
    picture.faces.push_back(face_of(node, lane));
    const Face& face = picture.faces.back();
    picture.position.push_back(static_cast<int>(nodes.size()));
    picture.node.push_back(static_cast<int>(i));
    nodes.push_back({face.width(node.leaf ? 60 : 96), face.height(), std::move(inputs), lane});
  }
  picture.layout = lay_out(nodes);
  return picture;
}

std::string draw_overview(const Picture& picture, const std::string& prefix) {
  const GraphLayout& layout = picture.layout;
  if (layout.height <= tall_graph) {
    return "";
  }
  std::string svg = R"(<svg class="overview" viewBox="0 0 )" + px(layout.width) + " " + px(layout.height + heading) +
                    "\" preserveAspectRatio=\"xMidYMin meet\" role=\"img\" aria-label=\"Overview of the graph\">\n";
  for (std::size_t i = 0; i < picture.faces.size(); ++i) {
    const Box& box = layout.boxes[i];
    svg += "<a" + attribute("href", "#" + prefix + "-" + std::to_string(picture.node[i])) + "><g" +
           attribute("class", "n " + picture.faces[i].style) + ">" +
           rect(box.x, box.y + heading, box.width, box.height, "") + "</g></a>\n";
  }
  return svg + "</svg>\n";
}

}  // namespace

std::string_view error_class(const NodeResult& node) {
  if (!was_compared(node.isolated)) {
    return "en";
  }
  const double ratio = node.isolated.max_ratio;
  // NaN is as far outside as anything can be.
  constexpr std::array<double, 7> limits{0, 0.1, 0.2, 0.5, 1, 10, 1e3};
  constexpr std::array<std::string_view, 8> classes{"e0", "e1", "e2", "e3", "e4", "e5", "e6", "e7"};
  std::size_t k = 0;
  while (k < limits.size() && !(ratio <= limits[k])) {
    ++k;
  }
  return classes[k];
}

bool is_drawn(const NodeResult& node) {
  return !(node.leaf && node.op == "number");
}

GraphDrawing draw_graph(const DeviceReport& device, const std::string& prefix) {
  const Picture picture = picture_of(device);
  const GraphLayout& layout = picture.layout;
  const std::string width = px(layout.width);
  const std::string height = px(layout.height + heading);
  std::string svg = R"(<svg class="net" width=")" + width + "\" height=\"" + height + "\" viewBox=\"0 0 " + width +
                    " " + height + R"(" role="img" aria-label="Graph of the step on )" + escaped(device.device) +
                    "\">\n<defs><marker id=\"" + prefix +
                    "-tip\" viewBox=\"0 0 6 6\" refX=\"5.5\" refY=\"3\" markerUnits=\"userSpaceOnUse\" "
                    "markerWidth=\"7\" markerHeight=\"7\" "
                    "orient=\"auto\"><path class=\"tip\" d=\"M0 0L6 3L0 6z\"/></marker></defs>\n";
  constexpr std::array<const char*, 3> titles{"forward \u2193", "backward \u2191", "update"};
  for (std::size_t lane = 0; lane < titles.size(); ++lane) {
    const LaneSpan& span = layout.lanes[lane];
    if (span.width > 0) {
      svg += rect(span.x - 8, 4, span.width + 16, layout.height + heading - 8,
                  attribute("class", "lane") + attribute("rx", "8"));
      svg += text_at(span.x + 4, 22, "lanename", titles[lane]);
    }
  }
  svg += "<g transform=\"translate(0 " + px(heading) + ")\">\n<g" +
         attribute("marker-end", "url(#" + prefix + "-tip)") + " class=\"wires\">\n";
  for (const Wire& wire : layout.wires) {
    svg += draw_wire(wire, picture.node);
  }
  svg += "</g>\n";
  for (std::size_t i = 0; i < picture.faces.size(); ++i) {
    const int node = picture.node[i];
    svg += draw_box(device.nodes[static_cast<std::size_t>(node)], picture.faces[i], layout.boxes[i],
                    prefix + "-" + std::to_string(node));
  }
  return {svg + "</g></svg>\n", draw_overview(picture, prefix)};
}

std::string draw_legend() {
  constexpr std::array<const char*, 8> names{"exact", "to 0.1", "to 0.2",  "to 0.5",
                                             "to 1",  "to 10",  "to 1000", "beyond"};
  std::string svg = R"(<svg class="legend" width="560" height="34" role="img" aria-label="Colours by error">)";
  for (std::size_t k = 0; k < names.size(); ++k) {
    const double x = 70 * static_cast<double>(k);
    svg += "<g class=\"n e" + std::to_string(k) + "\">" + rect(x + 1, 2, 66, 14, attribute("rx", "3")) + "</g>";
    svg += text_at(x + 34, 29, "m", names[k]);
  }
  // What is inside the bound ends here.
  svg += R"(<path class="limit" d="M349.5 0V19"/>)";
  return svg + "</svg>";
}

std::string draw_ulps(const Comparison& c) {
  constexpr double bar = 15;
  constexpr double height = 64;
  const std::int64_t most = *std::max_element(c.ulps.begin(), c.ulps.end());
  if (most == 0) {
    return "";
  }
  const double width = bar * static_cast<double>(c.ulps.size());
  std::string svg = R"(<svg class="hist" width=")" + px(width + 8) + "\" height=\"" + px(height + 30) +
                    R"(" role="img" aria-label="Elements by units in the last place">)";
  for (std::size_t bin = 0; bin < c.ulps.size(); ++bin) {
    const double x = 4 + bar * static_cast<double>(bin);
    if (c.ulps[bin] > 0) {
      const double share =
          std::log10(1.0 + static_cast<double>(c.ulps[bin])) / std::log10(1.0 + static_cast<double>(most));
      const double h = std::max(2.0, share * height);
      svg += "<g><title>" + escaped(ulp_label(bin) + " ulps: " + count(c.ulps[bin])) + "</title>" +
             rect(x + 1, 2 + height - h, bar - 2, h, "") + "</g>";
    }
  }
  svg += R"(<path class="axis" d="M4 )" + px(height + 2.5) + "h" + px(width) + "\"/>";
  constexpr std::array<std::pair<std::size_t, const char*>, 6> marks{
      {{0, "0"}, {1, "1"}, {4, "8"}, {8, "128"}, {11, "1k"}, {15, "16k"}}};
  for (const auto& [bin, label] : marks) {
    svg += text_at(4 + bar * (static_cast<double>(bin) + 0.5), height + 14, "m", label);
  }
  svg += text_at(4 + width / 2, height + 27, "m", "units in the last place (log counts)");
  return svg + "</svg>";
}

std::string draw_positions(const Comparison& c) {
  const std::int64_t most = *std::max_element(c.outside_mod_128.begin(), c.outside_mod_128.end());
  if (most == 0) {
    return "";
  }
  constexpr double cell = 8;
  std::string svg =
      R"(<svg class="pos" width="264" height="66" role="img" aria-label="Wrong elements by index modulo 128">)";
  for (std::size_t r = 0; r < c.outside_mod_128.size(); ++r) {
    const double x = 4 + cell * static_cast<double>(r % 32);
    const std::size_t row = r / 32;
    const double y = 2 + (cell + 1) * static_cast<double>(row);
    const std::int64_t n = c.outside_mod_128[r];
    const double share = 0.25 + 0.75 * static_cast<double>(n) / static_cast<double>(most);
    svg += rect(x, y, cell - 1, cell,
                n == 0 ? attribute("class", "none") : attribute("class", "hit") + attribute("opacity", px(share)));
  }
  svg += text_at(8, 50, "m", "0") + text_at(4 + cell * 16, 50, "m", "16") + text_at(4 + cell * 31.5, 50, "m", "31");
  svg += text_at(132, 63, "m", "index modulo 128, rows of 32");
  return svg + "</svg>";
}

std::string draw_ratio(double ratio) {
  constexpr double half = 30;
  const double decades = ratio > 0 ? std::clamp(std::log10(ratio), -3.0, 3.0) : (ratio == 0 ? -3.0 : 3.0);
  const double length = half * (decades + 3) / 3;
  return R"(<svg class="ratio" width="60" height="9" aria-hidden="true">)" +
         rect(0, 3, 60, 3, attribute("class", "none")) +
         rect(0, 2, std::max(length, 1.0), 5, attribute("class", ratio <= 1 ? "in" : "over")) +
         rect(half - 0.5, 0, 1, 9, attribute("class", "mark")) + "</svg>";
}

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\'':
        result += "&#39;";
        break;
      default:
        if (static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t') {
          result += c;
        }
    }
  }
  return result;
}

std::string shortened(const std::string& text, std::size_t most) {
  if (letters(text) <= most) {
    return text;
  }
  std::size_t end = 0;
  for (std::size_t kept = 0; end < text.size(); ++end) {
    if ((text[end] & 0xc0) != 0x80 && ++kept >= std::max<std::size_t>(most, 1)) {
      break;
    }
  }
  return text.substr(0, end) + "\u2026";
}

}  // namespace twingrad::check
