#pragma once
// The narrow interface of a generator's forward pass. Implementations: LibTorch (the reference),
// own CPU kernels (cpu_engine.hpp).
#include "gpu/model/manifest.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace troupe::gpu {

/// One token of one sequence.
struct Row {
  std::int32_t slot;      // which cached sequence
  std::int32_t position;  // rows of one slot come in ascending, gapless order, within and across
                          // calls; a slot starts again when a row of position 0 arrives
  std::int32_t token;
};

/// Weights as an engine reads them. Each engine derives what it needs besides the values.
struct PreparedWeights {
  explicit PreparedWeights(FlatWeights given) : values(std::move(given)) {}
  virtual ~PreparedWeights() = default;
  PreparedWeights(const PreparedWeights&) = delete;
  PreparedWeights& operator=(const PreparedWeights&) = delete;

  FlatWeights values;
};
using PreparedPtr = std::shared_ptr<PreparedWeights>;

/// Forward passes over a KV cache of `slots()` sequences of up to `capacity()` tokens.
/// Used by one thread at a time, but for prepare().
class Engine {
 public:
  virtual ~Engine() = default;

  /// Appends the rows to their slots and writes the logits of rows[i] for each i in `wanted`
  /// (ascending) to logits[wanted.size()][vocab] (float32). Decode, prefill and mixes of both are
  /// the same call. Fastest when the decode rows cover slots 0..n-1 in ascending order: callers
  /// keep live slots dense. Errors: throws gpu::Error on a slot, position or token out of range.
  virtual void forward(std::span<const Row> rows, std::span<const std::int32_t> wanted,
                       float* logits) = 0;

  /// Makes the first `length` positions of slot `to` equal to those of slot `from`.
  virtual void copy_prefix(std::int32_t from, std::int32_t to, std::int32_t length) = 0;

  /// All of a change of weights that takes long, beside the other calls: one thread at a time, but any.
  virtual PreparedPtr prepare(FlatWeights weights) {
    return std::make_shared<PreparedWeights>(std::move(weights));
  }
  /// Takes other weights between two forward calls; the cache stays. Holds the values until the next
  /// swap. REQUIRES: from prepare() of this engine, and given once.
  virtual void swap(const PreparedPtr& weights) = 0;
  void swap(FlatWeights weights) { swap(prepare(std::move(weights))); }

  virtual std::int32_t slots() const = 0;
  virtual std::int32_t capacity() const = 0;
  virtual std::int32_t vocab() const = 0;
  /// True if a row's result is a function of its own sequence only, to the bit, whatever else is in
  /// the call.
  virtual bool batch_invariant() const = 0;
};

/// The LibTorch engine. device: "cpu" or "cuda:N". Weights must be swapped in before the first
/// forward.
std::unique_ptr<Engine> make_torch_engine(const DecoderConfig& config, std::int32_t slots,
                                          std::int32_t capacity, const std::string& device);

}  // namespace troupe::gpu
