#include "tests/fuzz/parsers/mutate.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/fuzz/parsers/random_packet.h"

namespace penstock::differential {
namespace {

using Pieces = std::vector<std::string>;

Pieces split(std::string_view text, char separator) {
  Pieces pieces;
  for (;;) {
    const size_t at = text.find(separator);
    pieces.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return pieces;
    text.remove_prefix(at + 1);
  }
}

std::string join(const Pieces& pieces, char separator) {
  std::string text;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (i != 0) text += separator;
    text += pieces[i];
  }
  return text;
}

std::string& any_of(Random& random, Pieces& pieces) { return pieces[random.below(pieces.size())]; }

// Duplicates, drops, swaps or moves a piece. There is at least one before and after.
void rearrange(Random& random, Pieces& pieces) {
  const size_t from = random.below(pieces.size());
  const size_t to = random.below(pieces.size());
  switch (random.below(4)) {
    case 0:
      pieces.insert(pieces.begin() + static_cast<ptrdiff_t>(to), std::string(pieces[from]));
      break;
    case 1:
      if (pieces.size() > 1) pieces.erase(pieces.begin() + static_cast<ptrdiff_t>(from));
      break;
    case 2:
      std::swap(pieces[from], pieces[to]);
      break;
    default:
      pieces[to] = pieces[from];
  }
}

// Makes a piece longer or shorter, mostly to a length next to a vector's width.
void resize(Random& random, std::string& piece) {
  const size_t size =
      random.one_in(4) ? piece.size() + random.below(3) - random.below(2) : random_length(random);
  if (size > 10'000) return;  // below zero
  if (size <= piece.size()) {
    piece.resize(size);
  } else if (random.one_in(2) || piece.empty()) {
    piece.insert(random.below(piece.size() + 1), random_text(random, size - piece.size()));
  } else {
    const char again = piece[random.below(piece.size())];
    piece.insert(random.below(piece.size() + 1), size - piece.size(), again);
  }
}

// Replaces a number, or changes one digit, sign, point or underscore of it.
void change_number(Random& random, std::string& piece) {
  if (piece.empty() || random.one_in(3)) {
    piece = random_number(random);
    return;
  }
  static constexpr std::string_view kParts = "0123456789012345678901234567890123456789._-+eExXpP";
  const char part = kParts[random.below(kParts.size())];
  const size_t at = random.below(piece.size());
  if (random.one_in(2)) {
    piece[at] = part;
  } else {
    piece.insert(at + random.below(2), 1, part);
  }
}

// The packed values of a metric, or the number of a field.
void change_numbers(Random& random, Pieces& fields) {
  std::string& field = random.one_in(2) ? fields[0] : any_of(random, fields);
  if (!field.empty() && (field[0] == '@' || field[0] == 'T')) {
    std::string number = field.substr(1);
    change_number(random, number);
    field = field[0] + number;
    return;
  }
  Pieces values = split(field, ':');
  if (values.size() == 1 || random.one_in(8)) values.push_back(random_number(random));
  std::string& value = values[1 + random.below(values.size() - 1)];
  change_number(random, value);
  field = join(values, ':');
}

// A piece of a field between `:` or `,` changes its length.
void resize_part(Random& random, std::string& field) {
  const char separator = random.one_in(2) ? ':' : ',';
  Pieces parts = split(field, separator);
  resize(random, any_of(random, parts));
  field = join(parts, separator);
}

void rearrange_parts(Random& random, std::string& field) {
  const char separator = random.one_in(2) ? ':' : ',';
  Pieces parts = split(field, separator);
  rearrange(random, parts);
  field = join(parts, separator);
}

void change_separator(Random& random, std::string& text) {
  static constexpr std::string_view kSeparators = "|:,\n#@T\r\\{}_";
  const size_t first =
      text.find_first_of(kSeparators, text.empty() ? 0 : random.below(text.size()));
  const char other = kSeparators[random.below(kSeparators.size())];
  if (first == std::string::npos) {
    text += other;
  } else if (random.one_in(3)) {
    text.insert(first, 1, other);
  } else if (random.one_in(4)) {
    text.erase(first, 1);
  } else {
    text[first] = other;
  }
}

// Writes an event's header anew, for what stands behind it.
void repair_event(Random& random, std::string& line) {
  const size_t colon = line.find(':');
  if (!line.starts_with("_e{") || colon == std::string::npos) return;
  const std::string_view body = std::string_view(line).substr(colon + 1);
  if (body.size() < 2) return;
  const size_t title = 1 + random.below(std::min<size_t>(body.size() - 1, 80));
  const size_t text = random.below(body.size() - title);
  std::string repaired = event_of(body.substr(0, title), body.substr(title + 1, text));
  repaired += body.substr(title + 1 + text);
  line = repaired;
}

void change_fields(Random& random, Pieces& lines) {
  std::string& line = any_of(random, lines);
  Pieces fields = split(line, '|');
  switch (random.below(8)) {
    case 0:
      rearrange(random, fields);
      break;
    case 1: {  // from another line
      Pieces others = split(any_of(random, lines), '|');
      any_of(random, fields) = any_of(random, others);
      break;
    }
    case 2:
      fields.push_back(random_field(random).substr(1));
      break;
    case 3:
    case 4:
      change_numbers(random, fields);
      break;
    case 5:
      resize_part(random, any_of(random, fields));
      break;
    case 6:
      rearrange_parts(random, any_of(random, fields));
      break;
    default:
      resize(random, any_of(random, fields));
  }
  line = join(fields, '|');
}

void change_lines(Random& random, Pieces& lines) {
  const size_t at = random.below(lines.size());
  switch (random.below(4)) {
    case 0:
      rearrange(random, lines);
      break;
    case 1:
      lines[at] = random_line(random);
      break;
    case 2:
      lines.insert(lines.begin() + static_cast<ptrdiff_t>(at), random_line(random));
      break;
    default:  // joins two lines
      if (at + 1 == lines.size()) return;
      lines[at] += lines[at + 1];
      lines.erase(lines.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
}

}  // namespace

std::string mutate(std::string input, size_t max_size, uint64_t seed) {
  Random random(seed);
  if (input.empty()) input = '\x03';
  char options = input[0];
  Pieces lines = split(std::string_view(input).substr(1), '\n');
  switch (random.below(16)) {
    case 0:
      options = static_cast<char>(random.next());
      break;
    case 1:
      repair_event(random, any_of(random, lines));
      break;
    case 2:
    case 3:
      change_separator(random, any_of(random, lines));
      break;
    case 4:
    case 5:
    case 6:
      change_lines(random, lines);
      break;
    default:
      change_fields(random, lines);
  }
  std::string result = options + join(lines, '\n');
  if (result.size() > max_size) result.resize(max_size);
  return result;
}

}  // namespace penstock::differential
