#include "dataplane/origin/origins.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "dataplane/api/io_memory.h"
#include "tests/unit/origin/fake_proc.h"

namespace penstock::origin {
namespace {

// Origins whose clock and whose resolver the test moves. A packet is told from another by its flow.
class OriginsTest : public testing::Test {
 protected:
  static constexpr uint32_t kPlaces = 8;

  void create(uint32_t origins = 64) {
    plan_->io_buffers = 2 * kPlaces;
    plan_->listener_count = 2;
    plan_->limits.origins = origins;
    plan_->proc_root = plan_->add_text(proc_.root());
    senders_ = std::make_unique<Senders>(origins);
    auto resolver = Resolver::create(*plan_, *senders_);
    ASSERT_TRUE(resolver.ok()) << resolver.status();
    resolver_ = *std::move(resolver);
    origins_ =
        std::make_unique<Origins>(*plan_, *resolver_, std::vector<OriginStats*>{&stats_, nullptr});
  }

  // What has been delivered since the last call: "FLOW" or "FLOW=CONTAINER'S FIRST DIGIT".
  std::vector<std::string> delivered() { return std::exchange(delivered_, {}); }

  auto collect() {
    return [this](const Packet& p) {
      std::string text = std::to_string(p.flow);
      if (p.origin != 0) text.append({'=', senders_->tag(p.origin).back()});
      delivered_.push_back(text);
    };
  }

  // A pass in which these packets come, in the order of their numbers.
  void pass(std::initializer_list<Credentials> senders) {
    origins_->begin_pass(static_cast<int64_t>(now_ms_));
    origins_->settle(collect());
    for (const Credentials& sender : senders) {
      Packet p{};
      p.flow = ++sent_;
      origins_->take(p, sender, 0, collect());
    }
    origins_->end_pass();
  }
  void pass(uint32_t pid) { pass({Credentials{pid, 0, 0}}); }

  // The resolver answers all it was asked; how much that was.
  size_t answer() {
    size_t count = 0;
    while (const size_t n = resolver_->answer_some()) count += n;
    return count;
  }

  // Of the six outcomes, the sum.
  [[nodiscard]] uint64_t counted() const {
    return stats_.origin_container.get() + stats_.origin_none.get() + stats_.origin_errors.get() +
           stats_.origin_replayed.get() + stats_.origin_unresolved.get() + stats_.origin_full.get();
  }

  const FakeProc proc_;
  std::unique_ptr<Plan> plan_ = make_plan();
  OriginStats stats_;
  std::unique_ptr<Senders> senders_;
  std::unique_ptr<Resolver> resolver_;
  std::unique_ptr<Origins> origins_;
  uint64_t now_ms_ = 1'700'000'000'000;
  uint32_t sent_ = 0;
  std::vector<std::string> delivered_;
};

using Names = std::vector<std::string>;

TEST_F(OriginsTest, TheFirstPacketWaitsForItsOriginAndTheNextDoesNot) {
  create();
  proc_.put(5, container('a'));
  pass(5);
  pass(5);
  EXPECT_EQ(delivered(), Names{});
  EXPECT_EQ(origins_->waiting(), 2u);
  EXPECT_EQ(answer(), 1u);
  pass(5);
  EXPECT_EQ(delivered(), (Names{"1=a", "2=a", "3=a"}));
  EXPECT_EQ(origins_->waiting(), 0u);
  EXPECT_EQ(answer(), 0u);
  EXPECT_EQ(stats_.origin_container.get(), 3u);
  EXPECT_EQ(stats_.origin_hits.get(), 1u);
  EXPECT_EQ(stats_.origin_lookups.get(), 1u);
  EXPECT_EQ(stats_.origin_waited.get(), 2u);
}

TEST_F(OriginsTest, NoContainerIsRememberedToo) {
  create();
  proc_.put(5, "");
  pass(5);
  answer();
  pass(5);
  EXPECT_EQ(delivered(), (Names{"1", "2"}));
  EXPECT_EQ(stats_.origin_none.get(), 2u);
  EXPECT_EQ(stats_.origin_errors.get(), 0u);
  EXPECT_EQ(stats_.origin_lookups.get(), 1u);
}

// A process id may be another process's after a minute, and its container is looked up again.
TEST_F(OriginsTest, IsRememberedForAMinute) {
  create();
  proc_.put(5, container('a'));
  pass(5);
  answer();
  pass({});
  proc_.put(5, container('b'));
  now_ms_ += Origins::kLifetimeMs - 1;
  pass(5);
  EXPECT_EQ(delivered(), (Names{"1=a", "2=a"}));
  ++now_ms_;
  pass(5);
  EXPECT_EQ(delivered(), Names{});
  answer();
  pass(5);
  EXPECT_EQ(delivered(), (Names{"3=b", "4=b"}));
  proc_.end(5);
  now_ms_ += Origins::kLifetimeMs;
  pass(5);
  answer();
  pass({});
  EXPECT_EQ(delivered(), Names{"5"});
  EXPECT_EQ(stats_.origin_errors.get(), 1u);
}

TEST_F(OriginsTest, AStepOfTheClockOnlyAsksAgain) {
  create();
  proc_.put(5, container('a'));
  for (const int64_t step : {0, -3'600'000, 3'600'000}) {
    now_ms_ += static_cast<uint64_t>(step);
    pass(5);
    EXPECT_EQ(answer(), 1u) << step;
    pass({});
    EXPECT_EQ(delivered().size(), 1u);
  }
  EXPECT_EQ(stats_.origin_container.get(), 3u);
}

TEST_F(OriginsTest, AnErrorIsTriedAgainSoon) {
  create();
  pass(5);
  answer();
  pass(5);
  EXPECT_EQ(delivered(), (Names{"1", "2"}));
  EXPECT_EQ(stats_.origin_errors.get(), 2u);
  EXPECT_EQ(answer(), 0u) << "once a second";
  proc_.put(5, container('a'));
  now_ms_ += Origins::kErrorLifetimeMs;
  pass(5);
  answer();
  pass({});
  EXPECT_EQ(delivered(), Names{"3=a"});
}

TEST_F(OriginsTest, OfWhomNothingCanBeKnownGoesOnAtOnce) {
  create();
  proc_.put(5, container('a'));
  proc_.put(6, container('b'));
  pass({Credentials{}, Credentials{0, 5, Credentials::kReplayGid},
        Credentials{5, 6, Credentials::kReplayGid}});
  EXPECT_EQ(delivered(), (Names{"1", "2", "3"}));
  EXPECT_EQ(answer(), 0u);
  EXPECT_EQ(stats_.origin_errors.get(), 2u);    // of another PID namespace
  EXPECT_EQ(stats_.origin_replayed.get(), 1u);  // not the replayer's container, nor one of here
  pass(6);                                      // what came of a replay is not remembered
  EXPECT_EQ(answer(), 1u);
}

TEST_F(OriginsTest, SendersDoNotWaitForEachOther) {
  create();
  for (const uint32_t pid : {5, 6}) proc_.put(pid, container(pid == 5 ? 'a' : 'b'));
  pass(5);
  answer();
  pass({});
  delivered();
  pass({Credentials{6, 0, 0}, Credentials{5, 0, 0}, Credentials{6, 0, 0}});
  EXPECT_EQ(delivered(), Names{"3=a"});
  answer();
  pass({});
  EXPECT_EQ(delivered(), (Names{"2=b", "4=b"}));
}

TEST_F(OriginsTest, WithoutRoomPacketsGoOnInTheirOrder) {
  create();
  proc_.put(5, container('a'));
  for (uint32_t i = 0; i < kPlaces; ++i) pass(5);
  EXPECT_EQ(delivered(), Names{});
  pass(5);  // one too many: all that wait go before it
  EXPECT_EQ(delivered(), (Names{"1", "2", "3", "4", "5", "6", "7", "8", "9"}));
  EXPECT_EQ(stats_.origin_unresolved.get(), kPlaces + 1u);
  EXPECT_EQ(origins_->waiting(), 0u);
  pass(5);  // there is room again, and the answer has not come
  EXPECT_EQ(delivered(), Names{});
  EXPECT_EQ(answer(), 1u);
  pass(5);
  EXPECT_EQ(delivered(), (Names{"10=a", "11=a"}));
  EXPECT_EQ(counted(), sent_);
}

TEST_F(OriginsTest, ThousandsOfNewSendersAtOnceAreBounded) {
  create(4096);
  constexpr uint32_t kSenders = 3000;
  for (uint32_t i = 1; i <= kPlaces; ++i) proc_.put(i, container('a'));
  for (uint32_t i = 1; i <= kSenders; ++i) pass(i);
  EXPECT_EQ(delivered().size(), kSenders - kPlaces);
  EXPECT_EQ(answer(), kPlaces);
  pass({});
  EXPECT_EQ(delivered(), (Names{"1=a", "2=a", "3=a", "4=a", "5=a", "6=a", "7=a", "8=a"}));
  EXPECT_EQ(stats_.origin_unresolved.get(), kSenders - kPlaces);
  EXPECT_EQ(counted(), kSenders);
}

TEST_F(OriginsTest, AnAnswerToNobodyIsKept) {
  create();
  proc_.put(5, container('a'));
  pass(5);
  origins_->give_up(collect());
  EXPECT_EQ(delivered(), Names{"1"});
  EXPECT_EQ(origins_->waiting(), 0u);
  answer();
  pass(5);
  EXPECT_EQ(delivered(), Names{"2=a"});
  EXPECT_EQ(stats_.origin_unresolved.get(), 1u);
}

// Four processes fit; the oldest makes room, but not one that is asked about.
TEST_F(OriginsTest, ForgetsTheOldestProcess) {
  create(4);
  for (const uint32_t pid : {1, 2, 3, 4, 5}) {
    proc_.put(pid, container('a'));
    pass(pid);
    answer();
    pass({});
    now_ms_ += 1000;
  }
  EXPECT_EQ(stats_.origin_evicted.get(), 1u);
  pass({Credentials{2, 0, 0}, Credentials{5, 0, 0}});
  EXPECT_EQ(stats_.origin_hits.get(), 2u);
  EXPECT_EQ(answer(), 0u);
  pass({Credentials{1, 0, 0}, Credentials{6, 0, 0}, Credentials{7, 0, 0}, Credentials{8, 0, 0}});
  EXPECT_EQ(stats_.origin_evicted.get(), 5u);
  delivered();
  pass(9);
  EXPECT_EQ(delivered(), Names{"12"}) << "all four are asked about";
  EXPECT_EQ(stats_.origin_unresolved.get(), 1u);
}

TEST_F(OriginsTest, ContainersAreBounded) {
  create(4);
  for (const char c : {'a', 'b', 'c', 'd', 'e'}) {
    proc_.put(static_cast<uint32_t>(c), container(c));
    pass(static_cast<uint32_t>(c));
    answer();
  }
  pass('e');
  EXPECT_EQ(delivered(), (Names{"1=a", "2=b", "3=c", "4=d", "5", "6"}));
  EXPECT_EQ(stats_.origin_full.get(), 2u);
  EXPECT_EQ(counted(), 6u);
}

TEST(OriginPlaces, AreHalfOfTheBuffers) {
  struct Case {
    uint32_t buffers, places;
  };
  for (const Case c : {Case{1, 1}, {2, 1}, {16, 8}, {1024, 512}, {32768, 16384}}) {
    auto plan = make_plan();
    plan->io_buffers = c.buffers;
    EXPECT_EQ(origin_places_of(*plan), c.places) << c.buffers;
  }
}

TEST(Resolver, AnswersFromItsThread) {
  const FakeProc proc;
  proc.put(5, container('a'));
  auto plan = make_plan();
  plan->io_buffers = 64;
  plan->proc_root = plan->add_text(proc.root());
  Senders senders(4);
  auto resolver = *Resolver::create(*plan, senders);
  std::atomic<bool> stop{false};
  std::atomic<int> woken{0};
  std::thread thread([&] {
    resolver->run(stop, [&] {
      woken.fetch_add(1);
      woken.notify_one();
    });
  });
  for (uint32_t i = 0; i < 1000; ++i) {
    const int before = woken.load();
    resolver->ask({i, i % 2 == 0 ? 5u : 6u});
    resolver->wake();
    woken.wait(before);
    Resolver::Answer a{};
    ASSERT_TRUE(resolver->poll(a));
    EXPECT_EQ(a.ticket, i);
    EXPECT_EQ(a.outcome, i % 2 == 0 ? Outcome::kContainer : Outcome::kError);
    EXPECT_EQ(a.origin, i % 2 == 0 ? 1u : 0u);
  }
  stop = true;
  resolver->wake();
  thread.join();
}

}  // namespace
}  // namespace penstock::origin
