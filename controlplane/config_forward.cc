#include "controlplane/config_forward.h"

#include <algorithm>
#include <cctype>

#include "dataplane/base/strings.h"

namespace penstock {
namespace {

constexpr size_t kHostMax = 253;  // of a name in the DNS

bool is_host(std::string_view host) {
  return !host.empty() && host.size() <= kHostMax && std::ranges::all_of(host, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_' || c == ':' || c == '%';
  });
}

}  // namespace

void add_forward_target(const Value& where, ListenAddress target, ForwardConfig& out) {
  std::string& host = target.host;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  if (!is_host(host)) return where.fail("must name a host: a name or an address");
  if (std::ranges::find(out.targets, target) != out.targets.end()) {
    return where.fail(cat(target.text(), " is a forward target already; remove one"));
  }
  if (out.targets.size() == kPlanForwardTargetsMax) {
    return where.fail(cat("more than ", kPlanForwardTargetsMax, " forward targets"));
  }
  out.targets.push_back(std::move(target));
}

void read_forward(const Value& value, ForwardConfig& out) {
  Section s(value.problems(), value.node(), "penstock.forward.");
  if (auto v = s.get("targets")) {
    if (const auto list = v->items(kPlanForwardTargetsMax)) {
      for (const Value& item : *list) {
        const absl::StatusOr<ListenAddress> target = parse_host_port(item.text());
        if (target.ok()) {
          add_forward_target(item, *target, out);
        } else {
          item.fail(to_std(target.status().message()));
        }
      }
    }
  }
  if (auto v = s.get("batch")) v->read(out.batch);
  if (auto v = s.get("queue")) v->read_int(out.queue, kForwardQueueMin, kForwardQueueMax);
  s.finish();
}

}  // namespace penstock
