#include "tests/cuda_emulator/shared_memory.h"

#include <elf.h>
#include <link.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace cuda_emulator {
namespace {

struct Range {
  std::uintptr_t address;
  std::size_t bytes;
};

template <class T>
bool read_at(std::ifstream& file, std::uint64_t offset, T* into, std::size_t count) {
  file.seekg(static_cast<std::streamoff>(offset));
  file.read(reinterpret_cast<char*>(into), static_cast<std::streamsize>(count * sizeof(T)));
  return file.good();
}

/// Sections of one file that hold shared variables.
void add_sections(const std::string& path, std::uintptr_t base, std::vector<Range>& ranges) {
  std::ifstream file(path, std::ios::binary);
  ElfW(Ehdr) header{};
  if (!file || !read_at(file, 0, &header, 1) || header.e_shoff == 0 || header.e_shstrndx >= header.e_shnum) {
    return;
  }
  std::vector<ElfW(Shdr)> sections(header.e_shnum);
  if (!read_at(file, header.e_shoff, sections.data(), sections.size())) {
    return;
  }
  std::string names(sections[header.e_shstrndx].sh_size, '\0');
  if (!read_at(file, sections[header.e_shstrndx].sh_offset, names.data(), names.size())) {
    return;
  }
  for (const ElfW(Shdr) & section : sections) {
    const std::string_view name = names.c_str() + section.sh_name;
    if (name.starts_with(".noinit") && (section.sh_flags & SHF_ALLOC) != 0) {
      ranges.push_back({base + section.sh_addr, section.sh_size});
    }
  }
}

int add_object(dl_phdr_info* info, std::size_t, void* ranges) {
  const bool program = info->dlpi_name == nullptr || *info->dlpi_name == '\0';
  add_sections(program ? "/proc/self/exe" : info->dlpi_name, info->dlpi_addr,
               *static_cast<std::vector<Range>*>(ranges));
  return 0;
}

int count_loads(dl_phdr_info* info, std::size_t, void* data) {
  *static_cast<unsigned long long*>(data) = info->dlpi_adds;
  return 1;
}

const std::vector<Range>& shared_ranges() {
  static auto* const ranges = new std::vector<Range>;
  static unsigned long long known_loads = 0;
  unsigned long long loads = 0;
  dl_iterate_phdr(&count_loads, &loads);
  if (known_loads != loads) {
    ranges->clear();
    dl_iterate_phdr(&add_object, ranges);
    known_loads = loads;
  }
  return *ranges;
}

/// Not std::memset and its like: between the variables lie zones that the address sanitizer guards.
void fill(const Range& range) {
  void* target = reinterpret_cast<void*>(range.address);
  std::size_t bytes = range.bytes;
  asm volatile("rep stosb" : "+D"(target), "+c"(bytes) : "a"(0xff) : "memory");
}
bool is_filled(const Range& range) {
  const void* target = reinterpret_cast<const void*>(range.address);
  std::size_t bytes = range.bytes;
  bool equal = true;
  asm volatile("cmp %%rax, %%rax\n\trepe scasb" : "+D"(target), "+c"(bytes), "=@cce"(equal) : "a"(0xff) : "memory");
  return equal;
}

}  // namespace

void spoil_shared_memory() {
  for (const Range& range : shared_ranges()) {
    fill(range);
  }
}

bool shared_memory_was_written() {
  for (const Range& range : shared_ranges()) {
    if (!is_filled(range)) {
      return true;
    }
  }
  return false;
}

}  // namespace cuda_emulator
