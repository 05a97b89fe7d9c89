#pragma once
// Which engines compute, as the director's backends and for the commands that need one engine.
#include "actors/director/director.hpp"
#include "gpu/sampling/engine_choice.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace troupe {

/// device: as in run.device; engine: as in generator.engine. Learners compute with LibTorch.
/// Errors: throws gpu::Error if the device is not there.
Backends backends_for(const std::string& device, const std::string& engine);

/// What generators compute with, resolved as backends_for() does.
gpu::EngineChoice engine_choice(const std::string& device, const std::string& engine,
                                const gpu::DecoderConfig& decoder);

/// An engine of that choice for the calling thread, with as many threads as it has set.
std::unique_ptr<gpu::Engine> make_engine(const std::string& device, const std::string& engine,
                                         const gpu::DecoderConfig& decoder, std::int32_t slots,
                                         std::int32_t capacity);

}  // namespace troupe
