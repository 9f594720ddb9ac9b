#pragma once

#include <bit>
#include <span>
#include <string>

#include "dataplane/api/segment.h"
#include "dataplane/base/strings.h"

// Rows as text and rows into a Writer, for tests and fuzzers of Segments.

namespace penstock::segment {

inline std::string show(double v) { return cat(v, "/", std::bit_cast<uint64_t>(v)); }

// Every row as one line of text.
struct Dump : Reader::Visitor {
  std::string out;

  static std::string list(std::span<const std::string_view> tags) {
    std::string s = "[";
    for (const std::string_view t : tags) s += cat(t, ";");
    return s + "]";
  }
  static std::string text(const Context& c) { return cat(c.name, "@", c.host, list(c.tags)); }
  static std::string text(const Summary& s) {
    return cat(" n=", s.count, text(s.exact_sum()), " ", show(s.min), " ", show(s.max), " ",
               show(s.avg), " of ", s.samples, text(s.weighted_sum()));
  }
  static std::string text(std::span<const Bin> bins) {
    std::string s;
    for (const Bin& b : bins) s += cat(" ", b.key, "x", b.count);
    return s;
  }

  static std::string text(const ExactSum& sum) {
    return cat(" ", show(sum.high), sum.low == 0 ? "" : cat("+", show(sum.low)));
  }
  void counter(const Context& c, ExactSum sum) override {
    out += cat("c ", text(c), text(sum), "\n");
  }
  void gauge(const Context& c, double value, int64_t time_ms, uint32_t shard) override {
    out += cat("g ", text(c), " ", show(value), " ", time_ms, " ", shard, "\n");
  }
  void set(const Context& c, std::span<const uint64_t> members) override {
    out += cat("s ", text(c));
    for (const uint64_t m : members) out += cat(" ", m);
    out += "\n";
  }
  void histogram(const Context& c, const Summary& s, std::span<const WeightedValue> values,
                 std::span<const Bin> bins) override {
    out += cat("h ", text(c), text(s));
    for (const WeightedValue& v : values) out += cat(" ", show(v.value), "*", v.weight);
    out += text(bins) + "\n";
  }
  void distribution(const Context& c, const Summary& s, std::span<const Bin> bins) override {
    out += cat("d ", text(c), text(s), text(bins), "\n");
  }
  void timestamped(Kind kind, const Context& c, int64_t timestamp, double value) override {
    out += cat("t", static_cast<int>(kind), " ", text(c), " ", timestamp, " ", show(value), "\n");
  }
  void event(const Event& e) override {
    out += cat("e ", e.title, "|", e.text, "|", e.timestamp, "|", e.hostname, "|",
               e.aggregation_key, "|", e.source_type, "|", e.priority, "|", e.alert_type, "|");
    out += cat(e.container_id, "|", e.cardinality, "|", e.inode, "|", e.external_data, "|",
               list(e.tags), "\n");
  }
  void service_check(const ServiceCheck& c) override {
    out += cat("k ", c.name, "|", static_cast<int>(c.status), "|", c.timestamp, "|", c.hostname,
               "|", c.message, "|", c.container_id, "|", c.cardinality, "|", c.inode, "|",
               c.external_data, "|", list(c.tags), "\n");
  }
};

// Forwards to a Writer, so that one function can fill a Writer and a Dump.
struct Tee : Reader::Visitor {
  explicit Tee(const Meta& meta) : w(meta) {}
  Writer w;

  void counter(const Context& c, ExactSum v) override { w.counter(c, v); }
  void gauge(const Context& c, double v, int64_t t, uint32_t s) override { w.gauge(c, v, t, s); }
  void set(const Context& c, std::span<const uint64_t> m) override { w.set(c, m); }
  void histogram(const Context& c, const Summary& s, std::span<const WeightedValue> v,
                 std::span<const Bin> b) override {
    w.histogram(c, s, v, b);
  }
  void distribution(const Context& c, const Summary& s, std::span<const Bin> b) override {
    w.distribution(c, s, b);
  }
  void timestamped(Kind k, const Context& c, int64_t t, double v) override {
    w.timestamped(k, c, t, v);
  }
  void event(const Event& e) override { w.event(e); }
  void service_check(const ServiceCheck& c) override { w.service_check(c); }
};

}  // namespace penstock::segment
