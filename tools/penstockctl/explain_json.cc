#include "tools/penstockctl/explain_json.h"

#include <algorithm>
#include <cmath>

#include "controlplane/exporters/text.h"
#include "tools/penstockctl/explain_text.h"

namespace penstock {
namespace {

using dogstatsd::Class;
using dogstatsd::Type;

// Line breaks to Unicode, not to JSON: escaped, so that an object stays one line to everybody.
std::string_view escaped_break(std::string_view sequence) {
  if (sequence == "\xc2\x85") return "\\u0085";
  if (sequence == "\xe2\x80\xa8") return "\\u2028";
  if (sequence == "\xe2\x80\xa9") return "\\u2029";
  return {};
}

void append_string(std::string& out, std::string_view bytes) {
  out += '"';
  while (!bytes.empty()) {
    const size_t length = utf8_length(bytes);
    const std::string_view sequence = bytes.substr(0, length);
    if (length == 0) {
      out += "\\udc";
      append_hex(out, bytes[0]);
    } else if (const std::string_view escaped = escaped_break(sequence); !escaped.empty()) {
      out += escaped;
    } else {
      append_json_text(out, sequence);
    }
    bytes.remove_prefix(std::max<size_t>(length, 1));
  }
  out += '"';
}

void append_value(std::string& out, std::string_view text) { append_string(out, text); }
void append_value(std::string& out, bool value) { out += value ? "true" : "false"; }
void append_value(std::string& out, double value) {
  if (std::isfinite(value)) return append_double(out, value);
  out += '"';
  append_double(out, value);
  out += '"';
}
void append_value(std::string& out, int64_t value) { append_number(out, value); }
void append_value(std::string& out, uint64_t value) { append_number(out, value); }

// A comma before every item but the first.
class Commas {
 public:
  explicit Commas(std::string& out) : out_(out) {}
  std::string& next() {
    if (!first_) out_ += ',';
    first_ = false;
    return out_;
  }

 private:
  std::string& out_;
  bool first_ = true;
};

// One JSON object, from construction to destruction.
class Object {
 public:
  explicit Object(std::string& out) : out_(out), commas_(out) { out_ += '{'; }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  ~Object() { out_ += '}'; }

  // The place of a value.
  std::string& key(std::string_view name) {
    append_string(commas_.next(), name);
    out_ += ':';
    return out_;
  }
  template <class T>
  void put(std::string_view name, const T& value) {
    append_value(key(name), value);
  }
  // Left out when empty or zero, as spec 12 has it.
  void put_optional(std::string_view name, std::string_view text) {
    if (!text.empty()) put(name, text);
  }
  template <class Integer>
  void put_optional(std::string_view name, Integer value) {
    if (value != 0) put(name, value);
  }

 private:
  std::string& out_;
  Commas commas_;
};

void put_external_data(Object& o, std::string_view text) {
  const dogstatsd::ExternalData external = dogstatsd::parse_external_data(text);
  if (!external.init && external.container_name.empty() && external.pod_uid.empty()) return;
  Object data(o.key("external_data"));
  data.put("init", external.init);
  data.put("container_name", external.container_name);
  data.put("pod_uid", external.pod_uid);
}

// What metrics, events and checks share.
template <class Message>
void put_common(Object& o, const Message& m) {
  if (m.has_tags) {
    std::string& out = o.key("tags");
    out += '[';
    Commas commas(out);
    dogstatsd::for_each_tag(m.tags,
                            [&](std::string_view tag) { append_string(commas.next(), tag); });
    out += ']';
  }
  o.put_optional("timestamp", m.timestamp);
  const dogstatsd::LocalData local = dogstatsd::parse_local_data(m.origin.local_data);
  o.put_optional("container_id", local.container_id);
  o.put_optional("inode", local.inode);
  put_external_data(o, m.origin.external_data);
  o.put_optional("cardinality", m.origin.cardinality);
}

// Type and values; `finite`: without those the server discards.
void put_values(Object& o, const Explained& e, bool finite) {
  o.put("type", dogstatsd::type_symbol(e.metric.type));
  std::string& out = o.key("values");
  out += '[';
  Commas commas(out);
  if (e.metric.type == Type::kSet) append_string(commas.next(), e.value);
  for (const double v : e.values) {
    if (!finite || std::isfinite(v)) append_value(commas.next(), v);
  }
  out += ']';
}

void put_metric(Object& o, const Explained& e) {
  o.put("kind", std::string_view("metric"));
  o.put("name", e.name);
  put_values(o, e, /*finite=*/false);
  o.put("rate", e.metric.rate);
  put_common(o, e.metric);
}

void put_event(Object& o, const Explained& e) {
  o.put("kind", std::string_view("event"));
  o.put("title", std::string_view(e.title));
  o.put("text", std::string_view(e.text));
  o.put("priority", e.event.priority);
  o.put("alert_type", e.event.alert_type);
  o.put_optional("hostname", e.event.hostname);
  o.put_optional("aggregation_key", e.event.aggregation_key);
  o.put_optional("source_type", e.event.source_type);
  put_common(o, e.event);
}

void put_check(Object& o, const dogstatsd::ServiceCheck& check) {
  o.put("kind", std::string_view("service_check"));
  o.put("name", check.name);
  o.put("status", uint64_t{check.status});
  o.put_optional("hostname", check.hostname);
  o.put_optional("message", check.message);
  put_common(o, check);
}

void put_expect(Object& o, const Explained& e) {
  if (!e.ok()) {
    o.put("error", true);
    o.put("reason", error_name(e));
    return;
  }
  switch (e.what) {
    case Class::kMetric:
      return put_metric(o, e);
    case Class::kEvent:
      return put_event(o, e);
    case Class::kServiceCheck:
      return put_check(o, e.check);
  }
}

void put_identity(Object& o, const Enriched& identity) {
  o.put("host", identity.host);
  std::string& out = o.key("tags");
  out += '[';
  Commas commas(out);
  for (const std::string_view tag : identity.tags) append_string(commas.next(), tag);
  out += ']';
}

void put_final_metric(Object& o, const Explained& e) {
  const FinalMessage& final = e.final;
  o.put("mapped_name", final.identity.mapped);
  o.put("name", final.identity.name);
  put_identity(o, final.identity);
  put_values(o, e, /*finite=*/true);
  o.put("rate", final.rate);
  o.put("context_id", std::string_view(context_id_text(final.context_id)));
  const std::string* entry = final.identity.filtered;
  o.put("filtered", entry != nullptr);
  if (entry != nullptr) o.put("filtered_by", std::string_view(*entry));
  Object samples(o.key("samples"));
  for (const SampleCount& s : final.samples) samples.put(s.counter, uint64_t{s.samples});
}

void put_final(Object& o, const Explained& e) {
  if (e.what == Class::kMetric) {
    put_final_metric(o, e);
  } else {
    put_identity(o, e.final.identity);
  }
  if (e.truncated) o.put("truncated", true);
}

}  // namespace

void append_expect(std::string& out, const Explained& e) {
  Object o(out);
  put_expect(o, e);
}

void append_explained(std::string& out, const Explained& e) {
  Object o(out);
  o.put("in", e.in);
  if (e.too_long) o.put("in_bytes", uint64_t{e.bytes});
  {
    Object parsed(o.key("parsed"));
    put_expect(parsed, e);
    if (!e.ok()) parsed.put("position", uint64_t{e.position});
  }
  if (!e.ok()) return;
  Object final(o.key("final"));
  put_final(final, e);
}

}  // namespace penstock
