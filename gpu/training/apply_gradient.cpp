#include "gpu/training/apply_gradient.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::gpu {

AppliedGradient apply_gradient(TrainingEngine& engine, const AdamW& adamw, float max_norm,
                               float learning_rate) {
  AppliedGradient result;
  result.norm = engine.gradient_norm();
  if (!std::isfinite(result.norm)) {
    engine.zero_gradient();
    return result;
  }
  if (max_norm > 0) result.scale = std::min(1.0, max_norm / (result.norm + 1e-6));
  engine.step(adamw, learning_rate, static_cast<float>(result.scale));
  result.applied = true;
  return result;
}

}  // namespace troupe::gpu
