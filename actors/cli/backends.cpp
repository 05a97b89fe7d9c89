#include "actors/cli/backends.hpp"

#include "gpu/device.hpp"

namespace troupe {

Backends torch_backends(const std::string& device) {
  const std::string resolved = gpu::resolve_device(device);
  Backends backends;
  backends.engine = [resolved](const gpu::DecoderConfig& decoder, std::int32_t slots,
                               std::int32_t capacity) {
    return gpu::make_torch_engine(decoder, slots, capacity, resolved);
  };
  backends.training_engine = [resolved](const gpu::DecoderConfig& decoder,
                                        const gpu::SamplingView& view, std::int64_t tokens) {
    return gpu::make_torch_training_engine(decoder, view, tokens, resolved);
  };
  backends.set_threads = [](std::int32_t threads) { gpu::set_compute_threads(threads); };
  return backends;
}

}  // namespace troupe
