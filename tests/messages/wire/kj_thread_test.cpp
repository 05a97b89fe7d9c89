#include "messages/wire/kj_thread.hpp"

#include "tests/support/link.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

TEST_SUITE_BEGIN("messages/wire");

namespace troupe::wire {
namespace {

constexpr std::chrono::seconds kDeadline{20};

kj::Own<void> nothing(Loop&) {
  return kj::heap<int>(0);
}

/// Waits until everything posted before has run.
void settle(Courier& courier) {
  std::promise<void> done;
  REQUIRE(courier.post([&](Loop&) { done.set_value(); }));
  REQUIRE(done.get_future().wait_for(kDeadline) == std::future_status::ready);
}

}  // namespace

TEST_CASE("tasks of one poster run on the loop in posting order") {
  KjThread thread(nothing, {});
  std::vector<int> order;
  std::thread::id where;
  for (int i = 0; i < 1000; ++i)
    REQUIRE(thread.post([&, i](Loop&) {
      order.push_back(i);
      where = std::this_thread::get_id();
    }));
  settle(thread);
  REQUIRE(order.size() == 1000);
  CHECK(std::is_sorted(order.begin(), order.end()));
  CHECK(where != std::this_thread::get_id());
}

TEST_CASE("a task may post and many threads may post at once") {
  KjThread thread(nothing, {});
  std::atomic<int> ran{0};
  std::vector<std::thread> posters;
  for (int i = 0; i < 4; ++i)
    posters.emplace_back([&] {
      for (int j = 0; j < 500; ++j) thread.post([&](Loop&) { thread.post([&](Loop&) { ++ran; }); });
    });
  for (auto& poster : posters) poster.join();
  settle(thread);
  settle(thread);
  CHECK(ran == 2000);
}

TEST_CASE("what setup builds is destroyed on the loop") {
  std::thread::id built, destroyed;
  {
    KjThread thread(
        [&](Loop&) -> kj::Own<void> {
          built = std::this_thread::get_id();
          auto gone = kj::defer([&] { destroyed = std::this_thread::get_id(); });
          return kj::heap<decltype(gone)>(kj::mv(gone));
        },
        {});
  }
  CHECK(built != std::thread::id{});
  CHECK(built == destroyed);
}

TEST_CASE("what setup throws comes out of the constructor") {
  const auto text = support::problem_of([] {
    KjThread thread(
        [](Loop&) -> kj::Own<void> {
          kj::throwFatalException(KJ_EXCEPTION(FAILED, "no such certificate"));
        },
        {});
  });
  CHECK(text == "no such certificate");
}

TEST_CASE("a task that throws is logged and the next one runs") {
  std::promise<std::string> logged;
  KjThread thread(nothing,
                  [&](kj::LogSeverity, const std::string& text) { logged.set_value(text); });
  thread.post([](Loop&) { kj::throwFatalException(KJ_EXCEPTION(FAILED, "a mishap")); });
  settle(thread);
  auto text = logged.get_future();
  REQUIRE(text.wait_for(kDeadline) == std::future_status::ready);
  CHECK(text.get().find("a mishap") != std::string::npos);
}

TEST_CASE("a task left over at the end is dropped with all it holds") {
  std::weak_ptr<int> held;
  {
    std::promise<void> inside, go;
    auto gate = go.get_future().share();
    auto thread = std::make_unique<KjThread>(nothing, KjThread::Log{});
    thread->post([&inside, gate](Loop&) {
      inside.set_value();
      gate.wait_for(kDeadline);
    });
    inside.get_future().wait();
    auto value = std::make_shared<int>(1);
    held = value;
    thread->post([value = std::move(value)](Loop&) {});
    CHECK_FALSE(held.expired());
    go.set_value();
  }
  CHECK(held.expired());
}

TEST_CASE("the timer of the loop works") {
  KjThread thread(nothing, {});
  std::promise<void> done;
  thread.post([&](Loop& loop) {
    loop.timer.afterDelay(1 * kj::MILLISECONDS).then([&] { done.set_value(); }).detach([](auto&&) {
    });
  });
  CHECK(done.get_future().wait_for(kDeadline) == std::future_status::ready);
}

namespace {

kj::Promise<void> spin(const std::atomic<bool>& enough) {
  if (enough) return kj::READY_NOW;
  return kj::evalLater([&enough] { return spin(enough); });
}

}  // namespace

TEST_CASE("a loop that always has something to do still hears timers and other threads") {
  std::atomic<bool> enough{false};
  std::promise<void> timer, post;
  KjThread thread(nothing, {});
  thread.post([&](Loop& loop) {
    spin(enough).detach([](auto&&) {});
    loop.timer.afterDelay(1 * kj::MILLISECONDS).then([&] { timer.set_value(); }).detach([](auto&&) {
    });
  });
  CHECK(timer.get_future().wait_for(kDeadline) == std::future_status::ready);
  thread.post([&](Loop&) { post.set_value(); });
  CHECK(post.get_future().wait_for(kDeadline) == std::future_status::ready);
  enough = true;
}

}  // namespace troupe::wire
