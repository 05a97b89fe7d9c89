#include "gpu/transport/weight_carrier.hpp"

#include "gpu/transport/thread_communicator.hpp"
#include "tests/support/communicator_checks.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("gpu/transport");

namespace troupe::gpu {

TEST_CASE("a version arrives whole whatever the buckets") {
  for (const std::size_t floats : {0, 1, 64, 65, 1000})
    for (const std::size_t bucket : {1, 64, 5000}) {
      const std::vector<float> version = support::values_of(1, floats);
      std::vector<float> received(floats);
      const auto ends = make_thread_communicators(2, std::chrono::milliseconds(30000));
      support::check_no_problem(support::on_all_ranks(ends, [&](Communicator& end) {
        std::vector<float> first(bucket), second(bucket);
        WeightCarrier carrier(
            end, {first, second},
            [](float* to, const float* from, std::size_t count) { std::copy_n(from, count, to); });
        if (end.rank() == 0) carrier.send(version);
        if (end.rank() == 1) carrier.receive(received);
      }));
      CHECK(received == version);
    }
}

}  // namespace troupe::gpu
