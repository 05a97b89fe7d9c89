#include "gpu/error.hpp"
#include "gpu/training/decoder_pass.hpp"
#include "gpu/training/training_engine.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <algorithm>
#include <c10/core/InferenceMode.h>
#include <cmath>
#include <functional>
#include <optional>

namespace troupe::gpu {
namespace {

void check_view(const DecoderConfig& config, const SamplingView& view,
                std::int64_t tokens_per_micro_batch) {
  if (!(view.temperature > 0.0f) || !std::isfinite(view.temperature))
    throw Error("training temperature must be positive, it is " + std::to_string(view.temperature));
  for (const std::int32_t token : view.banned)
    if (token < 0 || token >= config.vocab_size)
      throw Error("banned token " + std::to_string(token) + " is not in the vocabulary of " +
                  std::to_string(config.vocab_size));
  if (tokens_per_micro_batch < 1) throw Error("tokens per micro-batch must be at least 1");
}

std::unique_ptr<DecoderOps> ops_for(const DecoderConfig& config, const SamplingView& view,
                                    const std::string& device) {
  if (c10::Device(device).is_cpu()) return make_cpu_ops(config, view);
  return make_aten_ops(config, view, device);
}

class TorchTrainingEngine final : public TrainingEngine {
 public:
  TorchTrainingEngine(const DecoderConfig& config, const SamplingView& view,
                      std::int64_t tokens_per_micro_batch, const std::string& device)
      : config_(config),
        device_(device),
        tokens_per_micro_batch_(tokens_per_micro_batch),
        pass_(config, ops_for(config, view, device), device) {
    const c10::InferenceMode guard;
    const auto size = static_cast<std::int64_t>(manifest_of(config).elements);
    weights_ = at::zeros({size}, at::TensorOptions(at::kFloat).device(c10::Device(device)));
    gradient_ = at::zeros_like(weights_);
    hold_moments({0, static_cast<std::size_t>(size)}, static_cast<std::size_t>(size));
    weight_views_ = views_of(config, weights_);
    gradient_views_ = views_of(config, gradient_);
  }

  void forward_backward(std::span<const Sequence> sequences, const Weigh& weigh) override {
    const c10::InferenceMode guard;
    std::vector<TokenValue> values;
    std::vector<TokenWeight> weights;
    for (std::size_t first = 0; first < sequences.size();) {
      const std::size_t count = micro_batch(sequences.subspan(first), tokens_per_micro_batch_);
      const PackedBatch batch = pack(sequences.subspan(first, count), config_, device_);
      if (batch.target_count > 0) {
        pass_.forward(weight_views_, batch);
        read_values(values);
        weights.assign(values.size(), {});
        weigh(first, values, weights);
        pass_.backward(weight_views_, gradient_views_, batch,
                       on_device(&weights.front().log_prob, {batch.target_count, 2}));
      }
      first += count;
    }
  }

  std::vector<TokenValue> score(std::span<const Sequence> sequences, FlatWeights other) override {
    const c10::InferenceMode guard;
    const DecoderViews others =
        other ? views_of(config_, on_device(other.get(), {weights_.size(0)})) : DecoderViews{};
    std::vector<TokenValue> all, values;
    for (std::size_t first = 0; first < sequences.size();) {
      const std::size_t count = micro_batch(sequences.subspan(first), tokens_per_micro_batch_);
      const PackedBatch batch = pack(sequences.subspan(first, count), config_, device_);
      first += count;
      if (batch.target_count == 0) continue;
      pass_.forward(other ? others : weight_views_, batch);
      read_values(values);
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  }

  double gradient_norm() override {
    const c10::InferenceMode guard;
    return at::linalg_vector_norm(gradient_).item<double>();
  }

  void step(const AdamW& adamw, float learning_rate, float gradient_scale) override {
    const c10::InferenceMode guard;
    if (gradient_scale != 1.0f) gradient_.mul_(gradient_scale);
    steps_.add_(1);
    for (std::size_t done = 0; done < kept_.count; done += block_)
      step_range(adamw, learning_rate, {kept_.first + done, std::min(block_, kept_.count - done)});
    gradient_.zero_();
  }

  void zero_gradient() override {
    const c10::InferenceMode guard;
    gradient_.zero_();
  }

  void load(const float* weights) override {
    {
      const c10::InferenceMode guard;
      weights_.copy_(on_device(weights, {weights_.size(0)}));
      gradient_.zero_();
    }
    reset_optimizer();
  }

  void reset_optimizer() override {
    const c10::InferenceMode guard;
    first_moment_.zero_();
    second_moment_.zero_();
    steps_.zero_();
  }

  void copy_weights(float* out) const override {
    const c10::InferenceMode guard;
    at::from_blob(out, {weights_.size(0)}, at::kFloat).copy_(weights_);
  }

  std::uint64_t elements() const override { return static_cast<std::uint64_t>(weights_.size(0)); }

  std::span<float> weight_buffer() override { return flat(weights_); }
  std::span<float> gradient_buffer() override { return flat(gradient_); }
  bool buffers_on_host() const override { return weights_.is_cpu(); }
  void copy(float* to, const float* from, std::size_t count) override {
    const c10::InferenceMode guard;
    part_at(to, count).copy_(part_at(from, count));
  }
  double gradient_squares(FlatRange part) override {
    if (buffers_on_host()) return TrainingEngine::gradient_squares(part);
    const c10::InferenceMode guard;
    const at::Tensor values = gradient_.narrow(0, static_cast<std::int64_t>(part.first),
                                               static_cast<std::int64_t>(part.count));
    const auto norm =
        at::linalg_vector_norm(values, 2, std::nullopt, false, at::kDouble).item<double>();
    return norm * norm;
  }
  void divide(std::size_t block, FlatRange kept) override {
    const c10::InferenceMode guard;
    hold_moments(kept, block);
  }

 private:
  void hold_moments(FlatRange kept, std::size_t block) {
    kept_ = kept;
    block_ = block;
    first_moment_ = at::zeros({static_cast<std::int64_t>(kept.count)}, weights_.options());
    second_moment_ = at::zeros_like(first_moment_);
    steps_ = at::zeros({}, weights_.options());
  }

  void step_range(const AdamW& adamw, float learning_rate, FlatRange range) {
    const auto first = static_cast<std::int64_t>(range.first);
    const auto count = static_cast<std::int64_t>(range.count);
    const auto moment = static_cast<std::int64_t>(range.first - kept_.first);
    at::_fused_adamw_({weights_.narrow(0, first, count)}, {gradient_.narrow(0, first, count)},
                      {first_moment_.narrow(0, moment, count)},
                      {second_moment_.narrow(0, moment, count)}, {}, {steps_}, learning_rate,
                      adamw.beta1, adamw.beta2, adamw.weight_decay, adamw.epsilon,
                      /*amsgrad=*/false, /*maximize=*/true);
  }

  static std::span<float> flat(const at::Tensor& tensor) {
    return {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.size(0))};
  }

  /// Of the weights or the gradient, or else of this host's memory.
  at::Tensor part_at(const float* at, std::size_t count) const {
    for (const at::Tensor* buffer : {&weights_, &gradient_}) {
      const std::span<float> all = flat(*buffer);
      const std::less_equal<> before;
      if (before(all.data(), at) && before(at + count, all.data() + all.size()))
        return buffer->narrow(0, at - all.data(), static_cast<std::int64_t>(count));
    }
    return at::from_blob(const_cast<float*>(at), {static_cast<std::int64_t>(count)}, at::kFloat);
  }

  /// Without a copy on the CPU: the tensor then lives no longer than the data.
  at::Tensor on_device(const float* data, at::IntArrayRef shape) const {
    return at::from_blob(const_cast<float*>(data), shape, at::kFloat).to(c10::Device(device_));
  }

  void read_values(std::vector<TokenValue>& values) const {
    const at::Tensor log_probs = pass_.log_probs().cpu(), entropies = pass_.entropies().cpu();
    const auto* log_prob = log_probs.data_ptr<float>();
    const auto* entropy = entropies.data_ptr<float>();
    values.resize(static_cast<std::size_t>(log_probs.size(0)));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = {log_prob[i], entropy[i]};
  }

  DecoderConfig config_;
  std::string device_;
  std::int64_t tokens_per_micro_batch_;
  DecoderPass pass_;
  at::Tensor weights_, gradient_;            // [elements], float32
  at::Tensor first_moment_, second_moment_;  // [kept_.count], float32
  FlatRange kept_;                           // what `step` moves, block_ elements at a time
  std::size_t block_ = 0;
  at::Tensor steps_;  // [], float32: optimizer steps since the last reset
  DecoderViews weight_views_, gradient_views_;
};

}  // namespace

std::unique_ptr<TrainingEngine> make_torch_training_engine(const DecoderConfig& config,
                                                           const SamplingView& view,
                                                           std::int64_t tokens_per_micro_batch,
                                                           const std::string& device) {
  validate(config);
  check_view(config, view, tokens_per_micro_batch);
  return std::make_unique<TorchTrainingEngine>(config, view, tokens_per_micro_batch, device);
}

}  // namespace troupe::gpu
