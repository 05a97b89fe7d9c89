#pragma once
#include "gpu/training/training_engine.hpp"

namespace troupe::gpu {

struct AppliedGradient {
  bool applied = false;  // false: the norm was not finite, the gradient was forgotten
  double norm = 0, scale = 1;
};

/// One optimizer step with the accumulated gradient scaled to at most `max_norm` (0: off).
/// Source: arXiv:1211.5063, with torch's min(1, max_norm / (norm + 1e-6)).
AppliedGradient apply_gradient(TrainingEngine& engine, const AdamW& adamw, float max_norm,
                               float learning_rate);

}  // namespace troupe::gpu
