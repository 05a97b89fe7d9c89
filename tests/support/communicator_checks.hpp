#pragma once
// What every back end must do; each back end's test calls these.
#include "tests/support/ranks.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>

namespace troupe::support {

inline void check_no_problem(const std::vector<std::string>& problems) {
  for (const std::string& problem : problems) CHECK(problem == "");
}

inline void check_sums(const Ends& ends, std::size_t count) {
  const int ranks = static_cast<int>(ends.size());
  const std::vector<float> expected = sum_in_order(ranks, count);
  const std::size_t block = gpu::shard_length(count, ranks);
  std::vector<int> right(ends.size());
  check_no_problem(on_all_ranks(ends, [&](gpu::Communicator& end) {
    std::vector<float> all = values_of(end.rank(), count), part = all;
    end.all_reduce_sum(all);
    end.reduce_scatter_sum(part, block);
    const gpu::FlatRange own = gpu::block_of(end.rank(), block, count);
    right[static_cast<std::size_t>(end.rank())] =
        all == expected &&
        std::equal(part.begin() + static_cast<std::ptrdiff_t>(own.first),
                   part.begin() + static_cast<std::ptrdiff_t>(own.first + own.count),
                   expected.begin() + static_cast<std::ptrdiff_t>(own.first));
  }));
  CHECK(right == std::vector<int>(ends.size(), 1));
}

inline void check_copies(const Ends& ends, std::size_t bytes) {
  const std::size_t block = (bytes + ends.size() - 1) / ends.size();
  std::vector<int> right(ends.size());
  check_no_problem(on_all_ranks(ends, [&](gpu::Communicator& end) {
    std::vector<std::byte> all(bytes), one(bytes, std::byte(end.rank() + 1));
    const gpu::FlatRange own = gpu::block_of(end.rank(), block, bytes);
    for (std::size_t i = 0; i < own.count; ++i) all[own.first + i] = std::byte(i + own.first);
    end.all_gather(all, block);
    end.barrier();
    const int root = end.size() - 1;
    end.broadcast(one, root);
    bool good =
        std::all_of(one.begin(), one.end(), [&](std::byte b) { return b == std::byte(root + 1); });
    for (std::size_t i = 0; i < bytes; ++i) good = good && all[i] == std::byte(i);
    right[static_cast<std::size_t>(end.rank())] = good;
  }));
  CHECK(right == std::vector<int>(ends.size(), 1));
}

/// Every rank but the last calls; the group has a short deadline.
inline void check_absence(const Ends& ends) {
  const std::string last = "rank " + std::to_string(ends.size() - 1);
  const auto problems = on_all_ranks(ends, [&](gpu::Communicator& end) {
    std::vector<float> values(8);
    if (end.rank() + 1 < end.size()) end.all_reduce_sum(values);
  });
  for (std::size_t rank = 0; rank + 1 < ends.size(); ++rank) {
    CAPTURE(problems[rank]);
    CHECK(problems[rank].find("rank " + std::to_string(rank) + " of ") == 0);
    CHECK(problems[rank].find("all_reduce_sum") != std::string::npos);
  }
  CHECK_THROWS(ends[0]->barrier());  // after an error it is of no use
}

/// Rank 0 waits in a call while another thread ends the group.
inline void check_abort(const Ends& ends) {
  const auto problems = on_all_ranks(ends, [&](gpu::Communicator& end) {
    if (end.rank() == 0)
      end.barrier();
    else
      ends[0]->abort("out of memory");
  });
  CHECK(problems[0].find("barrier: out of memory") != std::string::npos);
  CHECK_THROWS(ends[0]->barrier());
}

}  // namespace troupe::support
