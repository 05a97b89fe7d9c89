#pragma once
// Which implementations compute; main chooses, tests bring their own.
#include "gpu/model/decoder_config.hpp"
#include "gpu/sampling/engine.hpp"
#include "gpu/training/training_engine.hpp"

#include <cstdint>
#include <functional>
#include <memory>

namespace troupe {

struct Backends {
  std::function<std::unique_ptr<gpu::Engine>(const gpu::DecoderConfig&, std::int32_t slots,
                                             std::int32_t capacity)>
      engine;
  std::function<std::unique_ptr<gpu::TrainingEngine>(
      const gpu::DecoderConfig&, const gpu::SamplingView&, std::int64_t tokens_per_micro_batch)>
      training_engine;
  std::function<void(std::int32_t)> set_threads;  // compute threads of the calling thread
};

}  // namespace troupe
