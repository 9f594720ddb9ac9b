#include "dataplane/origin/resolver.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "dataplane/api/io_memory.h"
#include "dataplane/base/log.h"

namespace penstock::origin {
namespace {

using std::chrono::microseconds;
using std::chrono::minutes;
using std::chrono::steady_clock;

// Few, so that the packets of the first do not wait for the last.
constexpr size_t kBurst = 16;
// Every question wakes the sleeper, and the stop does.
constexpr microseconds kSleep{10'000'000};

}  // namespace

absl::StatusOr<std::unique_ptr<Resolver>> Resolver::create(const Plan& plan, Senders& senders) {
  ASSIGN_OR_RETURN(std::unique_ptr<Sleeper> sleeper, Sleeper::create());
  return std::unique_ptr<Resolver>(new Resolver(plan, senders, std::move(sleeper)));
}

Resolver::Resolver(const Plan& plan, Senders& senders, std::unique_ptr<Sleeper> sleeper)
    : senders_(senders),
      sleeper_(std::move(sleeper)),
      questions_(origin_places_of(plan)),
      answers_(origin_places_of(plan)),
      lookup_(std::string(plan.str(plan.proc_root))) {}

void Resolver::run(const std::atomic<bool>& stop, const std::function<void()>& answered) {
  while (!stop.load(std::memory_order_acquire)) {
    if (answer_some() != 0) {
      answered();
      continue;
    }
    sleeper_->prepare();
    if (!questions_.empty() || stop.load(std::memory_order_acquire)) {
      sleeper_->cancel();
    } else {
      sleeper_->wait(kSleep);
    }
  }
}

size_t Resolver::answer_some() {
  size_t count = 0;
  for (Question q; count < kBurst && questions_.pop(q); ++count) answers_.push(answer(q));
  return count;
}

Resolver::Answer Resolver::answer(const Question& q) {
  const ContainerLookup::Found found = lookup_.find(q.pid);
  if (found.outcome == Outcome::kError) complain(q.pid, found.error);
  if (found.outcome != Outcome::kContainer) return {q.ticket, 0, found.outcome};
  const uint32_t origin = senders_.id_of(found.container);
  return {q.ticket, origin, origin != 0 ? Outcome::kContainer : Outcome::kFull};
}

// A process that has ended meanwhile is nothing to speak of. Once a minute: there may be as many as
// there are packets.
void Resolver::complain(uint32_t pid, int error) {
  if (error == ENOENT || error == ESRCH) return;
  const auto now = steady_clock::now();
  if (now < next_complaint_) return;
  next_complaint_ = now + minutes(1);
  spdlog::warn("origin detection: {}/{}/cgroup: {}; packets of such processes have no origin",
               lookup_.proc_root(), pid, strerror(error));
}

}  // namespace penstock::origin
