#include "gpu/sampling/decode_pass.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace troupe::gpu {
namespace {

/// Rows computed at once: their activations stay in the second cache. Without influence on results.
constexpr std::size_t kRows = 96;

AlignedFloats rows_of(std::ptrdiff_t width) {
  return AlignedFloats(kRows * static_cast<std::size_t>(width));
}

void move_row(float* data, std::ptrdiff_t width, std::size_t from, std::size_t to) {
  const auto floats = static_cast<std::size_t>(width);
  std::memmove(data + to * floats, data + from * floats, floats * sizeof(float));
}

}  // namespace

RotationTables::RotationTables(const PackedDecoder& decoder, std::int32_t positions)
    : cos(static_cast<std::size_t>(positions * decoder.heads().dim)),
      sin(static_cast<std::size_t>(positions * decoder.heads().dim)) {
  const DecoderConfig& config = decoder.config();
  const std::int32_t half = config.head_dim / 2;
  for (std::int32_t i = 0; i < config.head_dim; ++i) {
    const double frequency = std::pow(static_cast<double>(config.rope_theta),
                                      -2.0 * static_cast<double>(i % half) / config.head_dim);
    for (std::int32_t position = 0; position < positions; ++position) {
      const std::ptrdiff_t at = position * decoder.heads().dim + decoder.place_in_head(i);
      const double angle = static_cast<double>(position) * frequency;
      cos.data()[at] = static_cast<float>(std::cos(angle));
      sin.data()[at] = static_cast<float>(i < half ? -std::sin(angle) : std::sin(angle));
    }
  }
}

DecodePass::DecodePass(const DecodeModel& model)
    : model_(model),
      x_(rows_of(model.decoder.hidden())),
      normed_(rows_of(model.decoder.hidden())),
      qkv_(rows_of(model.cache.heads().row())),
      attended_(rows_of(model.cache.heads().query * model.cache.heads().dim)),
      gate_up_(rows_of(2 * model.decoder.intermediate())),
      activated_(rows_of(model.decoder.intermediate())),
      logits_(rows_of(model.decoder.head().outputs())),
      scratch_(attention_scratch(model.cache.heads())) {}

void DecodePass::run(std::span<const Row> rows, std::span<const WantedRow> wanted, float* logits) {
  auto next = wanted.begin();
  for (std::size_t begin = 0; begin < rows.size(); begin += kRows) {
    const std::size_t end = std::min(rows.size(), begin + kRows);
    wanted_.clear();
    for (; next != wanted.end() && next->row < end; ++next)
      wanted_.push_back({next->row - begin, next->place});
    run_some(rows.subspan(begin, end - begin), logits);
  }
}

void DecodePass::run_some(std::span<const Row> rows, float* logits) {
  rows_.assign(rows.begin(), rows.end());
  embed();
  for (std::int32_t i = 0; i < model_.decoder.config().num_layers; ++i) layer(i);
  if (!rows_.empty()) head(logits);
}

void DecodePass::embed() {
  const auto width = static_cast<std::size_t>(model_.decoder.config().hidden_size);
  float* x = x_.data();
  for (const Row& row : rows_) {  // embeddings come first in the buffer (manifest.hpp)
    std::memcpy(x, model_.weights.get() + static_cast<std::size_t>(row.token) * width,
                width * sizeof(float));
    std::fill(x + width, x + model_.decoder.hidden(), 0.0f);
    x += model_.decoder.hidden();
  }
}

NormShape DecodePass::norm_shape(std::ptrdiff_t width, std::ptrdiff_t mean_over) const {
  return {count(), width, mean_over, model_.decoder.config().rms_norm_eps};
}

void DecodePass::norm(const float* weight) {
  model_.kernels.rms_norm(norm_shape(model_.decoder.hidden(), model_.decoder.config().hidden_size),
                          x_.data(), weight, normed_.data());
}

Rotation DecodePass::rotation(const PackedLayer& layer) const {
  const DecoderConfig& config = model_.decoder.config();
  Rotation rotation;
  rotation.cos = model_.rotations.cos.data();
  rotation.sin = model_.rotations.sin.data();
  rotation.query_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim)));
  rotation.norm = norm_shape(model_.cache.heads().dim, config.head_dim);
  if (config.qk_norm) {
    rotation.q_norm = layer.q_norm.data();
    rotation.k_norm = layer.k_norm.data();
  }
  return rotation;
}

void DecodePass::layer(std::int32_t index) {
  const PackedLayer& layer = model_.decoder.layers()[static_cast<std::size_t>(index)];
  const DecodeKernels& kernels = model_.kernels;
  const HeadShape& heads = model_.cache.heads();
  norm(layer.input_norm.data());
  Gemm qkv = layer.qkv.times(count(), normed_.data(), qkv_.data());
  if (model_.decoder.config().qkv_bias) qkv.addend = layer.qkv_bias.data(), qkv.addend_row = 0;
  kernels.gemm(qkv);
  cached_.clear();
  for (const Row& row : rows_) cached_.push_back(model_.cache.row(index, row.slot, row.position));
  kernels.append(heads, rotation(layer), cached_.data(), count(), qkv_.data());
  if (index + 1 == model_.decoder.config().num_layers) keep_wanted();
  kernels.attention(heads, cached_.data(), count(), qkv_.data(), attended_.data(), scratch_.data());
  Gemm output = layer.output.times(count(), attended_.data(), x_.data());
  output.addend = x_.data();
  kernels.gemm(output);
  norm(layer.post_norm.data());
  kernels.gemm(layer.gate_up.times(count(), normed_.data(), gate_up_.data()));
  kernels.swiglu(count(), model_.decoder.intermediate(), gate_up_.data(), activated_.data());
  Gemm down = layer.down.times(count(), activated_.data(), x_.data());
  down.addend = x_.data();
  kernels.gemm(down);
}

/// The last layer's keys and values are all in the cache: of the rest only wanted rows go on.
void DecodePass::keep_wanted() {
  if (wanted_.size() == rows_.size()) return;
  for (std::size_t i = 0; i < wanted_.size(); ++i) {
    const std::size_t from = wanted_[i].row;
    rows_[i] = rows_[from];
    cached_[i] = cached_[from];
    move_row(x_.data(), model_.decoder.hidden(), from, i);
    move_row(qkv_.data(), model_.cache.heads().row(), from, i);
  }
  rows_.resize(wanted_.size());
  cached_.resize(wanted_.size());
}

void DecodePass::head(float* logits) {
  norm(model_.decoder.final_norm());
  const PackedMatrix& matrix = model_.decoder.head();
  const auto width = static_cast<std::size_t>(model_.decoder.config().vocab_size);
  const auto outputs = static_cast<std::size_t>(matrix.outputs());
  model_.kernels.gemm(matrix.times(count(), normed_.data(), logits_.data()));
  for (std::size_t i = 0; i < wanted_.size(); ++i)
    std::memcpy(logits + wanted_[i].place * width, logits_.data() + i * outputs,
                width * sizeof(float));
}

}  // namespace troupe::gpu
