#pragma once
// Which engine a generator computes with.
#include "gpu/model/decoder_config.hpp"

#include <string>

namespace troupe::gpu {

enum class EngineKind { torch, cpu };

struct EngineChoice {
  EngineKind kind;
  std::string why;  // for the log: what computes, and where that was not the first wish the reason
};

/// wanted: "auto", "torch" or "cpu", as in generator.engine; device: a resolved one, "cpu" or
/// "cuda:N". auto takes the own CPU kernels wherever they serve well: on the CPU, up to a size at
/// which a second, packed copy of the weights is no burden. Errors: throws gpu::Error on another
/// word.
EngineChoice choose_engine(const std::string& wanted, const std::string& device,
                           const DecoderConfig& decoder);

}  // namespace troupe::gpu
