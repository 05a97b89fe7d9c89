#include "gpu/sampling/cpu_engine.hpp"

#include "gpu/error.hpp"
#include "gpu/sampling/decode_pass.hpp"
#include "gpu/sampling/slot_lengths.hpp"
#include "gpu/sampling/worker_threads.hpp"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

namespace troupe::gpu {
namespace {

/// Fewer rows than this are not worth waking another thread for.
constexpr std::size_t kRowsPerThread = 16;

DecodeModel model_of(const DecoderConfig& config, std::int32_t slots, std::int32_t capacity,
                     const DecodeKernels& kernels) {
  PackedDecoder decoder(config);
  KvCache cache(decoder.heads(), config.num_layers, slots, capacity);
  RotationTables rotations(decoder, capacity);
  return {kernels, std::move(decoder), std::move(cache), std::move(rotations), nullptr};
}

struct PackedWeights final : PreparedWeights {
  PackedWeights(FlatWeights given, PackedDecoder packed)
      : PreparedWeights(std::move(given)), decoder(std::move(packed)) {}
  PackedDecoder decoder;
};

/// The rows of a call that one thread computes.
struct Share {
  std::vector<Row> rows;
  std::vector<WantedRow> wanted;
};

class CpuEngine final : public Engine {
 public:
  CpuEngine(const DecoderConfig& config, std::int32_t slots, std::int32_t capacity,
            std::int32_t threads, const DecodeKernels& kernels)
      : config_(config),
        lengths_(config, slots, capacity),
        capacity_(capacity),
        model_(model_of(config, slots, capacity, kernels)),
        workers_(static_cast<std::size_t>(std::max(1, threads))),
        shares_(workers_.count()),
        share_of_slot_(static_cast<std::size_t>(slots)) {
    for (std::size_t i = 0; i < workers_.count(); ++i) passes_.emplace_back(model_);
  }

  void forward(std::span<const Row> rows, std::span<const std::int32_t> wanted,
               float* logits) override {
    if (!model_.weights) throw Error("the engine has no weights: call swap() before forward()");
    lengths_.append(rows, wanted);
    const std::size_t threads = share_out(rows, wanted);
    workers_.run(threads, [&](std::size_t i) {
      passes_[i].run(shares_[i].rows, shares_[i].wanted, logits);
    });
  }
  void copy_prefix(std::int32_t from, std::int32_t to, std::int32_t length) override {
    lengths_.copy(from, to, length);
    if (from != to) model_.cache.copy_prefix(from, to, length);
  }
  PreparedPtr prepare(FlatWeights weights) override {
    auto packed = room();
    packed->decoder.pack(weights.get());
    packed->values = std::move(weights);
    return packed;
  }
  void swap(const PreparedPtr& weights) override {
    auto packed = std::static_pointer_cast<PackedWeights>(weights);
    std::swap(model_.decoder, packed->decoder);
    model_.weights = std::move(packed->values);
    const std::lock_guard lock(spare_mutex_);
    spare_ = std::move(packed);
  }

  std::int32_t slots() const override { return static_cast<std::int32_t>(share_of_slot_.size()); }
  std::int32_t capacity() const override { return capacity_; }
  std::int32_t vocab() const override { return model_.decoder.config().vocab_size; }
  bool batch_invariant() const override { return true; }

 private:
  std::shared_ptr<PackedWeights> room();
  std::size_t share_out(std::span<const Row> rows, std::span<const std::int32_t> wanted);

  const DecoderConfig config_;
  SlotLengths lengths_;
  std::int32_t capacity_;
  DecodeModel model_;
  WorkerThreads workers_;
  std::vector<DecodePass> passes_;  // one per worker
  std::vector<Share> shares_;
  std::vector<std::int32_t> share_of_slot_;  // in the call under way; -1: none yet
  std::mutex spare_mutex_;
  std::shared_ptr<PackedWeights>
      spare_;  // what the last swap left: new memory costs more than packing
};

std::shared_ptr<PackedWeights> CpuEngine::room() {
  {
    const std::lock_guard lock(spare_mutex_);
    if (spare_) return std::exchange(spare_, nullptr);
  }
  return std::make_shared<PackedWeights>(nullptr, PackedDecoder(config_));
}

/// All rows of a slot go to one thread, since later ones attend to earlier ones. Returns the number
/// of threads.
std::size_t CpuEngine::share_out(std::span<const Row> rows, std::span<const std::int32_t> wanted) {
  const std::size_t threads =
      std::clamp<std::size_t>(rows.size() / kRowsPerThread, 1, workers_.count());
  for (Share& share : shares_) share.rows.clear(), share.wanted.clear();
  for (const Row& row : rows) share_of_slot_[static_cast<std::size_t>(row.slot)] = -1;
  auto next = wanted.begin();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::int32_t& of_slot = share_of_slot_[static_cast<std::size_t>(rows[i].slot)];
    if (of_slot < 0) of_slot = static_cast<std::int32_t>(i * threads / rows.size());
    Share& share = shares_[static_cast<std::size_t>(of_slot)];
    if (next != wanted.end() && static_cast<std::size_t>(*next) == i)
      share.wanted.push_back(
          {share.rows.size(), static_cast<std::size_t>(next++ - wanted.begin())});
    share.rows.push_back(rows[i]);
  }
  return threads;
}

}  // namespace

std::unique_ptr<Engine> make_cpu_engine(const DecoderConfig& config, std::int32_t slots,
                                        std::int32_t capacity, std::int32_t threads,
                                        const DecodeKernels& kernels) {
  return std::make_unique<CpuEngine>(config, slots, capacity, threads, kernels);
}

}  // namespace troupe::gpu
