#include "gpu/training/importance.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::gpu {

Importance importance(Correction correction, const TokenLogProbs& token, double cap) {
  switch (correction) {
    case Correction::ppo:
      return {token.behaviour, 1.0};
    case Correction::decoupled:
      return {token.proximal, std::min(std::exp(token.proximal - token.behaviour), cap)};
    case Correction::none:
      return {token.proximal, 1.0};
  }
  __builtin_unreachable();
}

}  // namespace troupe::gpu
