#include "dataplane/nic/eal.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "bpf/libbpf.h"
#include "dataplane/base/log.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

spdlog::level::level_enum level_of(uint32_t rte_level) {
  if (rte_level <= RTE_LOG_ERR) return spdlog::level::err;
  if (rte_level == RTE_LOG_WARNING) return spdlog::level::warn;
  return spdlog::level::debug;
}

struct FirstError {
  std::mutex mutex;
  std::string text;
};
FirstError& first_error() {
  static FirstError error;
  return error;
}

void log_line(spdlog::level::level_enum level, std::string_view source, std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  if (text.empty()) return;
  spdlog::log(level, "{}{}", source, text);
  if (level < spdlog::level::warn) return;
  const std::lock_guard lock(first_error().mutex);
  if (first_error().text.empty()) first_error().text = text;
}

// The write function of the stream DPDK logs to. rte_vlog flushes after each message, so that one
// call is one message.
ssize_t write_log(void* /*cookie*/, const char* text, size_t size) {
  log_line(level_of(static_cast<uint32_t>(rte_log_cur_msg_loglevel())), "dpdk: ", {text, size});
  return static_cast<ssize_t>(size);
}

int write_bpf_log(libbpf_print_level level, const char* format, va_list args) {
  char text[512];
  const int n = std::vsnprintf(text, sizeof text, format, args);
  if (n <= 0) return n;
  const auto to = level == LIBBPF_WARN ? spdlog::level::warn : spdlog::level::debug;
  log_line(to, "", {text, std::min<size_t>(static_cast<size_t>(n), sizeof text - 1)});
  return n;
}

void set_log_level(uint32_t quiet) {
  rte_log_set_global_level(spdlog::should_log(spdlog::level::debug) ? RTE_LOG_DEBUG : quiet);
}

absl::Status route_logs() {
  static FILE* const stream = fopencookie(nullptr, "w", {nullptr, write_log, nullptr, nullptr});
  if (stream == nullptr || rte_openlog_stream(stream) != 0) {
    return absl::InternalError("EAL: cannot route DPDK's log");
  }
  set_log_level(RTE_LOG_ERR);  // EAL's start warns of every hugepage size it does not find
  libbpf_set_print(write_bpf_log);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Eal>> Eal::start(const Plan& plan) {
  RETURN_IF_ERROR(route_logs());
  std::vector<std::string> args;
  for (uint16_t i = 0; i < plan.eal_arg_count; ++i) args.emplace_back(plan.str(plan.eal_args[i]));
  std::vector<char*> argv;
  std::string all;
  for (std::string& a : args) {
    argv.push_back(a.data());
    all += cat(all.empty() ? "" : " ", a);
  }
  argv.push_back(nullptr);
  if (rte_eal_init(static_cast<int>(args.size()), argv.data()) < 0) {
    return absl::UnavailableError(
        cat("DPDK's EAL cannot start: ", rte_strerror(rte_errno), "; its arguments were \"", all,
            "\". Ports need root, the CPUs named in penstock.cores, and hugepages unless "
            "penstock.hugepages is never; the lines above say which"));
  }
  set_log_level(RTE_LOG_WARNING);
  return std::unique_ptr<Eal>(new Eal);
}

// DPDK leaves its run-time folder behind; it carries our unique prefix, so it is ours alone.
Eal::~Eal() {
  const std::string folder = rte_eal_get_runtime_dir();
  rte_eal_cleanup();
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
}

std::string take_dpdk_error() {
  const std::lock_guard lock(first_error().mutex);
  return std::exchange(first_error().text, {});
}

}  // namespace penstock
