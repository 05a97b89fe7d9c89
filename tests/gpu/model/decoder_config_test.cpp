#include "gpu/model/decoder_config.hpp"

#include "gpu/error.hpp"
#include "tests/support/tiny_models.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

TEST_SUITE_BEGIN("gpu/model");

using namespace troupe::gpu;

TEST_CASE("the architecture follows from biases and norms") {
  CHECK(architecture(tiny_llama()) == "LlamaForCausalLM");
  CHECK(architecture(tiny_qwen2()) == "Qwen2ForCausalLM");
  CHECK(architecture(tiny_qwen3()) == "Qwen3ForCausalLM");
}

TEST_CASE("the tiny shapes are valid") {
  CHECK_NOTHROW(validate(tiny_llama()));
  CHECK_NOTHROW(validate(tiny_qwen2()));
  CHECK_NOTHROW(validate(tiny_qwen3()));
}

TEST_CASE("a shape out of range is refused with the name of its field") {
  using Change = std::function<void(DecoderConfig&)>;
  const std::vector<std::pair<Change, std::string>> cases = {
      {[](auto& c) { c.vocab_size = 0; }, "vocab_size is 0, must be positive"},
      {[](auto& c) { c.hidden_size = -1; }, "hidden_size is -1, must be positive"},
      {[](auto& c) { c.intermediate_size = 0; }, "intermediate_size is 0, must be positive"},
      {[](auto& c) { c.num_layers = 0; }, "num_layers is 0, must be positive"},
      {[](auto& c) { c.num_heads = 0; }, "num_heads is 0, must be positive"},
      {[](auto& c) { c.num_kv_heads = 0; }, "num_kv_heads is 0, must be positive"},
      {[](auto& c) { c.num_kv_heads = 3; }, "num_kv_heads 3 does not divide num_heads 4"},
      {[](auto& c) { c.head_dim = 0; }, "head_dim is 0, must be positive"},
      {[](auto& c) { c.head_dim = 5; }, "head_dim is 5, RoPE needs an even one"},
      {[](auto& c) { c.max_positions = 0; }, "max_positions is 0, must be positive"},
      {[](auto& c) { c.rope_theta = 1.0f; }, "rope_theta must be above 1"},
      {[](auto& c) { c.rope_theta = std::numeric_limits<float>::infinity(); },
       "rope_theta must be above 1"},
      {[](auto& c) { c.rms_norm_eps = 0.0f; }, "rms_norm_eps must be positive"},
      {[](auto& c) { c.qkv_bias = c.qk_norm = true; },
       "qkv_bias (Qwen2) and qk_norm (Qwen3) are both set; no supported family has both"},
      {[](auto& c) { c.bos_token = 26; },
       "bos_token is 26, must be below vocab_size 26, or -1 for none"},
      {[](auto& c) { c.eos_token = -2; },
       "eos_token is -2, must be below vocab_size 26, or -1 for none"},
      {[](auto& c) { c.pad_token = 99; },
       "pad_token is 99, must be below vocab_size 26, or -1 for none"}};
  for (const auto& [change, message] : cases) {
    DecoderConfig config = tiny_llama();
    change(config);
    CHECK_THROWS_WITH_AS(validate(config), ("model shape: " + message).c_str(), Error);
  }
}

TEST_SUITE_END();
