#include "gpu/model/decoder_views.hpp"

#include "gpu/model/manifest.hpp"
#include "tests/support/tiny_models.hpp"

#include <doctest/doctest.h>

#include <ATen/ops/arange.h>
#include <cmath>

TEST_SUITE_BEGIN("gpu/model");

using namespace troupe::gpu;

namespace {

/// A buffer whose element i is i, so that a view's first number is its offset.
at::Tensor numbered(const DecoderConfig& config) {
  return at::arange(static_cast<std::int64_t>(manifest_of(config).elements), at::kFloat);
}

std::uint64_t first(const at::Tensor& view) {
  return static_cast<std::uint64_t>(*view.const_data_ptr<float>());
}

}  // namespace

TEST_CASE("views lie at the offsets of the manifest and join q k v and gate up") {
  const DecoderConfig config = tiny_qwen2();
  const Manifest manifest = manifest_of(config);
  const at::Tensor flat = numbered(config);
  const DecoderViews views = views_of(config, flat);
  REQUIRE(views.layers.size() == 2);
  const LayerViews& layer = views.layers[1];
  const auto offset = [&](const std::string& name) {
    return manifest.find("model.layers.1." + name).offset;
  };
  CHECK((layer.qkv.sizes() == at::IntArrayRef{30, 18}));
  CHECK((layer.qkv_bias.sizes() == at::IntArrayRef{30}));
  CHECK((layer.gate_up.sizes() == at::IntArrayRef{80, 18}));
  CHECK(first(layer.qkv) == offset("self_attn.q_proj.weight"));
  CHECK(first(layer.qkv.select(0, 18)) == offset("self_attn.k_proj.weight"));
  CHECK(first(layer.qkv.select(0, 24)) == offset("self_attn.v_proj.weight"));
  CHECK(first(layer.qkv_bias.narrow(0, 24, 1)) == offset("self_attn.v_proj.bias"));
  CHECK(first(layer.gate_up.select(0, 40)) == offset("mlp.up_proj.weight"));
  CHECK(first(layer.down) == offset("mlp.down_proj.weight"));
  CHECK(first(layer.output) == offset("self_attn.o_proj.weight"));
  CHECK(first(layer.post_norm) == offset("post_attention_layernorm.weight"));
  CHECK(first(views.head) == manifest.find("lm_head.weight").offset);
  CHECK_FALSE(layer.q_norm.defined());
}

TEST_CASE(
    "tied models use the embeddings as their head and writing to a view writes to the buffer") {
  const DecoderConfig config = tiny_qwen3();
  at::Tensor flat = numbered(config);
  const DecoderViews views = views_of(config, flat);
  CHECK(views.head.data_ptr() == views.embeddings.data_ptr());
  CHECK((views.layers[0].k_norm.sizes() == at::IntArrayRef{12}));
  CHECK_FALSE(views.layers[0].qkv_bias.defined());
  views.final_norm.fill_(-1.0f);
  CHECK(flat.const_data_ptr<float>()[manifest_of(config).find("model.norm.weight").offset] ==
        -1.0f);
}

TEST_CASE("rope tables hold the cosines and sines of position times frequency") {
  DecoderConfig config = tiny_llama();  // head_dim 4, theta 1000: frequencies 1 and 1000^-0.5
  const auto [cos, sin] = rope_tables(config, "cpu");
  REQUIRE((cos.sizes() == at::IntArrayRef{64, 2}));
  const float* c = cos.const_data_ptr<float>();
  const float* s = sin.const_data_ptr<float>();
  CHECK(c[0] == 1.0f);
  CHECK(s[1] == 0.0f);
  CHECK(c[2] == doctest::Approx(0.5403023f));           // cos 1
  CHECK(s[2] == doctest::Approx(0.8414710f));           // sin 1
  CHECK(c[2 * 10 + 1] == doctest::Approx(0.9504153f));  // cos 0.3162278
  CHECK(s[2 * 10 + 1] == doctest::Approx(0.3109836f));
  CHECK(c[2 * 63] == doctest::Approx(0.9858966f));  // cos 63
}

TEST_SUITE_END();
