#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "dataplane/api/plan.h"
#include "dataplane/base/status.h"
#include "dataplane/core/senders.h"
#include "dataplane/core/sleeper.h"
#include "dataplane/origin/container_lookup.h"
#include "dataplane/origin/queue.h"

namespace penstock::origin {

// The thread that reads files, so that the one that asks need not: from a process to the id of its
// container in Senders.
class Resolver {
 public:
  struct Question {
    uint32_t ticket;  // the asker's
    uint32_t pid;
  };
  struct Answer {
    uint32_t ticket;
    uint32_t origin;  // id in Senders; 0 unless kContainer
    Outcome outcome;
  };

  // The resolver is the one thread that adds to `senders`, which outlives it. At most
  // `origin_places_of` the Plan are unanswered at a time.
  static absl::StatusOr<std::unique_ptr<Resolver>> create(const Plan& plan, Senders& senders);

  // The asking thread. `ask` wakes nobody; `wake` after the last question of a burst.
  void ask(const Question& question) { questions_.push(question); }
  void wake() { sleeper_->wake(); }
  bool poll(Answer& answer) { return answers_.pop(answer); }

  // The resolver's thread. Answers until `stop` is set (`wake` after setting it); calls `answered`
  // after each burst of answers.
  void run(const std::atomic<bool>& stop, const std::function<void()>& answered);
  // The resolver's thread. One burst; returns how many were answered.
  size_t answer_some();

 private:
  Resolver(const Plan& plan, Senders& senders, std::unique_ptr<Sleeper> sleeper);
  Answer answer(const Question& question);
  void complain(uint32_t pid, int error);

  Senders& senders_;
  std::unique_ptr<Sleeper> sleeper_;
  Queue<Question> questions_;
  Queue<Answer> answers_;
  ContainerLookup lookup_;  // the resolver's thread
  std::chrono::steady_clock::time_point next_complaint_{};
};

}  // namespace penstock::origin
