#include "gpu/transport/thread_communicator.hpp"

#include "tests/support/communicator_checks.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("gpu/transport");

namespace troupe::gpu {

using std::chrono::milliseconds;
constexpr milliseconds kPatience{30000};

TEST_CASE("threads sum floats by rank and not by arrival") {
  for (const int ranks : {1, 2, 3, 5})
    for (const std::size_t count : {0, 1, 31, 1000, 70001})
      support::check_sums(make_thread_communicators(ranks, kPatience), count);
}

TEST_CASE("threads gather and broadcast bytes") {
  for (const int ranks : {1, 2, 3, 5})
    for (const std::size_t bytes : {0, 2, 1000, 300001})
      support::check_copies(make_thread_communicators(ranks, kPatience), bytes);
}

TEST_CASE("a thread that does not come is named after the deadline") {
  const auto ends = make_thread_communicators(3, milliseconds(50));
  support::check_absence(ends);
  CHECK_THROWS_WITH(ends[1]->barrier(), "rank 1 of 3: barrier: rank 2 did not come within 50 ms");
}

TEST_CASE("threads that wait are released by an abort") {
  support::check_abort(make_thread_communicators(2, kPatience));
}

TEST_CASE("threads that make different calls are all told") {
  const auto problems =
      support::on_all_ranks(make_thread_communicators(2, kPatience), [](Communicator& end) {
        std::vector<float> values(end.rank() == 0 ? 8 : 4);
        end.all_reduce_sum(values);
      });
  CHECK(problems[0] ==
        "rank 0 of 2: all_reduce_sum: rank 0 called all_reduce_sum with 32 bytes, rank 1 "
        "all_reduce_sum with 16");
  CHECK(problems[1].find("rank 1 of 2") == 0);
}

TEST_CASE("shards cover a buffer once and begin on a cache line") {
  for (const std::size_t total : {1, 31, 32, 33, 1000, 4097})
    for (const int ranks : {1, 2, 3, 7}) {
      const std::size_t length = shard_length(total, ranks);
      std::size_t at = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const FlatRange shard = block_of(rank, length, total);
        CHECK(shard.first == at);
        CHECK((shard.count == 0 || shard.first % 32 == 0));
        at += shard.count;
      }
      CHECK(at == total);
    }
}

}  // namespace troupe::gpu
