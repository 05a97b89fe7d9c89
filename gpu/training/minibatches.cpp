#include "gpu/training/minibatches.hpp"

#include "gpu/sampling/philox.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace troupe::gpu {

std::vector<std::vector<std::size_t>> minibatches(std::size_t count, std::int32_t minibatches,
                                                  std::uint64_t key) {
  constexpr std::uint64_t kShuffle = 0x6d696e6962617463;  // a stream of its own
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto parts = static_cast<std::size_t>(std::max(1, minibatches));
  if (parts > 1) {
    PhiloxStream draws(key, kShuffle);
    for (std::size_t left = count; left > 1; --left)
      std::swap(order[left - 1], order[draws.below(left)]);
  }
  const std::size_t size = (count + parts - 1) / parts;
  std::vector<std::vector<std::size_t>> result;
  for (std::size_t first = 0; first < count; first += size)
    result.emplace_back(order.begin() + static_cast<std::ptrdiff_t>(first),
                        order.begin() + static_cast<std::ptrdiff_t>(std::min(first + size, count)));
  return result;
}

}  // namespace troupe::gpu
