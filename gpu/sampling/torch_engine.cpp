#include "gpu/error.hpp"
#include "gpu/model/decoder_views.hpp"
#include "gpu/sampling/engine.hpp"
#include "gpu/sampling/slot_lengths.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <algorithm>
#include <array>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <cmath>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace troupe::gpu {
namespace {

using Indices = std::vector<std::int64_t>;

/// Consecutive rows of one slot, rows[first .. first + count).
struct Run {
  std::int64_t slot, first, count, end;  // end: positions in the slot after these rows
};

/// How the rows of one call attend. Rows 0..decode-1 are one new token each of slots 0..decode-1;
/// the others are runs.
struct Plan {
  std::int64_t decode = 0;
  std::int64_t decode_length = 0;  // the longest live length among decode rows
  std::vector<Run> runs;
  std::int64_t longest_run = 0, run_length = 0;  // rows; positions
};

/// Tensors of a plan that all layers share.
struct Step {
  std::int64_t rows = 0;
  at::Tensor cos,
      sin;  // [rows, heads + kv_heads, head_dim], queries' part scaled by 1/sqrt(head_dim)
  at::Tensor cache_rows;   // [rows * kv_heads] into the cache of a layer as [slots * kv_heads *
                           // capacity, head_dim]
  at::Tensor decode_mask;  // [decode * kv_heads, 1, decode_length], 0 or -infinity
  at::Tensor run_slots;    // [runs]
  at::Tensor run_rows;     // [runs * longest_run] row of each query; short runs repeat their last
  at::Tensor run_outputs;  // [rows - decode] place of each row among those
  at::Tensor run_mask;     // [runs * kv_heads, group * longest_run, run_length]
};

/// 0 where a key may be seen, -infinity where it is hidden.
at::Tensor additive(const at::Tensor& hidden) {
  const auto options = hidden.options().dtype(at::kFloat);
  return at::where(hidden, at::scalar_tensor(-std::numeric_limits<float>::infinity(), options),
                   at::scalar_tensor(0.0f, options));
}

struct TorchWeights final : PreparedWeights {
  using PreparedWeights::PreparedWeights;
  at::Tensor on_device;  // away from the CPU: the values there
  DecoderViews views;
  std::vector<at::Tensor> qk_norms;  // [heads + kv_heads, head_dim] per layer
};

/// Work of this thread for as long as it lives, beside what others compute on the device; the CPU has no such thing.
class SideStream {
 public:
  explicit SideStream(c10::Device device) {
    if (device.is_cpu()) return;
    guard_.emplace(device.type());
    stream_ = guard_->getStreamFromGlobalPool(device);
    before_ = guard_->exchangeStream(*stream_);
  }
  SideStream(const SideStream&) = delete;
  SideStream& operator=(const SideStream&) = delete;
  ~SideStream() {
    if (guard_) guard_->exchangeStream(*before_);
  }
  void finish() const {
    if (guard_) guard_->synchronizeStream(*stream_);
  }

 private:
  std::optional<c10::impl::VirtualGuardImpl> guard_;
  std::optional<c10::Stream> stream_, before_;
};

class TorchEngine final : public Engine {
 public:
  TorchEngine(const DecoderConfig& config, std::int32_t slots, std::int32_t capacity,
              const std::string& device);

  void forward(std::span<const Row> rows, std::span<const std::int32_t> wanted,
               float* logits) override;
  void copy_prefix(std::int32_t from, std::int32_t to, std::int32_t length) override;
  PreparedPtr prepare(FlatWeights weights) override;
  void swap(const PreparedPtr& weights) override;

  std::int32_t slots() const override { return slots_; }
  std::int32_t capacity() const override { return capacity_; }
  std::int32_t vocab() const override { return config_.vocab_size; }
  bool batch_invariant() const override { return false; }

 private:
  at::Tensor device_room(const at::Tensor& values);
  Step step_of(std::span<const Row> rows, const Plan& plan) const;
  void add_runs(const Plan& plan, Step& step) const;
  at::Tensor layer(std::size_t index, const at::Tensor& x, const Plan& plan, const Step& step);
  at::Tensor attend(std::size_t index, const at::Tensor& queries, const Plan& plan,
                    const Step& step) const;
  at::Tensor attend_decode(const at::Tensor& keys, const at::Tensor& values,
                           const at::Tensor& queries, const Plan& plan, const Step& step) const;
  at::Tensor attend_runs(const at::Tensor& keys, const at::Tensor& values,
                         const at::Tensor& queries, const Plan& plan, const Step& step) const;
  void append(const at::Tensor& cache, const Step& step, const at::Tensor& heads) const;
  at::Tensor norm(const at::Tensor& x, const at::Tensor& weight) const;
  at::Tensor indices(const Indices& values) const;

  DecoderConfig config_;
  std::int64_t slots_, capacity_, heads_, kv_heads_, head_dim_, group_;
  c10::Device device_;
  at::Tensor all_caches_;  // [layers, 2, slots, kv_heads, capacity, head_dim]
  std::vector<std::array<at::Tensor, 2>> cache_;  // keys and values of each layer: views of it
  at::Tensor cos_, sin_;  // [capacity, heads + kv_heads, head_dim], scaled as in Step
  SlotLengths lengths_;
  std::shared_ptr<TorchWeights> weights_;  // null: none yet
  std::mutex spare_mutex_;
  at::Tensor spare_;  // away from the CPU: where the version before was; the next one goes there
};

Plan plan_of(std::span<const Row> rows) {
  Plan plan;
  const auto count = static_cast<std::int64_t>(rows.size());
  const auto row = [&](std::int64_t i) { return rows[static_cast<std::size_t>(i)]; };
  std::int64_t i = 0;
  for (; i < count && row(i).slot == i && (i + 1 == count || row(i + 1).slot != i); ++i) {
    plan.decode_length = std::max<std::int64_t>(plan.decode_length, row(i).position + 1);
  }
  plan.decode = i;
  while (i < count) {
    Run run{row(i).slot, i, 0, 0};
    for (; i < count && row(i).slot == run.slot; ++i) ++run.count;
    run.end = row(i - 1).position + 1;
    plan.longest_run = std::max(plan.longest_run, run.count);
    plan.run_length = std::max(plan.run_length, run.end);
    plan.runs.push_back(run);
  }
  return plan;
}

/// [positions, half] -> [positions, heads + kv_heads, 2 * half]: both halves alike (the first times
/// `first_half`), and the attention scale in the queries' part, so that rotation and scaling are
/// one product.
at::Tensor widen(const at::Tensor& table, const DecoderConfig& config, double first_half) {
  const at::Tensor both = at::cat({table.mul(first_half), table}, -1).unsqueeze(1);
  const double scale = 1.0 / std::sqrt(static_cast<double>(config.head_dim));
  return at::cat({both.mul(scale).expand({-1, config.num_heads, -1}),
                  both.expand({-1, config.num_kv_heads, -1})},
                 1)
      .contiguous();
}

TorchEngine::TorchEngine(const DecoderConfig& config, std::int32_t slots, std::int32_t capacity,
                         const std::string& device)
    : config_(config),
      slots_(slots),
      capacity_(capacity),
      heads_(config.num_heads),
      kv_heads_(config.num_kv_heads),
      head_dim_(config.head_dim),
      group_(config.num_heads / std::max(1, config.num_kv_heads)),
      device_(device),
      lengths_(config, slots, capacity) {
  const c10::InferenceMode guard;
  const auto options = at::TensorOptions(device_).dtype(at::kFloat);
  all_caches_ = at::zeros({config.num_layers, 2, slots_, kv_heads_, capacity_, head_dim_}, options);
  for (std::int64_t i = 0; i < config.num_layers; ++i) {
    cache_.push_back(
        {all_caches_.select(0, i).select(0, 0), all_caches_.select(0, i).select(0, 1)});
  }
  const auto [cos, sin] = rope_tables(config, device);
  cos_ = widen(cos.narrow(0, 0, capacity_), config, 1.0);
  sin_ = widen(sin.narrow(0, 0, capacity_), config, -1.0);
}

at::Tensor TorchEngine::device_room(const at::Tensor& values) {
  {
    const std::lock_guard lock(spare_mutex_);
    if (spare_.defined()) return std::exchange(spare_, {});
  }
  return at::empty(values.sizes(), values.options().device(device_));
}

PreparedPtr TorchEngine::prepare(FlatWeights weights) {
  const c10::InferenceMode guard;
  const SideStream stream(device_);
  const auto elements = static_cast<std::int64_t>(manifest_of(config_).elements);
  at::Tensor flat = at::from_blob(const_cast<float*>(weights.get()), {elements}, at::kFloat);
  auto prepared = std::make_shared<TorchWeights>(std::move(weights));
  if (!device_.is_cpu()) flat = prepared->on_device = device_room(flat).copy_(flat);
  prepared->views = views_of(config_, flat);
  for (const LayerViews& views : prepared->views.layers) {
    if (!config_.qk_norm) break;
    prepared->qk_norms.push_back(at::cat(
        {views.q_norm.expand({heads_, head_dim_}), views.k_norm.expand({kv_heads_, head_dim_})}));
  }
  stream.finish();
  return prepared;
}

/// No forward call reads the version before any more: each ends with its logits on the host.
void TorchEngine::swap(const PreparedPtr& weights) {
  const auto before = std::exchange(weights_, std::static_pointer_cast<TorchWeights>(weights));
  if (!before) return;
  const std::lock_guard lock(spare_mutex_);
  spare_ = std::move(before->on_device);
}

void TorchEngine::forward(std::span<const Row> rows, std::span<const std::int32_t> wanted,
                          float* logits) {
  if (!weights_) throw Error("the engine has no weights: call swap() before forward()");
  lengths_.append(rows, wanted);
  if (rows.empty()) return;
  const c10::InferenceMode guard;
  const Plan plan = plan_of(rows);
  const Step step = step_of(rows, plan);
  Indices tokens;
  for (const Row& row : rows) tokens.push_back(row.token);
  at::Tensor x = weights_->views.embeddings.index_select(0, indices(tokens));
  for (std::size_t i = 0; i < weights_->views.layers.size(); ++i) x = layer(i, x, plan, step);
  if (wanted.empty()) return;
  if (wanted.size() < rows.size()) {
    x = x.index_select(0, indices(Indices(wanted.begin(), wanted.end())));
  }
  at::Tensor out = at::from_blob(logits, {x.size(0), config_.vocab_size}, at::kFloat);
  const at::Tensor normed = norm(x, weights_->views.final_norm);
  if (device_.is_cpu()) {
    at::mm_out(out, normed, weights_->views.head.t());
  } else {
    out.copy_(at::mm(normed, weights_->views.head.t()));
  }
}

void TorchEngine::copy_prefix(std::int32_t from, std::int32_t to, std::int32_t length) {
  lengths_.copy(from, to, length);
  if (from == to) return;
  const c10::InferenceMode guard;
  const at::Tensor source = all_caches_.select(2, from).narrow(3, 0, length);
  all_caches_.select(2, to).narrow(3, 0, length).copy_(source);
}

at::Tensor TorchEngine::indices(const Indices& values) const {
  const at::Tensor host = at::from_blob(const_cast<std::int64_t*>(values.data()),
                                        {static_cast<std::int64_t>(values.size())}, at::kLong);
  return host.to(device_, /*non_blocking=*/false, /*copy=*/true);
}

Step TorchEngine::step_of(std::span<const Row> rows, const Plan& plan) const {
  Step step;
  step.rows = static_cast<std::int64_t>(rows.size());
  Indices positions, cache_rows;
  for (const Row& row : rows) {
    positions.push_back(row.position);
    for (std::int64_t head = 0; head < kv_heads_; ++head) {
      cache_rows.push_back((row.slot * kv_heads_ + head) * capacity_ + row.position);
    }
  }
  const at::Tensor position = indices(positions);
  step.cos = cos_.index_select(0, position);
  step.sin = sin_.index_select(0, position);
  step.cache_rows = indices(cache_rows);
  if (plan.decode > 0) {
    const at::Tensor key = at::arange(plan.decode_length, position.options());
    const at::Tensor last = position.narrow(0, 0, plan.decode).repeat_interleave(kv_heads_);
    step.decode_mask = additive(key.gt(last.view({-1, 1, 1})));
  }
  if (!plan.runs.empty()) add_runs(plan, step);
  return step;
}

/// Runs are padded to the longest: a short one repeats its last row, whose results are then left
/// out.
void TorchEngine::add_runs(const Plan& plan, Step& step) const {
  Indices slots, gather, ends, outputs;
  for (const Run& run : plan.runs) {
    const auto index = static_cast<std::int64_t>(slots.size());
    slots.push_back(run.slot);
    for (std::int64_t i = 0; i < plan.longest_run; ++i) {
      const std::int64_t row = std::min(i, run.count - 1);
      gather.push_back(run.first + row);
      ends.push_back(run.end - run.count + row);
      if (i < run.count) outputs.push_back(index * plan.longest_run + i);
    }
  }
  const auto runs = static_cast<std::int64_t>(slots.size());
  step.run_slots = indices(slots);
  step.run_rows = indices(gather);
  step.run_outputs = indices(outputs);
  const at::Tensor key = at::arange(plan.run_length, step.run_rows.options());
  const at::Tensor last = indices(ends).view({runs, 1, 1, plan.longest_run, 1});
  step.run_mask = additive(key.gt(last))
                      .expand({runs, kv_heads_, group_, plan.longest_run, plan.run_length})
                      .reshape({runs * kv_heads_, group_ * plan.longest_run, plan.run_length});
}

/// RMSNorm over the last dimension. Source: arXiv:1910.07467.
at::Tensor TorchEngine::norm(const at::Tensor& x, const at::Tensor& weight) const {
  const at::Tensor scale = x.square().mean(-1, true).add_(config_.rms_norm_eps).rsqrt_();
  return x.mul(scale).mul_(weight);
}

at::Tensor TorchEngine::layer(std::size_t index, const at::Tensor& x, const Plan& plan,
                              const Step& step) {
  const LayerViews& views = weights_->views.layers[index];
  const at::Tensor h = norm(x, views.input_norm);
  const at::Tensor qkv = views.qkv_bias.defined() ? at::addmm(views.qkv_bias, h, views.qkv.t())
                                                  : at::mm(h, views.qkv.t());
  const std::int64_t rotated_heads = heads_ + kv_heads_, half = head_dim_ / 2;
  at::Tensor qk =
      qkv.narrow(1, 0, rotated_heads * head_dim_).view({step.rows, rotated_heads, head_dim_});
  if (config_.qk_norm) qk = norm(qk, weights_->qk_norms[index]);
  const at::Tensor swapped = at::cat({qk.narrow(2, half, half), qk.narrow(2, 0, half)}, 2);
  qk = qk.mul(step.cos).addcmul_(swapped, step.sin);

  const at::Tensor v = qkv.narrow(1, rotated_heads * head_dim_, kv_heads_ * head_dim_);
  append(cache_[index][0], step, qk.narrow(1, heads_, kv_heads_));
  append(cache_[index][1], step, v);
  const at::Tensor attended = attend(index, qk.narrow(1, 0, heads_), plan, step);
  const at::Tensor after = at::addmm(x, attended, views.output.t());

  const at::Tensor gate_up = at::mm(norm(after, views.post_norm), views.gate_up.t());
  at::Tensor activated = at::silu(gate_up.narrow(1, 0, config_.intermediate_size));
  activated.mul_(gate_up.narrow(1, config_.intermediate_size, config_.intermediate_size));
  return at::addmm(after, activated, views.down.t());
}

/// cache: [slots, kv_heads, capacity, head_dim]; heads: kv_heads * head_dim numbers per row.
void TorchEngine::append(const at::Tensor& cache, const Step& step, const at::Tensor& heads) const {
  cache.view({-1, head_dim_})
      .index_copy_(0, step.cache_rows, heads.reshape({step.rows * kv_heads_, head_dim_}));
}

/// queries: [rows, heads, head_dim], scaled. Returns [rows, heads * head_dim].
at::Tensor TorchEngine::attend(std::size_t index, const at::Tensor& queries, const Plan& plan,
                               const Step& step) const {
  const at::Tensor& keys = cache_[index][0];
  const at::Tensor& values = cache_[index][1];
  if (plan.runs.empty()) return attend_decode(keys, values, queries, plan, step);
  const at::Tensor runs = attend_runs(keys, values, queries, plan, step);
  if (plan.decode == 0) return runs;
  const at::Tensor decoded =
      attend_decode(keys, values, queries.narrow(0, 0, plan.decode), plan, step);
  return at::cat({decoded, runs});
}

/// The query heads of one KV head are the rows of one matrix, so grouped heads cost no copy of keys
/// or values.
at::Tensor TorchEngine::attend_decode(const at::Tensor& keys, const at::Tensor& values,
                                      const at::Tensor& queries, const Plan& plan,
                                      const Step& step) const {
  const std::int64_t n = plan.decode;
  const auto live = [&](const at::Tensor& cache) {
    return cache.narrow(0, 0, n)
        .view({n * kv_heads_, capacity_, head_dim_})
        .narrow(1, 0, plan.decode_length);
  };
  const at::Tensor q = queries.reshape({n * kv_heads_, group_, head_dim_});
  const at::Tensor scores = at::baddbmm(step.decode_mask, q, live(keys).transpose(1, 2));
  return at::bmm(at::softmax(scores, -1), live(values)).view({n, heads_ * head_dim_});
}

at::Tensor TorchEngine::attend_runs(const at::Tensor& keys, const at::Tensor& values,
                                    const at::Tensor& queries, const Plan& plan,
                                    const Step& step) const {
  const auto runs = static_cast<std::int64_t>(plan.runs.size());
  const auto gather = [&](const at::Tensor& cache) {
    return cache.narrow(2, 0, plan.run_length)
        .index_select(0, step.run_slots)
        .view({runs * kv_heads_, plan.run_length, head_dim_});
  };
  const at::Tensor q = queries.index_select(0, step.run_rows)
                           .view({runs, plan.longest_run, kv_heads_, group_, head_dim_})
                           .permute({0, 2, 3, 1, 4})
                           .reshape({runs * kv_heads_, group_ * plan.longest_run, head_dim_});
  const at::Tensor scores = at::baddbmm(step.run_mask, q, gather(keys).transpose(1, 2));
  return at::bmm(at::softmax(scores, -1), gather(values))
      .view({runs, kv_heads_, group_, plan.longest_run, head_dim_})
      .permute({0, 3, 1, 2, 4})
      .reshape({runs * plan.longest_run, heads_ * head_dim_})
      .index_select(0, step.run_outputs);
}

}  // namespace

std::unique_ptr<Engine> make_torch_engine(const DecoderConfig& config, std::int32_t slots,
                                          std::int32_t capacity, const std::string& device) {
  return std::make_unique<TorchEngine>(config, slots, capacity, device);
}

}  // namespace troupe::gpu
