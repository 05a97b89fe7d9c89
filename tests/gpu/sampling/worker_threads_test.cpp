#include "gpu/sampling/worker_threads.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

TEST_SUITE_BEGIN("gpu/sampling");

using namespace troupe::gpu;

TEST_CASE("each body runs once per round and the first on the calling thread") {
  WorkerThreads workers(4);
  CHECK(workers.count() == 4);
  for (std::size_t round = 0; round < 200; ++round) {
    const std::size_t count = round % 5;
    std::vector<std::thread::id> ran(4);
    std::atomic<std::size_t> runs = 0;
    workers.run(count, [&](std::size_t i) {
      ran[i] = std::this_thread::get_id();
      ++runs;
    });
    CHECK(runs == count);
    if (count > 0) CHECK(ran[0] == std::this_thread::get_id());
    CHECK(std::set(ran.begin(), ran.begin() + static_cast<std::ptrdiff_t>(count)).size() == count);
  }
}

TEST_CASE("one worker is the caller alone and workers that never ran end") {
  WorkerThreads alone(1);
  int runs = 0;
  alone.run(1, [&](std::size_t) { ++runs; });
  CHECK(runs == 1);
  const WorkerThreads idle(3);
  CHECK(idle.count() == 3);
}

TEST_SUITE_END();
