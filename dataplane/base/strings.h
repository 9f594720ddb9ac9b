#pragma once

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace penstock {

// The one edge between the two string views: Debian 12's Abseil has its own `absl::string_view`,
// which does not convert. Penstock uses `std::string_view`; calls into Abseil go through here.
inline absl::string_view to_absl(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view to_std(absl::string_view s) { return {s.data(), s.size()}; }

namespace internal {
template <class T>
const T& cat_arg(const T& value) {
  return value;
}
inline absl::string_view cat_arg(const std::string_view& s) { return to_absl(s); }
}  // namespace internal

// `absl::StrCat` that takes `std::string_view` too.
template <class... Args>
std::string cat(const Args&... args) {
  return absl::StrCat(internal::cat_arg(args)...);
}

}  // namespace penstock
