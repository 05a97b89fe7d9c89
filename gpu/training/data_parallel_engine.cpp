#include "gpu/training/data_parallel_engine.hpp"

#include "gpu/training/rank_parts.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

namespace troupe::gpu {
namespace {

std::size_t targets_of(std::span<const Sequence> sequences) {
  std::size_t targets = 0;
  for (const Sequence& sequence : sequences) {
    const auto first = static_cast<std::size_t>(sequence.first_target);
    targets += sequence.tokens.size() - std::min(first, sequence.tokens.size());
  }
  return targets;
}

std::span<const Sequence> part(std::span<const Sequence> sequences, FlatRange range) {
  return sequences.subspan(range.first, range.count);
}

class DataParallelEngine final : public TrainingEngine {
 public:
  DataParallelEngine(std::unique_ptr<TrainingEngine> own, std::shared_ptr<Communicator> peers,
                     OptimizerState state)
      : own_(std::move(own)),
        peers_(std::move(peers)),
        state_(state),
        elements_(static_cast<std::size_t>(own_->elements())),
        shard_length_(shard_length(elements_, peers_->size())),
        shard_(block_of(peers_->rank(), shard_length_, elements_)) {
    own_->divide(shard_length_,
                 state == OptimizerState::sharded ? shard_ : FlatRange{0, elements_});
  }

  void forward_backward(std::span<const Sequence> sequences, const Weigh& weigh) override {
    const FlatRange mine = own_part(sequences);
    own_->forward_backward(
        part(sequences, mine),
        [&](std::size_t first, std::span<const TokenValue> values, std::span<TokenWeight> weights) {
          weigh(mine.first + first, values, weights);
        });
  }

  std::vector<TokenValue> score(std::span<const Sequence> sequences, FlatWeights other) override {
    const std::vector<FlatRange> parts = rank_parts(sequences, peers_->size());
    std::size_t longest = 0;
    for (const FlatRange& range : parts)
      longest = std::max(longest, targets_of(part(sequences, range)));
    const std::vector<TokenValue> values =
        own_->score(part(sequences, parts[own_index()]), std::move(other));
    std::vector<TokenValue> all(longest * parts.size());
    std::copy(values.begin(), values.end(),
              all.begin() + static_cast<std::ptrdiff_t>(own_index() * longest));
    peers_->all_gather(std::as_writable_bytes(std::span(all)), longest * sizeof(TokenValue));
    return closed_up(all, sequences, parts, longest);
  }

  /// Shard by shard whatever the state, so that its two kinds agree to the bit.
  double gradient_norm() override {
    exchange([this](std::span<float> gradient) {
      if (state_ == OptimizerState::sharded)
        peers_->reduce_scatter_sum(gradient, shard_length_);
      else
        peers_->all_reduce_sum(gradient);
    });
    double sum = 0;
    for (const double of_rank : gather({own_->gradient_squares(shard_)})) sum += of_rank;
    return std::sqrt(sum);
  }

  void step(const AdamW& adamw, float learning_rate, float gradient_scale) override {
    if (state_ == OptimizerState::whole) return own_->step(adamw, learning_rate, gradient_scale);
    float* const weights = own_->weight_buffer().data();
    float* const shard = weights + shard_.first;
    std::vector<float> before(shard_.count);
    own_->copy(before.data(), shard, shard_.count);
    own_->step(adamw, learning_rate, gradient_scale);
    // The gradient's buffer is free: who fails in the exchange still has the weights of before.
    float* const all = own_->gradient_buffer().data();
    own_->copy(all + shard_.first, shard, shard_.count);
    own_->copy(shard, before.data(), shard_.count);
    exchange([this](std::span<float> fresh) {
      peers_->all_gather(std::as_writable_bytes(fresh), shard_length_ * sizeof(float));
    });
    own_->copy(weights, all, elements_);
    own_->zero_gradient();
  }

  std::vector<double> gather(std::vector<double> own) override {
    std::vector<double> all(own.size() * static_cast<std::size_t>(peers_->size()));
    std::copy(own.begin(), own.end(),
              all.begin() + static_cast<std::ptrdiff_t>(own_index() * own.size()));
    peers_->all_gather(std::as_writable_bytes(std::span(all)), own.size() * sizeof(double));
    return all;
  }

  void zero_gradient() override { own_->zero_gradient(); }
  void load(const float* weights) override { own_->load(weights); }
  void reset_optimizer() override { own_->reset_optimizer(); }
  void copy_weights(float* out) const override { own_->copy_weights(out); }
  std::uint64_t elements() const override { return own_->elements(); }

 private:
  std::size_t own_index() const { return static_cast<std::size_t>(peers_->rank()); }

  FlatRange own_part(std::span<const Sequence> sequences) const {
    return rank_parts(sequences, peers_->size())[own_index()];
  }

  /// Hands the gradient's buffer to `with_peers`; a copy of it, where they reach this host's memory only.
  void exchange(const std::function<void(std::span<float>)>& with_peers) {
    const std::span<float> gradient = own_->gradient_buffer();
    if (own_->buffers_on_host() || peers_->reaches_devices()) return with_peers(gradient);
    on_host_.resize(elements_);
    own_->copy(on_host_.data(), gradient.data(), elements_);
    with_peers(on_host_);
    own_->copy(gradient.data(), on_host_.data(), elements_);
  }

  /// The values of all parts, which lie `longest` apart, one after the other.
  static std::vector<TokenValue> closed_up(const std::vector<TokenValue>& all,
                                           std::span<const Sequence> sequences,
                                           const std::vector<FlatRange>& parts,
                                           std::size_t longest) {
    std::vector<TokenValue> values;
    for (std::size_t rank = 0; rank < parts.size(); ++rank) {
      const auto first = all.begin() + static_cast<std::ptrdiff_t>(rank * longest);
      const auto count = static_cast<std::ptrdiff_t>(targets_of(part(sequences, parts[rank])));
      values.insert(values.end(), first, first + count);
    }
    return values;
  }

  const std::unique_ptr<TrainingEngine> own_;
  const std::shared_ptr<Communicator> peers_;
  const OptimizerState state_;
  const std::size_t elements_, shard_length_;
  const FlatRange shard_;
  std::vector<float> on_host_;  // of an engine elsewhere
};

}  // namespace

std::unique_ptr<TrainingEngine> make_data_parallel_engine(std::unique_ptr<TrainingEngine> own,
                                                          std::shared_ptr<Communicator> peers,
                                                          OptimizerState state) {
  return std::make_unique<DataParallelEngine>(std::move(own), std::move(peers), state);
}

}  // namespace troupe::gpu
