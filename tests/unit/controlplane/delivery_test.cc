#include "controlplane/delivery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>

#include "control_support.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// What an exporter got, seen from the test; outlives it.
struct Store {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<uint64_t> sequences;
  std::string restored;
  bool failing = false;
  bool blocking = false;
  uint64_t attempts = 0;

  bool wait(const std::function<bool()>& until) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(10), until);
  }
  void set(bool& flag, bool value) {
    const std::lock_guard lock(mutex);
    flag = value;
    changed.notify_all();
  }
};

class FakeExporter : public Exporter {
 public:
  FakeExporter(std::string name, Store& store) : name_(std::move(name)), store_(store) {}
  [[nodiscard]] std::string_view name() const override { return name_; }
  absl::Status deliver(const segment::Reader& segment) override {
    std::unique_lock lock(store_.mutex);
    ++store_.attempts;
    store_.changed.notify_all();
    store_.changed.wait(lock, [&] { return !store_.blocking; });
    if (store_.failing) return absl::UnavailableError("store is down");
    store_.sequences.push_back(segment.meta().sequence);
    cursor_ = std::to_string(segment.meta().sequence);
    store_.changed.notify_all();
    return absl::OkStatus();
  }
  [[nodiscard]] std::string cursor() const override { return cursor_; }
  absl::Status restore(std::string_view cursor) override {
    store_.restored = cursor;
    return absl::OkStatus();
  }

 private:
  const std::string name_;
  Store& store_;
  std::string cursor_;
};

class DeliveryTest : public testing::Test {
 protected:
  void open(bool same_run = false, uint32_t segments_max = 60) {
    Delivery::Options options;
    options.state_path = directory_.file("run/state.json");
    std::filesystem::create_directory(directory_.file("run"));
    options.segments_max = segments_max;
    options.retry_min_ms = 1;
    options.retry_max_ms = 5;
    std::vector<std::unique_ptr<Exporter>> exporters;
    exporters.push_back(std::make_unique<FakeExporter>("a", a_));
    exporters.push_back(std::make_unique<FakeExporter>("b", b_));
    State state;
    if (const auto text = read_file(options.state_path); text.ok()) state = *decode_state(*text);
    delivery_ = std::make_unique<Delivery>(options, std::move(exporters),
                                           [this](uint64_t /*instance*/, uint64_t sequence) {
                                             const std::lock_guard lock(mutex_);
                                             finished_.push_back(sequence);
                                             changed_.notify_all();
                                           });
    delivery_->start(std::move(state), same_run);
  }
  void accept(uint64_t sequence, uint64_t rows = 2, uint64_t instance = 7) {
    const agent::SegmentReady ready{
        {agent::Type::kSegmentReady, agent::kVersion}, sequence, 1000, rows, rows};
    delivery_->accept(ready, make_segment(instance, sequence, rows));
  }
  bool wait_finished(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10),
                             [&] { return finished_.size() >= count; });
  }
  ExporterTally tally(size_t index) { return delivery_->books().exporters.at(index); }

  TemporaryDirectory directory_;
  Store a_, b_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<uint64_t> finished_;
  std::unique_ptr<Delivery> delivery_;
};

TEST_F(DeliveryTest, FinishesASegmentWhenEveryExporterHasIt) {
  open();
  delivery_->begin_instance(7);
  b_.set(b_.blocking, true);
  accept(1);
  ASSERT_TRUE(a_.wait([&] { return a_.sequences.size() == 1; }));
  ASSERT_TRUE(b_.wait([&] { return b_.attempts == 1; }));
  EXPECT_TRUE(finished_.empty());
  EXPECT_EQ(tally(1).queued, 2u);
  b_.set(b_.blocking, false);
  ASSERT_TRUE(wait_finished(1));
  EXPECT_EQ(tally(1).delivered, 2u);
  EXPECT_TRUE(delivery_->idle());
}

TEST_F(DeliveryTest, RetriesAndThenDeliversInOrder) {
  open();
  delivery_->begin_instance(7);
  a_.set(a_.failing, true);
  for (uint64_t i = 1; i <= 3; ++i) accept(i);
  ASSERT_TRUE(a_.wait([&] { return a_.attempts >= 3; }));
  EXPECT_EQ(delivery_->statuses()[0].error, "store is down");
  a_.set(a_.failing, false);
  ASSERT_TRUE(wait_finished(3));
  EXPECT_THAT(a_.sequences, ElementsAre(1, 2, 3));
  EXPECT_THAT(b_.sequences, ElementsAre(1, 2, 3));
  EXPECT_EQ(delivery_->statuses()[0].error, "");
}

TEST_F(DeliveryTest, GivesUpTheOldestAtTheBoundAndCountsIt) {
  open(false, 2);
  delivery_->begin_instance(7);
  a_.set(a_.blocking, true);
  accept(1);
  ASSERT_TRUE(a_.wait([&] { return a_.attempts == 1; }));
  for (uint64_t i = 2; i <= 5; ++i) {
    accept(i);
    ASSERT_TRUE(b_.wait([&] { return b_.sequences.size() == i; })) << "b keeps up";
  }
  EXPECT_EQ(tally(0).queued, 10u) << "books wait for the one in the exporter's hands";
  a_.set(a_.blocking, false);
  ASSERT_TRUE(wait_finished(5));
  EXPECT_THAT(a_.sequences, ElementsAre(1, 5));
  EXPECT_EQ(tally(0).given_up, 6u);
  EXPECT_EQ(tally(1).given_up, 0u);
}

TEST_F(DeliveryTest, ASegmentAnnouncedAgainIsNotDeliveredAgain) {
  open();
  delivery_->begin_instance(7);
  accept(1);
  ASSERT_TRUE(wait_finished(1));
  accept(1);
  ASSERT_TRUE(wait_finished(2)) << "and acknowledged again";
  EXPECT_THAT(a_.sequences, ElementsAre(1));
  EXPECT_EQ(delivery_->books().reception.points, 2u);
}

TEST_F(DeliveryTest, AfterAKillEachExporterSkipsExactlyWhatItHas) {
  open();
  delivery_->begin_instance(7);
  accept(1);
  ASSERT_TRUE(wait_finished(1));
  b_.set(b_.failing, true);
  accept(2);
  ASSERT_TRUE(a_.wait([&] { return a_.sequences.size() == 2; }));
  ASSERT_TRUE(b_.wait([&] { return b_.attempts >= 2; }));
  delivery_.reset();  // what it knows is in the state file

  b_.set(b_.failing, false);
  open(/*same_run=*/true);
  EXPECT_EQ(a_.restored, "2");
  EXPECT_EQ(b_.restored, "1");
  delivery_->begin_instance(7);
  accept(2);
  accept(3);
  ASSERT_TRUE(wait_finished(3));
  EXPECT_THAT(a_.sequences, ElementsAre(1, 2, 3));
  EXPECT_THAT(b_.sequences, ElementsAre(1, 2, 3));
  EXPECT_EQ(tally(0).delivered, 6u);
  EXPECT_EQ(tally(1).delivered, 6u);
  EXPECT_EQ(tally(1).given_up, 0u);
}

TEST_F(DeliveryTest, WhatTheDataPlaneGaveUpMeanwhileIsWrittenOff) {
  open();
  delivery_->begin_instance(7);
  b_.set(b_.failing, true);
  accept(1);
  accept(2);
  ASSERT_TRUE(a_.wait([&] { return a_.sequences.size() == 2; }));
  delivery_.reset();
  b_.set(b_.failing, false);
  open(/*same_run=*/true);
  delivery_->begin_instance(7);
  accept(3);  // 1 and 2 are gone
  ASSERT_TRUE(wait_finished(1));
  EXPECT_EQ(tally(1).given_up, 4u);
  EXPECT_EQ(tally(1).delivered, 2u);
  EXPECT_EQ(tally(0).delivered, 6u);
}

TEST_F(DeliveryTest, AFreshRunKeepsOnlyTheCursor) {
  open();
  delivery_->begin_instance(7);
  accept(1);
  ASSERT_TRUE(wait_finished(1));
  delivery_.reset();
  open(/*same_run=*/false);
  EXPECT_EQ(a_.restored, "1");
  EXPECT_EQ(tally(0).delivered, 0u);
  EXPECT_EQ(delivery_->books().reception.points, 0u);
}

TEST_F(DeliveryTest, SequencesBeginAnewWithTheNextDataPlane) {
  open();
  delivery_->begin_instance(7);
  accept(1);
  ASSERT_TRUE(wait_finished(1));
  delivery_->depart({}, /*crashed=*/true);
  delivery_->begin_instance(8);
  accept(1, 2, 8);
  ASSERT_TRUE(wait_finished(2));
  EXPECT_THAT(a_.sequences, ElementsAre(1, 1));
  EXPECT_EQ(delivery_->state().departed.crashes, 1u);
}

TEST_F(DeliveryTest, ACorruptSegmentIsCountedAndFinishedWith) {
  open();
  delivery_->begin_instance(7);
  absl::StatusOr<Fd> junk = make_memfd("junk", 4096);
  delivery_->accept({{agent::Type::kSegmentReady, agent::kVersion}, 1, 1000, 5, 5}, *junk);
  ASSERT_TRUE(wait_finished(1));
  EXPECT_EQ(delivery_->corrupt_segments(), 1u);
  EXPECT_EQ(tally(0).given_up, 5u);
}

TEST_F(DeliveryTest, WhatCannotBeSavedIsNotFinishedAndComesAgainAfterAKill) {
  open();
  delivery_->begin_instance(7);
  accept(1);
  ASSERT_TRUE(wait_finished(1));
  std::filesystem::rename(directory_.file("run"), directory_.file("away"));
  accept(2);
  ASSERT_TRUE(a_.wait([&] { return a_.sequences.size() == 2; }));
  ASSERT_TRUE(b_.wait([&] { return b_.sequences.size() == 2; }));
  EXPECT_THAT(delivery_->state_error(), HasSubstr("run/state.json"));
  EXPECT_EQ(finished_.size(), 1u);
  delivery_.reset();  // killed
  std::filesystem::rename(directory_.file("away"), directory_.file("run"));
  open(/*same_run=*/true);
  EXPECT_EQ(a_.restored, "1") << "what is behind the cursor is cut off";
  delivery_->begin_instance(7);
  accept(2);
  ASSERT_TRUE(wait_finished(2));
  EXPECT_THAT(a_.sequences, ElementsAre(1, 2, 2));
  EXPECT_EQ(tally(0).delivered, 4u);
}

TEST_F(DeliveryTest, WhatWasNotSavedIsFinishedWhenTheDiskIsBack) {
  open();
  delivery_->begin_instance(7);
  std::filesystem::rename(directory_.file("run"), directory_.file("away"));
  accept(1);
  ASSERT_TRUE(b_.wait([&] { return b_.sequences.size() == 1; }));
  std::filesystem::rename(directory_.file("away"), directory_.file("run"));
  ASSERT_TRUE(wait_finished(1));
  EXPECT_EQ(delivery_->state_error(), "");
}

TEST_F(DeliveryTest, ADrainedDataPlaneNeedsNoStateAndLeavesNoStaleOne) {
  open();
  delivery_->begin_instance(7);
  std::filesystem::remove(directory_.file("run/state.json"));
  std::filesystem::create_directory(directory_.file("run/state.json"));  // rename fails
  accept(1);
  ASSERT_TRUE(a_.wait([&] { return a_.sequences.size() == 1; }));
  ASSERT_TRUE(b_.wait([&] { return b_.sequences.size() == 1; }));
  EXPECT_TRUE(finished_.empty());
  delivery_->close_books();
  ASSERT_TRUE(wait_finished(1));
}

TEST_F(DeliveryTest, GiveUpAllEmptiesWhatNoExporterHolds) {
  open();
  delivery_->begin_instance(7);
  a_.set(a_.failing, true);
  for (uint64_t i = 1; i <= 3; ++i) accept(i);
  ASSERT_TRUE(a_.wait([&] { return a_.attempts >= 1; }));
  delivery_->give_up_all();
  ASSERT_TRUE(wait_finished(3));
  EXPECT_EQ(tally(0).given_up, 6u);
}

}  // namespace
}  // namespace penstock
