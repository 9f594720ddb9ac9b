#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <numeric>

#include "controlplane/config.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};
constexpr Unit kSizeUnits[] = {{"", 1},
                               {"b", 1},
                               {"kib", 1024},
                               {"mib", 1048576},
                               {"gib", 1073741824},
                               {"kb", 1000.0},
                               {"mb", 1000000.0},
                               {"gb", 1000000000.0},
                               {"k", 1024},
                               {"m", 1048576},
                               {"g", 1073741824}};
constexpr Unit kDurationUnits[] = {{"ns", 1e-6}, {"us", 1e-3},   {"ms", 1},
                                   {"s", 1000},  {"m", 60000.0}, {"h", 3600000.0}};

// Takes a number and the letters behind it off `text`.
bool take(std::string_view& text, double& number, std::string& unit) {
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc() || number < 0) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  unit.clear();
  while (!text.empty() && std::isalpha(static_cast<unsigned char>(text.front())) != 0) {
    unit += static_cast<char>(std::tolower(static_cast<unsigned char>(text.front())));
    text.remove_prefix(1);
  }
  return true;
}

const Unit* find_unit(std::span<const Unit> units, std::string_view name) {
  const auto it = std::ranges::find_if(units, [&](const Unit& u) { return u.name == name; });
  return it == units.end() ? nullptr : &*it;
}

}  // namespace

absl::StatusOr<uint64_t> parse_size(std::string_view text) {
  constexpr double kMax = 1ull << 50;
  std::string_view rest = text;
  double number = 0;
  std::string unit;
  const bool taken = take(rest, number, unit) && rest.empty();
  const Unit* u = taken ? find_unit(kSizeUnits, unit) : nullptr;
  if (u == nullptr || number * u->factor > kMax) {
    return absl::InvalidArgumentError("must be a size such as 512, 64KiB, 32MiB or 1GiB");
  }
  return static_cast<uint64_t>(number * u->factor);
}

absl::StatusOr<uint64_t> parse_duration_ms(std::string_view text) {
  constexpr double kMax = 1e12;
  const absl::Status bad =
      absl::InvalidArgumentError("must be a duration such as 100ms, 10s or 1h30m");
  if (text.empty()) return bad;
  double total = 0;
  while (!text.empty()) {
    double number = 0;
    std::string unit;
    if (!take(text, number, unit)) return bad;
    const Unit* u = find_unit(kDurationUnits, unit);
    if (u == nullptr) return bad;
    total += number * u->factor;
  }
  if (total > kMax) return bad;
  return static_cast<uint64_t>(total);
}

absl::StatusOr<IpAddress> parse_ip(std::string_view text) {
  IpAddress address{};
  const std::string copy(text);
  if (::inet_pton(AF_INET, copy.c_str(), address.bytes.data()) == 1) {
    address.family = 4;
    return address;
  }
  if (::inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) == 1) {
    address.family = 6;
    return address;
  }
  return absl::InvalidArgumentError("must be an IPv4 or IPv6 address");
}

absl::StatusOr<ListenAddress> parse_host_port(std::string_view text) {
  const absl::Status bad = absl::InvalidArgumentError(
      "must be \"host:port\" with a port from 1 to 65535, such as 10.0.0.2:8125 or [::1]:8125");
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return bad;
  const std::string_view digits = text.substr(colon + 1);
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size() || port == 0) return bad;
  std::string_view host = text.substr(0, colon);
  if (host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return bad;  // an IPv6 address, whose end nobody can tell
  }
  return ListenAddress{std::string(host), port};
}

absl::StatusOr<ListenAddress> parse_listen(std::string_view text) {
  absl::StatusOr<ListenAddress> address = parse_host_port(text);
  if (address.ok() && address->host == "localhost") address->host = "127.0.0.1";
  if (address.ok() && parse_ip(address->host).ok()) return address;
  return absl::InvalidArgumentError(
      "must be \"address:port\" with a port from 1 to 65535, such as 127.0.0.1:9126 or [::1]:9126");
}

std::string ListenAddress::text() const {
  const bool v6 = host.find(':') != std::string::npos;
  return v6 ? cat("[", host, "]:", port) : cat(host, ":", port);
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

std::string nearest(std::string_view word, const std::vector<std::string_view>& among) {
  // A name cut short is meant more often than another of the same distance.
  const auto cut = std::ranges::find_if(
      among, [&](std::string_view candidate) { return candidate.starts_with(word); });
  if (cut != among.end()) return std::string(*cut);
  const auto it = std::ranges::min_element(
      among, {}, [&](std::string_view candidate) { return edit_distance(word, candidate); });
  return it == among.end() ? std::string() : std::string(*it);
}

}  // namespace penstock
