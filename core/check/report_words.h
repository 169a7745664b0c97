// What a report says about its findings, shared by its text and its page: sentences for verdicts, the order of
// findings, the pattern of the positions that are wrong. Private to the cross-check.
#pragma once

#include <twingrad/check/check.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace twingrad::check {

/// "matmul at mlp.cpp:31 computes wrong results on cuda:0 (node 12), and 2 findings more".
std::string headline(const Report& report);
/// What the verdict means, in a sentence.
std::string_view meaning(Verdict verdict);
/// What to do about it; empty when there is nothing.
std::string_view advice(Verdict verdict);

bool is_finding(Verdict verdict);  ///< neither agrees nor not_checked

/// The nodes with a finding: the most telling verdict first, then in the graph's order.
std::vector<const NodeResult*> findings(const DeviceReport& device);
std::vector<const ResultCheck*> result_findings(const DeviceReport& device);
std::vector<const RuleResult*> rule_findings(const Report& report);

/// The comparison that the verdict follows from, or the isolated one.
const Comparison& telling(const NodeResult& node);
bool was_compared(const Comparison& comparison);
/// "37 of 1280 elements are outside their bounds; ..."; of a node's in-situ comparison "have other bits".
std::string describe_figures(const NodeResult& node);
/// "element 412: got 1.5, expected 1.25, bound 3e-08"; empty without an error.
std::string describe_worst(const Comparison& comparison);
/// "only indices 31 modulo 32 are wrong"; empty when the positions tell nothing.
std::string position_pattern(const Comparison& comparison);
/// Of a race: the number of an earlier node that it follows from, or -1.
int race_before(const DeviceReport& device, const NodeResult& node);

/// How far a result's error is above what rounding explains; infinity where none is predicted.
double error_ratio(const ResultCheck& result);
/// The results with the largest ratios first.
std::vector<const ResultCheck*> by_ratio(const DeviceReport& device);
/// Compared nodes, the one nearest to its bound first.
std::vector<const NodeResult*> by_error(const DeviceReport& device);

/// Reasons why nodes were not checked, with their nodes.
std::vector<std::pair<std::string, std::vector<int>>> skipped(const DeviceReport& device);
/// "3, 5, 8-12 and 40 more".
std::string list_of(const std::vector<int>& numbers, std::size_t most);

/// Part of the optimizer's step: an update op, or what follows from one.
std::vector<char> update_nodes(const DeviceReport& device);

/// "0", "up to 4", "over 16384" units in the last place.
std::string ulp_label(std::size_t bin);
std::string number(double value, int digits = 3);
/// "1,234,567".
std::string count(std::int64_t n);
/// "1 node", "2 nodes".
std::string count(std::int64_t n, std::string_view noun);

}  // namespace twingrad::check
