#include "gpu/training/normaliser.hpp"

namespace troupe::gpu {

double token_factor(Normaliser normaliser, const BatchSize& batch, std::size_t completion_tokens,
                    std::size_t max_completion_tokens) {
  const auto steps = static_cast<double>(batch.minibatches),
             rollouts = static_cast<double>(batch.rollouts);
  switch (normaliser) {
    case Normaliser::token:
      return steps / static_cast<double>(batch.tokens);
    case Normaliser::sequence:
      return steps / (rollouts * static_cast<double>(completion_tokens));
    case Normaliser::constant:
      return steps / (rollouts * static_cast<double>(max_completion_tokens));
  }
  __builtin_unreachable();
}

}  // namespace troupe::gpu
