#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "parsers/simd/kernel.h"

namespace penstock {

// Traffic in memory: `distinct` different lines (less their values) in random order, in packets of
// up to `packet_bytes`, the same bytes in every run.
struct Corpus {
  std::vector<std::string> packets;  // each with simd::kPadding bytes more
  size_t lines = 0;
  size_t bytes = 0;

  struct Shape {
    bool tagged;  // five tags, about 115 bytes a line; else untagged, about 28
    bool mixed;   // 50 % c, 20 % g, 10 % h, d and s; else counters only
    size_t distinct;
    size_t packet_bytes = 1400;
  };
  explicit Corpus(const Shape& shape) {
    std::mt19937_64 random(42);  // NOLINT(cert-msc51-cpp): the same bytes in every run
    while (lines < 2 * shape.distinct + 20'000) {
      std::string packet;
      do {
        packet += line(shape, random() % shape.distinct, random) + '\n';
        ++lines;
      } while (packet.size() + (shape.tagged ? 125 : 32) <= shape.packet_bytes);
      bytes += packet.size();
      packets.push_back(packet + std::string(simd::kPadding, '\0'));
    }
  }

 private:
  static std::string value(std::mt19937_64& random) {
    const std::string whole = std::to_string(random() % (random() % 2 != 0 ? 1000 : 100'000));
    return random() % 2 != 0 ? whole : whole + "." + std::to_string(random() % 1000);
  }

  // One line in ten of those with tags has a rate.
  static std::string line(const Shape& shape, size_t context, std::mt19937_64& random) {
    static constexpr const char* kTypes[] = {"c", "c", "c", "c", "c", "g", "g", "h", "d", "s"};
    const char* type = shape.mixed ? kTypes[context % 10] : "c";
    if (!shape.tagged) {
      return "service.requests." + std::to_string(context) + ":" + value(random).substr(0, 4) +
             "|" + type;
    }
    return "service.req." + std::to_string(context % 1000) + ":" + value(random) + "|" + type +
           (context % 10 == 3 ? "|@0.5" : "") +
           "|#env:production,service:checkout,region:eu-west-1,host_group:" +
           std::to_string(context / 1000) + ",endpoint:/v1/orders";
  }
};

}  // namespace penstock
