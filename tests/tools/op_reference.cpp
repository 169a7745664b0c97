// Writes docs/ops.md, and the table of families in README.md, from the op rows.
//
//   op_reference --write ROOT     brings both up to date in the source tree at ROOT
//   op_reference --check ROOT     exit status 1 when one is not
#include <twingrad/error.h>
#include <twingrad/op.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

namespace tg = twingrad;
namespace fs = std::filesystem;

struct FamilyText {
  tg::Family family;
  std::string_view name;
  std::string_view meaning;
};

// In the order of the enumeration; the names are those of the backends' files.
constexpr FamilyText families[] = {
    {tg::Family::view, "view", "another view of the input's memory; no kernel"},
    {tg::Family::elementwise, "elementwise", "one formula per element, with broadcasting"},
    {tg::Family::update, "update", "one pass of an optimizer over a parameter; made by the optimizers"},
    {tg::Family::reduce, "reduce", "over any axes, in a fixed order"},
    {tg::Family::arg_reduce, "arg_reduce", "the index of an extreme element along an axis"},
    {tg::Family::scan, "scan", "running sums along an axis"},
    {tg::Family::matmul, "matmul", "matrix products with batch axes"},
    {tg::Family::rows, "rows", "over the last axis: softmax, normalisation"},
    {tg::Family::index, "index", "reads and writes by index, checked"},
    {tg::Family::random, "random", "Philox4x32-10, the same bits on every device"},
    {tg::Family::copy, "copy", "moves data without arithmetic"},
};

std::string code(std::string_view text) {
  return "`" + std::string(text) + "`";
}

/// In a cell of a Markdown table.
std::string cell(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    escaped += c == '|' ? "\\|" : std::string(1, c);
  }
  return escaped;
}

std::string inputs_of(const tg::Op& op) {
  if (op.min_inputs == op.max_inputs) {
    return std::to_string(op.min_inputs);
  }
  return op.max_inputs > 8 ? std::to_string(op.min_inputs) + " or more"
                           : std::to_string(op.min_inputs) + " to " + std::to_string(op.max_inputs);
}

std::string gradient_of(const tg::Op& op) {
  if (op.gradient != nullptr) {
    return "yes";
  }
  return op.constant ? "constant" : "no";
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    text += (text.empty() ? "" : ", ") + word;
  }
  return text;
}

/// The files of one family in a backend's folder: elementwise.cpp, or elementwise_unary.cu and elementwise_binary.cu.
std::string files_of(const fs::path& root, std::string_view folder, std::string_view family) {
  std::vector<std::string> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(root / folder)) {
    const std::string stem = entry.path().stem().string();
    const std::string extension = entry.path().extension().string();
    const bool source = extension == ".cpp" || extension == ".cu";
    if (source && (stem == family || stem.starts_with(std::string(family) + "_"))) {
      found.push_back(code(std::string(folder) + "/" + entry.path().filename().string()));
    }
  }
  if (found.empty() && family == "arg_reduce") {
    return files_of(root, folder, "reduce");
  }
  if (found.empty()) {
    throw std::runtime_error("no file of " + std::string(folder) + "/ is named after the family " +
                             std::string(family));
  }
  std::sort(found.begin(), found.end());
  return joined(found);
}

using Rows = std::map<tg::Family, std::vector<const tg::Op*>>;

Rows rows_by_family() {
  Rows rows;
  for (const tg::Op* op : tg::all_ops()) {
    rows[op->family].push_back(op);
  }
  return rows;
}

std::string reference(const Rows& rows) {
  std::ostringstream text;
  text << "# Op reference\n\n"
       << "Generated from the op rows in `core/ops/`; do not edit. After a change to a row:\n"
       << "`build/dev/tests/op_reference --write .`\n\n"
       << "Each row is one op that nodes of the graph use. The functions a program calls are declared in `core/ops.h`; "
          "some of\nthem are made of several ops. *Gradient*: yes, no (asking for it through this op throws), or "
          "constant (the result\ndoes not change with its inputs).\n";
  for (const FamilyText& family : families) {
    const auto found = rows.find(family.family);
    if (found == rows.end()) {
      continue;
    }
    text << "\n## " << family.name << "\n\n"
         << family.meaning << "\n\n| op | inputs | what it computes | gradient |\n|---|---|---|---|\n";
    for (const tg::Op* op : found->second) {
      text << "| " << code(op->name) << " | " << inputs_of(*op) << " | " << cell(op->summary) << " | "
           << gradient_of(*op) << " |\n";
    }
  }
  return text.str();
}

std::string family_table(const Rows& rows, const fs::path& root) {
  std::ostringstream text;
  text << "| family | ops | CPU | CUDA |\n|---|---|---|---|\n";
  for (const FamilyText& family : families) {
    const auto found = rows.find(family.family);
    if (found == rows.end()) {
      continue;
    }
    std::vector<std::string> names;
    for (const tg::Op* op : found->second) {
      names.push_back(code(op->name));
    }
    const bool is_view = family.family == tg::Family::view;
    text << "| " << family.name << " | " << joined(names) << " | "
         << (is_view ? "needs no kernel" : files_of(root, "cpu", family.name)) << " | "
         << (is_view ? "needs no kernel" : files_of(root, "cuda", family.name)) << " |\n";
  }
  return text.str();
}

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw std::runtime_error("cannot read " + path.string());
  }
  return {std::istreambuf_iterator<char>(file), {}};
}

/// `text` with what stands between the two marker lines replaced.
std::string with_block(const std::string& text, const std::string& block) {
  constexpr std::string_view begin = "<!-- families: generated by op_reference -->\n";
  constexpr std::string_view end = "<!-- families: end -->\n";
  const std::size_t from = text.find(begin);
  const std::size_t to = text.find(end);
  if (from == std::string::npos || to == std::string::npos || to < from) {
    throw std::runtime_error("README.md lacks the markers of its table of families");
  }
  return text.substr(0, from + begin.size()) + block + text.substr(to);
}

int run(std::string_view mode, const fs::path& root) {
  const Rows rows = rows_by_family();
  const std::pair<fs::path, std::string> wanted[] = {
      {root / "docs/ops.md", reference(rows)},
      {root / "README.md", with_block(read(root / "README.md"), family_table(rows, root))},
  };
  bool up_to_date = true;
  for (const auto& [path, text] : wanted) {
    if (mode == "--write") {
      std::ofstream(path, std::ios::binary) << text;
    } else if (!fs::exists(path) || read(path) != text) {
      std::cerr << path.string() << " is not what the op rows say; run op_reference --write " << root.string() << '\n';
      up_to_date = false;
    }
  }
  return up_to_date ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 3 || (argv[1] != std::string_view("--write") && argv[1] != std::string_view("--check"))) {
      throw std::runtime_error("usage: op_reference --write|--check ROOT");
    }
    return run(argv[1], argv[2]);
  } catch (const std::exception& error) {
    std::cerr << "op_reference: " << error.what() << '\n';
    return 1;
  }
}
