#include "gpu/error.hpp"
#include "gpu/training/apply_gradient.hpp"
#include "gpu/training/policy_update.hpp"

#include <cmath>

namespace troupe::gpu {

SupervisedStats supervised_update(TrainingEngine& engine, std::span<const Document> documents,
                                  const AdamW& adamw, float max_gradient_norm,
                                  float learning_rate) {
  SupervisedStats stats;
  std::vector<Sequence> sequences;
  for (const Document& document : documents) {
    sequences.push_back({document.tokens, document.first_target});
    stats.positions += document.tokens.size();
    if (static_cast<std::size_t>(document.first_target) < document.tokens.size())
      stats.targets += document.tokens.size() - static_cast<std::size_t>(document.first_target);
  }
  if (stats.targets == 0)
    throw Error(
        "a supervised update needs at least one target token; all documents end before theirs");
  const double factor = 1.0 / static_cast<double>(stats.targets);
  double sum = 0;
  engine.forward_backward(sequences, [&](std::size_t, std::span<const TokenValue> values,
                                         std::span<TokenWeight> weights) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      sum -= values[i].log_prob;
      weights[i] = {static_cast<float>(factor), 0.0f};
    }
  });
  double whole = 0;  // of all ranks' parts
  for (const double of_rank : engine.gather({sum})) whole += of_rank;
  stats.loss = whole * factor;
  if (!std::isfinite(stats.loss)) {
    engine.zero_gradient();
    stats.refused = true;
    return stats;
  }
  const AppliedGradient applied = apply_gradient(engine, adamw, max_gradient_norm, learning_rate);
  stats.gradient_norm = applied.norm;
  stats.refused = !applied.applied;
  return stats;
}

}  // namespace troupe::gpu
