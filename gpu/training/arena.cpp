#include "gpu/training/arena.hpp"

#include <ATen/ops/empty.h>
#include <algorithm>

namespace troupe::gpu {

at::Tensor Arena::take(std::int64_t rows, std::int64_t columns) {
  constexpr std::int64_t kBlock = 1 << 20, kAlign = 16;  // elements: 4 MiB, one cache line
  const std::int64_t size = rows * columns;
  while (at_.block < blocks_.size() && at_.used + size > blocks_[at_.block].size(0))
    at_ = {at_.block + 1, 0};
  if (at_.block == blocks_.size())
    blocks_.push_back(at::empty({std::max(kBlock, size)},
                                at::TensorOptions(at::kFloat).device(c10::Device(device_))));
  const at::Tensor taken = blocks_[at_.block].narrow(0, at_.used, size).view({rows, columns});
  at_.used += (size + kAlign - 1) / kAlign * kAlign;
  return taken;
}

}  // namespace troupe::gpu
