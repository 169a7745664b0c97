// How reports are shown as a page.
#include <gtest/gtest.h>
#include <twingrad/check/check.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <string>
#include <vector>

#include "tests/check/sample_reports.h"

namespace twingrad::check {
namespace {

using namespace samples;

/// What is wrong with a page: tags that do not match, attributes without quotes, bare markup, ids given twice. Empty
/// when nothing is.
std::string fault_of(const std::string& html) {
  const std::string start = "<!DOCTYPE html>";
  if (html.rfind(start, 0) != 0) {
    return "no doctype";
  }
  std::vector<std::string> open;
  std::set<std::string> ids;
  const auto entity_at = [&](std::size_t i) {
    for (const char* entity : {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"}) {
      if (html.compare(i, std::string(entity).size(), entity) == 0) {
        return true;
      }
    }
    return false;
  };
  for (std::size_t i = start.size(); i < html.size();) {
    if (html[i] == '&' && !entity_at(i)) {
      return "a bare & at " + html.substr(i, 30);
    }
    if (html[i] == '>') {
      return "a bare > at " + html.substr(i, 30);
    }
    if (html[i] != '<') {
      ++i;
      continue;
    }
    const bool closes = html[i + 1] == '/';
    std::size_t end = i + (closes ? 2 : 1);
    std::string name;
    while (std::isalnum(static_cast<unsigned char>(html[end])) != 0) {
      name += html[end++];
    }
    if (name.empty()) {
      return "a bare < at " + html.substr(i, 30);
    }
    bool empty = false;
    while (html[end] != '>') {
      if (html[end] == '/') {
        empty = true;
        ++end;
      } else if (html[end] == ' ') {
        ++end;
      } else {
        const std::size_t equals = html.find('=', end);
        const std::string attribute = html.substr(end, equals - end);
        if (attribute.find_first_of(" <>\"'&") != std::string::npos || html[equals + 1] != '"') {
          return "a bad attribute in <" + name + ": " + html.substr(end, 40);
        }
        const std::size_t quote = html.find('"', equals + 2);
        const std::string value = html.substr(equals + 2, quote - equals - 2);
        if (value.find('<') != std::string::npos) {
          return "markup within an attribute: " + value;
        }
        if (attribute == "id" && !ids.insert(value).second) {
          return "the id " + value + " twice";
        }
        end = quote + 1;
      }
      if (end >= html.size()) {
        return "an open tag at the end";
      }
    }
    i = end + 1;
    if (closes) {
      if (open.empty() || open.back() != name) {
        return "</" + name + "> closes " + (open.empty() ? "nothing" : open.back());
      }
      open.pop_back();
    } else if (!empty) {
      open.push_back(name);
      if (name == "script" || name == "style") {
        i = html.find("</" + name, i);
      }
    }
  }
  return open.empty() ? "" : "<" + open.back() + "> is not closed";
}

TEST(ReportHtml, IsWellFormedWhateverTheReport) {
  for (const Report& report : all_reports()) {
    EXPECT_EQ(fault_of(to_html(report, "a <title> & \"more\"")), "") << name(report.verdict());
  }
}

TEST(ReportHtml, NeedsNoNetwork) {
  for (const Report& report : all_reports()) {
    const std::string html = to_html(report, "mlp");
    for (const char* part : {"http:", "https:", "src=", "@import", "<link", "url(//"}) {
      EXPECT_FALSE(contains(html, part)) << part;
    }
  }
}

TEST(ReportHtml, EscapesWhatTheUserNamed) {
  const std::string html = to_html(hostile(), "<title>");
  EXPECT_TRUE(contains(html, "a&lt;b&gt;&amp;&quot;c&quot;&#39;d&#39;"));
  EXPECT_TRUE(contains(html, "&lt;file&gt;&amp;.cpp:1"));
  EXPECT_FALSE(contains(html, "<file>"));
  EXPECT_FALSE(contains(html, "<b>threads"));
  EXPECT_EQ(html.find("<script"), html.rfind("<script"));
}

TEST(ReportHtml, SaysTheVerdictFirstAndShowsEveryNodeWithItsLine) {
  const Report report = with_kernel_finding();
  const std::string html = to_html(report, "mlp");
  const std::size_t headline = html.find("matmul at mlp.cpp:32 computes wrong results on cpu (node 2)");
  ASSERT_NE(headline, std::string::npos);
  EXPECT_LT(headline, html.find("<svg"));
  for (const NodeResult& node : report.devices[0].nodes) {
    const std::size_t box = html.find("<g id=\"d0-" + std::to_string(node.node) + "\"");
    ASSERT_NE(box, std::string::npos) << node.node;
    const std::string drawn = html.substr(box, html.find("</g>", box) - box);
    EXPECT_TRUE(contains(drawn, ">" + (node.label.empty() ? node.op : node.label) + "<")) << drawn;
    EXPECT_TRUE(contains(drawn, ">(128, 10) float32<")) << drawn;
    EXPECT_TRUE(contains(drawn, node.where)) << drawn;
  }
  EXPECT_TRUE(contains(html, "gradient of weight"));
}

TEST(ReportHtml, ColoursNodesByTheirErrorAndMarksFindings) {
  Report report = with_kernel_finding();
  report.devices[0].nodes[5].isolated = inside(0.15);
  report.devices[0].nodes[6].isolated = inside(5);
  report.devices[0].nodes[4].isolated.max_ratio = nan;
  const std::string html = to_html(report, "mlp");
  EXPECT_TRUE(contains(html, "<g id=\"d0-2\" class=\"n fwd e7 bad\""));
  EXPECT_TRUE(contains(html, "<g id=\"d0-3\" class=\"n fwd e0\""));
  EXPECT_TRUE(contains(html, "<g id=\"d0-4\" class=\"n fwd e7\""));
  EXPECT_TRUE(contains(html, "<g id=\"d0-5\" class=\"n bwd e2\""));
  EXPECT_TRUE(contains(html, "<g id=\"d0-6\" class=\"n bwd e5\""));
  EXPECT_TRUE(contains(html, "<g id=\"d0-7\" class=\"n upd e3\""));
}

TEST(ReportHtml, LargeGraphsGetAnOverview) {
  Report report = agreeing();
  EXPECT_FALSE(contains(to_html(report, "mlp"), "class=\"overview\""));
  for (int i = 8; i < 300; ++i) {
    report.devices[0].nodes.push_back(op(i, "add", {i - 1, i - 2}));
  }
  const std::string html = to_html(report, "mlp");
  EXPECT_TRUE(contains(html, "class=\"overview\""));
  EXPECT_TRUE(contains(html, "href=\"#d0-299\""));
  EXPECT_EQ(fault_of(html), "");
}

}  // namespace
}  // namespace twingrad::check
