#pragma once
// Work done by every rank of a group at once, and buffers that show the order of a sum.
#include "gpu/sampling/philox.hpp"
#include "gpu/transport/communicator.hpp"

#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace troupe::support {

using Ends = std::vector<std::unique_ptr<gpu::Communicator>>;

/// Runs `work` on one thread per rank. What each of them threw, by rank; "" for nothing.
inline std::vector<std::string> on_all_ranks(const Ends& ends,
                                             const std::function<void(gpu::Communicator&)>& work) {
  std::vector<std::string> problems(ends.size());
  std::vector<std::thread> threads;
  for (std::size_t rank = 0; rank < ends.size(); ++rank)
    threads.emplace_back([&, rank] {
      try {
        work(*ends[rank]);
      } catch (const std::exception& error) {
        problems[rank] = error.what();
      }
    });
  for (std::thread& thread : threads) thread.join();
  return problems;
}

/// Values of very different size, so that another order of summation gives other bits.
inline std::vector<float> values_of(int rank, std::size_t count) {
  gpu::PhiloxStream draws(77, static_cast<std::uint64_t>(rank));
  std::vector<float> values(count);
  for (float& value : values) {
    const auto draw = draws.below(1u << 20);
    value = (static_cast<float>(draw) - 500000.0f) / static_cast<float>(1u << (draw % 25));
  }
  return values;
}

/// ((v0 + v1) + v2) + ...
inline std::vector<float> sum_in_order(int ranks, std::size_t count) {
  std::vector<float> sum = values_of(0, count);
  for (int rank = 1; rank < ranks; ++rank) {
    const std::vector<float> values = values_of(rank, count);
    for (std::size_t i = 0; i < count; ++i) sum[i] += values[i];
  }
  return sum;
}

}  // namespace troupe::support
