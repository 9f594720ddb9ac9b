#pragma once

#include <cstring>
#include <memory>
#include <string_view>

#include "parsers/simd/kernel.h"

namespace penstock {

// A copy in a heap block that ends where a kernel may read no further, so that the address
// sanitizer sees what does. The padding holds `fill`, by default what a line could go on with.
class Padded {
 public:
  explicit Padded(std::string_view text, char fill = '7')
      : data_(new char[text.size() + simd::kPadding]), size_(text.size()) {
    text.copy(data_.get(), size_);
    std::memset(data_.get() + size_, fill, simd::kPadding);
  }
  [[nodiscard]] const char* data() const { return data_.get(); }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] std::string_view view() const { return {data_.get(), size_}; }

 private:
  std::unique_ptr<char[]> data_;
  size_t size_;
};

}  // namespace penstock
