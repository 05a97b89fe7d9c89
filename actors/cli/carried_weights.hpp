#pragma once
// How this process's versions of the weights travel: what the config wants, and what there is for it here.
#include "actors/config/config.hpp"
#include "actors/link/weight_terms.hpp"
#include "gpu/model/decoder_config.hpp"

namespace troupe {

/// As weight_terms, with NCCL's library opened where it may be used; or, where it was asked for, with why it cannot be.
WeightTerms carried_weights(const Config& config, const gpu::DecoderConfig& decoder);

}  // namespace troupe
