#include "actors/learner/gate.hpp"

#include <algorithm>

namespace troupe {
namespace {

/// Documents per forward pass: bounds the memory of the logits.
std::size_t per_pass(const gpu::Engine& engine) {
  return static_cast<std::size_t>(engine.slots());
}

std::int32_t argmax(const float* logits, std::int32_t vocab) {
  return static_cast<std::int32_t>(std::max_element(logits, logits + vocab) - logits);
}

std::size_t count_exact(gpu::Engine& engine, std::span<const ProbeDocument> documents) {
  std::vector<gpu::Row> rows;
  std::vector<std::int32_t> wanted;
  for (std::size_t slot = 0; slot < documents.size(); ++slot) {
    const ProbeDocument& document = documents[slot];
    for (std::int32_t i = 0; i + 1 < static_cast<std::int32_t>(document.tokens.size()); ++i) {
      if (i + 1 >= document.first_checked) wanted.push_back(static_cast<std::int32_t>(rows.size()));
      rows.push_back(
          {static_cast<std::int32_t>(slot), i, document.tokens[static_cast<std::size_t>(i)]});
    }
  }
  const std::int32_t vocab = engine.vocab();
  std::vector<float> logits(wanted.size() * static_cast<std::size_t>(vocab));
  engine.forward(rows, wanted, logits.data());
  const float* row = logits.data();
  std::size_t exact = 0;
  for (const ProbeDocument& document : documents) {
    bool all = true;
    for (auto i = static_cast<std::size_t>(document.first_checked); i < document.tokens.size();
         ++i, row += vocab)
      all = argmax(row, vocab) == document.tokens[i] && all;
    exact += all ? 1 : 0;
  }
  return exact;
}

}  // namespace

double probed_share(gpu::Engine& engine, const std::vector<std::vector<ProbeDocument>>& kinds) {
  double worst = 1.0;
  for (const auto& documents : kinds) {
    std::size_t exact = 0;
    const std::span<const ProbeDocument> all(documents);
    for (std::size_t at = 0; at < all.size(); at += per_pass(engine))
      exact += count_exact(engine, all.subspan(at, std::min(per_pass(engine), all.size() - at)));
    worst = std::min(worst, static_cast<double>(exact) / static_cast<double>(documents.size()));
  }
  return worst;
}

}  // namespace troupe
