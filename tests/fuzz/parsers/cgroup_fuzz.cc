#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "parsers/cgroup/container.h"

// One text, read as a cgroup file and as a file of mounts.
namespace penstock::cgroup {
namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

// What is given for an id is one, a part of the text, and found again when it is all there is.
void check_id(std::string_view id, std::string_view text) {
  if (id.empty()) return;
  require(id.data() >= text.data() && id.data() + id.size() <= text.data() + text.size());
  require(id.size() >= 28 && id.size() <= kContainerMax);
  require(std::all_of(id.begin(), id.end(), [](char c) {
    return c == '-' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  }));
  require(id.size() == 64 || std::count(id.begin(), id.end(), '-') == (id.size() == 28 ? 4 : 1) ||
          id.find('-') == 32);
  const std::string again = "0::/a/" + std::string(id);
  require(find_container(again).container == id);
}

}  // namespace
}  // namespace penstock::cgroup

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock::cgroup;
  // In a heap block of exactly its size, so that a read past its end is seen.
  const auto block = std::make_unique<char[]>(size);
  std::copy_n(data, size, block.get());
  const std::string_view text(block.get(), size);
  const Membership m = find_container(text);
  check_id(m.container, text);
  require(m.container.empty() || !m.at_root);
  check_id(find_mounted_container(text), text);
  return 0;
}
