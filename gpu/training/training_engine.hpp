#pragma once
// The narrow interface of the learner's compute: log-probs, their gradient, and the optimizer. What
// the objective is, the callers say with numbers per token, so objectives are plain C++ and every
// implementation serves them all. Implementations: LibTorch (the reference), later own CPU kernels.
#include "gpu/model/manifest.hpp"
#include "gpu/transport/flat_range.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace troupe::gpu {

/// Prompt and completion, or a document. Tokens [first_target, size) are targets: predicted from
/// what is before them.
struct Sequence {
  std::span<const std::int32_t> tokens;
  std::int32_t first_target = 1;  // at least 1
};

/// Under the current weights, for one target token.
struct TokenValue {
  float log_prob = 0;  // nats, after banned tokens and temperature (SamplingView)
  float entropy = 0;   // nats, of the whole distribution at this position
};

/// d objective / d log_prob and d objective / d entropy of one target token.
struct TokenWeight {
  float log_prob = 0;
  float entropy = 0;
};

/// Given the values of all targets of one micro-batch (sequence by sequence, position by position)
/// fills their weights. first_sequence: index of the micro-batch's first sequence in the call's
/// `sequences`.
using Weigh = std::function<void(std::size_t first_sequence, std::span<const TokenValue>,
                                 std::span<TokenWeight>)>;

/// The distribution both generator and learner speak of.
struct SamplingView {
  float temperature = 1.0f;          // > 0
  std::vector<std::int32_t> banned;  // never sampled, probability 0 in both
};

struct AdamW {
  float beta1 = 0.9f;
  float beta2 = 0.95f;
  float epsilon = 1e-8f;
  float weight_decay = 0.0f;  // decoupled, on every parameter
};

/// Used by one thread at a time.
class TrainingEngine {
 public:
  virtual ~TrainingEngine() = default;

  /// Adds to the gradient that of  sum over targets of weight.log_prob * log p + weight.entropy * H
  /// (ascent direction: the optimizer maximises). Splits the sequences into micro-batches of at
  /// most `tokens_per_micro_batch` tokens (at least one sequence each), in order. Packed: no
  /// padding through the linear layers.
  virtual void forward_backward(std::span<const Sequence> sequences, const Weigh& weigh) = 0;

  /// Values of all targets under the engine's weights, or under `other` if given. No gradient.
  virtual std::vector<TokenValue> score(std::span<const Sequence> sequences,
                                        FlatWeights other = nullptr) = 0;

  /// L2 norm of the accumulated gradient; NaN or infinite if any element is.
  virtual double gradient_norm() = 0;
  /// One AdamW step with the accumulated gradient times `gradient_scale`, then zeroes the gradient.
  virtual void step(const AdamW& adamw, float learning_rate, float gradient_scale) = 0;
  /// Forgets the accumulated gradient (a refused update).
  virtual void zero_gradient() = 0;

  /// Replaces the weights and resets the optimizer's moments.
  virtual void load(const float* weights) = 0;
  virtual void reset_optimizer() = 0;
  /// Copies the weights out: elements() floats.
  virtual void copy_weights(float* out) const = 0;
  virtual std::uint64_t elements() const = 0;

  // What an engine that shares its updates with others adds; see data_parallel_engine.hpp.

  /// The flat buffers, [elements], for whoever exchanges them between ranks: in the memory of the
  /// engine's device. Errors: gpu::Error if the engine has none.
  virtual std::span<float> weight_buffer();
  virtual std::span<float> gradient_buffer();
  /// Whether that is this host's memory.
  virtual bool buffers_on_host() const { return true; }
  /// Between these buffers, or one of them and this host's memory.
  virtual void copy(float* to, const float* from, std::size_t count);
  /// The sum of the squares of a part of the gradient.
  virtual double gradient_squares(FlatRange part);
  /// From here on `step` goes block by block, and moves only the weights of `kept`: the state of
  /// the optimizer is held for these alone. Resets the optimizer. Errors: as above.
  virtual void divide(std::size_t block, FlatRange kept);
  /// The numbers of all ranks that share the update, rank by rank. All give equally many.
  virtual std::vector<double> gather(std::vector<double> own) { return own; }
};

/// The LibTorch engine. device: "cpu" or "cuda:N". Log-probs are taken under `view`.
std::unique_ptr<TrainingEngine> make_torch_training_engine(const DecoderConfig& config,
                                                           const SamplingView& view,
                                                           std::int64_t tokens_per_micro_batch,
                                                           const std::string& device);

}  // namespace troupe::gpu
