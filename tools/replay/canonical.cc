#include "tools/replay/canonical.h"

#include <algorithm>
#include <tuple>

namespace penstock::replay {

void CanonicalLines::series(const SeriesPoint& p) {
  begin('0', p.timestamp);
  part(p.name);
  key(p.suffix);
  key(p.host);
  key(p.tags);
  key(p.rate ? "rate" : "gauge");
  encoder_.series(p);
  end();
}

void CanonicalLines::sketch(const SketchPoint& p) {
  begin('0', p.timestamp);
  key(p.context.name);
  key(p.context.host);
  key(p.context.tags);
  key("sketch");
  encoder_.sketch(p);
  end();
}

void CanonicalLines::event(const segment::Event& e) {
  begin('1', e.timestamp);
  key(e.title);
  encoder_.event(e);
  end();
}

void CanonicalLines::service_check(const segment::ServiceCheck& c) {
  begin('2', c.timestamp);
  key(c.name);
  encoder_.service_check(c);
  end();
}

void CanonicalLines::take(std::string& out) {
  const std::string_view keys = keys_;
  const std::string_view text = text_;
  std::ranges::sort(entries_, {}, [&](const Entry& e) {
    return std::tuple(keys.substr(e.key, e.key_size), text.substr(e.line, e.line_size));
  });
  for (const Entry& e : entries_) out += text.substr(e.line, e.line_size);
  entries_.clear();
  keys_.clear();
  text_.clear();
}

void CanonicalLines::begin(char section, int64_t time) {
  entry_.key = keys_.size();
  entry_.line = text_.size();
  keys_ += section;
  const uint64_t ascending = static_cast<uint64_t>(time) ^ (uint64_t{1} << 63);
  for (int shift = 56; shift >= 0; shift -= 8) keys_ += static_cast<char>(ascending >> shift);
}

// Parts end with two NULs, and those within are told from them by what follows, so that a name
// sorts before its continuations.
void CanonicalLines::key(std::string_view text) {
  part(text);
  keys_.append(2, '\0');
}

void CanonicalLines::part(std::string_view text) {
  for (size_t nul = 0; (nul = text.find('\0')) != text.npos; text.remove_prefix(nul + 1)) {
    keys_ += text.substr(0, nul + 1);
    keys_ += '\1';
  }
  keys_ += text;
}

void CanonicalLines::key(std::span<const std::string_view> tags) {
  for (const std::string_view tag : tags) {
    keys_ += '\1';
    key(tag);
  }
  keys_ += '\0';
}

void CanonicalLines::end() {
  entry_.key_size = keys_.size() - entry_.key;
  entry_.line_size = text_.size() - entry_.line;
  if (entry_.line_size == 0) {
    keys_.resize(entry_.key);  // not finite
    return;
  }
  entries_.push_back(entry_);
}

}  // namespace penstock::replay
