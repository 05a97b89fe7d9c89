#include "gpu/transport/ring_communicator.hpp"

#include "tests/support/communicator_checks.hpp"
#include "tests/support/memory_stream.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("gpu/transport");

namespace troupe::gpu {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kRingPatience{30000};

TEST_CASE("a ring sums floats in the order of ranks") {
  for (const int ranks : {1, 2, 3, 5})
    for (const std::size_t count : {0, 1, 31, 1000, 70001, 1500000})
      support::check_sums(support::memory_ring(ranks, kRingPatience), count);
}

TEST_CASE("a ring gathers and broadcasts bytes") {
  for (const int ranks : {1, 2, 3, 5})
    for (const std::size_t bytes : {0, 2, 1000, 1500001})
      support::check_copies(support::memory_ring(ranks, kRingPatience), bytes);
}

TEST_CASE("a place of the ring that stays empty is noticed after the deadline") {
  const auto ends = support::memory_ring(2, milliseconds(50));
  support::check_absence(ends);
  CHECK_THROWS_WITH(ends[0]->barrier(), "rank 0 of 2: barrier: rank 1: sent nothing in time");
  support::check_absence(support::memory_ring(4, milliseconds(50)));
}

TEST_CASE("a rank of a ring that waits is released by an abort") {
  support::check_abort(support::memory_ring(2, kRingPatience));
}

TEST_CASE("neighbours at different calls are told") {
  const auto ends = support::memory_ring(2, kRingPatience);
  const auto problems = support::on_all_ranks(ends, [](Communicator& end) {
    std::vector<float> values(8);
    if (end.rank() == 0) end.all_reduce_sum(values);
    if (end.rank() == 1) end.reduce_scatter_sum(values, 8);
  });
  CHECK(problems[1] ==
        "rank 1 of 2: reduce_scatter_sum: rank 0 is at something else: 32 bytes of call 1, kind 1; "
        "here it is 32 bytes of call 1, kind 2");
  CHECK(problems[0].find("rank 0 of 2: all_reduce_sum") == 0);
}

}  // namespace
}  // namespace troupe::gpu
