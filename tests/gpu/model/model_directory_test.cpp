#include "gpu/model/model_directory.hpp"

#include "gpu/error.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/tiny_models.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

TEST_SUITE_BEGIN("gpu/model");

using namespace troupe;
using namespace troupe::gpu;
using nlohmann::json;

namespace {

json saved_config(const DecoderConfig& config) {
  const TemporaryDirectory directory;
  save_model(directory.path(), config, random_weights(config, 1).data());
  return json::parse(read_file(directory.path() / "config.json"));
}

DecoderConfig loaded(const json& config) {
  const TemporaryDirectory directory;
  write_file(directory.path() / "config.json", config.dump());
  return load_decoder_config(directory.path() / "config.json");
}

/// The message with which a saved Llama config with these keys changed is refused, without the
/// file's name.
std::string refusal(const json& changes, DecoderConfig base = tiny_llama()) {
  const TemporaryDirectory directory;
  const std::filesystem::path file = directory.path() / "config.json";
  json config = saved_config(base);
  config.merge_patch(changes);
  for (const auto& [key, value] : changes.items()) config[key] = value;  // null stays null
  write_file(file, config.dump());
  try {
    load_decoder_config(file);
  } catch (const Error& error) {
    const std::string message = error.what();
    REQUIRE(message.starts_with(file.string() + ": "));
    return message.substr(file.string().size() + 2);
  }
  return "";
}

/// The message with which the directory is refused, its name written as DIR.
std::string load_refusal(const std::filesystem::path& directory) {
  try {
    load_model(directory);
  } catch (const Error& error) {
    std::string message = error.what();
    for (auto at = message.find(directory.string()); at != std::string::npos;
         at = message.find(directory.string())) {
      message.replace(at, directory.string().size(), "DIR");
    }
    return message;
  }
  return "";
}

void write_shard(const std::filesystem::path& file, const DecoderConfig& config,
                 const std::vector<float>& weights, std::size_t first, std::size_t last) {
  const Manifest all = manifest_of(config);
  Manifest part;
  for (std::size_t i = first; i < last; ++i) {
    part.tensors.push_back(all.tensors[i]);
    part.tensors.back().offset -= all.tensors[first].offset;
    part.elements += static_cast<std::uint64_t>(all.tensors[i].elements());
  }
  write_safetensors(file, part, weights.data() + all.tensors[first].offset);
}

/// config.json, two shards and an index, as Hugging Face cuts large models.
void save_sharded(const std::filesystem::path& directory, const DecoderConfig& config,
                  const std::vector<float>& weights) {
  save_model(directory, config, weights.data());
  std::filesystem::remove(directory / "model.safetensors");
  const Manifest manifest = manifest_of(config);
  write_shard(directory / "model-00001-of-00002.safetensors", config, weights, 0, 5);
  write_shard(directory / "model-00002-of-00002.safetensors", config, weights, 5,
              manifest.tensors.size());
  json index{{"metadata", {{"total_size", manifest.bytes()}}}};
  for (std::size_t i = 0; i < manifest.tensors.size(); ++i) {
    index["weight_map"][manifest.tensors[i].name] =
        i < 5 ? "model-00001-of-00002.safetensors" : "model-00002-of-00002.safetensors";
  }
  write_file(directory / "model.safetensors.index.json", index.dump());
}

}  // namespace

TEST_CASE("a saved model is read back with the same shape and the same bits") {
  DecoderConfig bare = tiny_llama();
  bare.bos_token = bare.eos_token = bare.pad_token = -1;
  bare.rms_norm_eps = 1e-5f;
  bare.rope_theta = 500000.0f;
  for (const DecoderConfig& config : {tiny_llama(), tiny_qwen2(), tiny_qwen3(), bare}) {
    const TemporaryDirectory directory;
    const std::vector<float> weights = random_weights(config, 1);
    save_model(directory.path(), config, weights.data());
    const LoadedModel model = load_model(directory.path());
    CHECK(model.config == config);
    CHECK(model.weights == weights);
  }
}

TEST_CASE("a saved config speaks the language of Hugging Face") {
  const json config = saved_config(tiny_qwen3());
  CHECK(config["architectures"] == json{"Qwen3ForCausalLM"});
  CHECK(config["model_type"] == "qwen3");
  CHECK(config["num_hidden_layers"] == 3);
  CHECK(config["num_attention_heads"] == 2);
  CHECK(config["num_key_value_heads"] == 2);
  CHECK(config["head_dim"] == 12);
  CHECK(config["max_position_embeddings"] == 64);
  CHECK(config["rms_norm_eps"] == 1e-6);
  CHECK(config["rope_theta"] == 10000.0);
  CHECK(config["rope_scaling"].is_null());
  CHECK(config["tie_word_embeddings"] == true);
  CHECK(config["hidden_act"] == "silu");
  CHECK(config["torch_dtype"] == "float32");
  CHECK(config["eos_token_id"] == 2);
  CHECK(saved_config(tiny_qwen2())["model_type"] == "qwen2");
  CHECK(saved_config(tiny_llama())["model_type"] == "llama");
}

TEST_CASE("generation_config.json names the special tokens that there are") {
  const TemporaryDirectory directory;
  DecoderConfig config = tiny_llama();
  config.pad_token = -1;
  save_model(directory.path(), config, random_weights(config, 1).data());
  const json generation = json::parse(read_file(directory.path() / "generation_config.json"));
  CHECK(generation["bos_token_id"] == 1);
  CHECK(generation["eos_token_id"] == 2);
  CHECK_FALSE(generation.contains("pad_token_id"));
}

TEST_CASE("keys that published models leave out or write otherwise are understood") {
  json config = saved_config(tiny_llama());
  for (const char* key : {"head_dim", "num_key_value_heads", "rms_norm_eps", "rope_theta",
                          "tie_word_embeddings", "architectures", "bos_token_id", "hidden_act"}) {
    config.erase(key);
  }
  config["eos_token_id"] = {5, 6};
  const DecoderConfig plain = loaded(config);
  CHECK(plain.head_dim == 4);
  CHECK(plain.num_kv_heads == 4);
  CHECK(plain.rms_norm_eps == 1e-6f);
  CHECK(plain.rope_theta == 10000.0f);
  CHECK_FALSE(plain.tied_embeddings);
  CHECK(plain.bos_token == -1);
  CHECK(plain.eos_token == 5);
  config["rope_parameters"] = {{"rope_theta", 5000.0}, {"rope_type", "default"}};
  CHECK(loaded(config).rope_theta == 5000.0f);
  config["model_type"] = "qwen3";
  CHECK(loaded(config).head_dim == 128);
}

TEST_CASE("a config that asks for what is not supported is refused by key") {
  CHECK(refusal({{"hidden_act", "gelu"}}) == "hidden_act is \"gelu\"; only \"silu\" is supported");
  CHECK(refusal({{"rope_scaling", {{"rope_type", "llama3"}}}}) ==
        "rope_scaling is {\"rope_type\":\"llama3\"}; only unscaled RoPE is supported");
  CHECK(refusal({{"rope_parameters", {{"rope_type", "yarn"}}}}) ==
        "rope_parameters is {\"rope_type\":\"yarn\"}; only unscaled RoPE is supported");
  CHECK(refusal({{"use_sliding_window", true}}, tiny_qwen2()) ==
        "use_sliding_window is true; only false is supported");
  CHECK(refusal({{"layer_types", {"full_attention", "sliding_attention"}}}, tiny_qwen3()) ==
        "layer_types has \"sliding_attention\"; only full_attention is supported");
  CHECK(refusal({{"attention_bias", true}}) == "attention_bias is true; only false is supported");
  CHECK(refusal({{"mlp_bias", true}}) == "mlp_bias is true; only false is supported");
  CHECK(refusal({{"partial_rotary_factor", 0.5}}) ==
        "partial_rotary_factor is 0.5; only 1.0 is supported");
  CHECK(refusal({{"quantization_config", {{"bits", 4}}}}) ==
        "quantization_config is set; quantised weights cannot be read, use the original model");
  CHECK(refusal({{"model_type", "mistral"}}) ==
        "model_type 'mistral' is not supported; only llama, qwen2 and qwen3 are");
  CHECK(refusal({{"model_type", nullptr}}) ==
        "model_type is missing; it must be llama, qwen2 or qwen3");
  CHECK(
      refusal({{"architectures", {"Qwen3MoeForCausalLM"}}}, tiny_qwen3()) ==
      "architectures is [\"Qwen3MoeForCausalLM\"]; with model_type qwen3 only Qwen3ForCausalLM is "
      "supported");
}

TEST_CASE("a config with missing or wrong values is refused by key") {
  for (const char* key : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                          "num_attention_heads", "max_position_embeddings"}) {
    CHECK(refusal({{key, nullptr}}) == std::string(key) + " is missing");
  }
  CHECK(refusal({{"vocab_size", 2.5}}) == "vocab_size is 2.5, not a 32-bit integer");
  CHECK(refusal({{"vocab_size", 99999999999}}) ==
        "vocab_size is 99999999999, not a 32-bit integer");
  CHECK(refusal({{"rope_theta", "big"}}) == "rope_theta is \"big\", not a number");
  CHECK(refusal({{"tie_word_embeddings", 1}}) == "tie_word_embeddings is 1, not true or false");
  CHECK(refusal({{"num_key_value_heads", 3}}) ==
        "model shape: num_kv_heads 3 does not divide num_heads 4");
  CHECK(refusal({{"head_dim", nullptr}, {"hidden_size", 18}}) ==
        "head_dim is missing and num_attention_heads does not divide hidden_size");
}

TEST_CASE("shards are read through their index") {
  const TemporaryDirectory directory;
  const std::vector<float> weights = random_weights(tiny_qwen2(), 2);
  save_sharded(directory.path(), tiny_qwen2(), weights);
  CHECK(load_model(directory.path()).weights == weights);
}

TEST_CASE("damaged sets of shards are refused") {
  const TemporaryDirectory directory;
  save_sharded(directory.path(), tiny_qwen2(), random_weights(tiny_qwen2(), 2));
  const std::filesystem::path index = directory.path() / "model.safetensors.index.json";
  const json whole = json::parse(read_file(index));
  const auto with_shard = [&](const json& name) {
    json changed = whole;
    changed["weight_map"]["lm_head.weight"] = name;
    write_file(index, changed.dump());
    return load_refusal(directory.path());
  };
  CHECK(with_shard("../other.safetensors") ==
        "DIR/model.safetensors.index.json: the shard of 'lm_head.weight' is "
        "\"../other.safetensors\", not a plain file name");
  CHECK(with_shard(7) ==
        "DIR/model.safetensors.index.json: the shard of 'lm_head.weight' is 7, not a plain file "
        "name");
  CHECK(with_shard("none.safetensors") ==
        "DIR/none.safetensors is missing; DIR/model.safetensors.index.json says it holds "
        "'lm_head.weight'");
  std::filesystem::copy_file(directory.path() / "model-00001-of-00002.safetensors",
                             directory.path() / "twice.safetensors");
  CHECK(with_shard("twice.safetensors") ==
        "DIR/twice.safetensors: tensor 'model.embed_tokens.weight' is in another shard as well");
  write_file(index, "{}");
  CHECK(load_refusal(directory.path()) ==
        "DIR/model.safetensors.index.json: weight_map is missing");
  std::filesystem::remove(index);
  CHECK(load_refusal(directory.path()) ==
        "DIR holds neither model.safetensors nor model.safetensors.index.json; save the model in "
        "the safetensors format");
}

TEST_CASE("tensors that are missing or misshapen or of no use are refused by name") {
  const TemporaryDirectory directory;
  const DecoderConfig config = tiny_llama();
  const std::vector<float> weights = random_weights(config, 1);
  save_model(directory.path(), config, weights.data());
  const std::filesystem::path file = directory.path() / "model.safetensors";
  Manifest manifest = manifest_of(config);
  manifest.tensors.back().name = "other.weight";
  write_safetensors(file, manifest, weights.data());
  CHECK(load_refusal(directory.path()) ==
        "DIR has no tensor 'model.norm.weight', which config.json calls for");
  manifest.tensors.back() = {"model.norm.weight", {4, 4}, manifest.tensors.back().offset};
  write_safetensors(file, manifest, weights.data());
  CHECK(load_refusal(directory.path()) ==
        "DIR: tensor 'model.norm.weight' has shape [4, 4], config.json calls for [16]");
  DecoderConfig biased = config;
  biased.qkv_bias = true;
  write_safetensors(file, manifest_of(biased), random_weights(biased, 1).data());
  CHECK(load_refusal(directory.path()) ==
        "DIR: tensor 'model.layers.0.self_attn.k_proj.bias' has no place in a LlamaForCausalLM of "
        "this config.json");
}

TEST_CASE("a tied model may carry a copy of its head") {
  const TemporaryDirectory directory;
  DecoderConfig config = tiny_llama();
  const std::vector<float> weights = random_weights(config, 1);
  save_model(directory.path(), config, weights.data());
  DecoderConfig untied = config;
  untied.tied_embeddings = false;
  write_safetensors(directory.path() / "model.safetensors", manifest_of(untied),
                    random_weights(untied, 1).data());
  CHECK(load_model(directory.path()).weights == weights);
}

TEST_CASE("a directory without config.json is refused by name") {
  const TemporaryDirectory directory;
  CHECK(load_refusal(directory.path()) == "cannot read DIR/config.json");
}

TEST_SUITE_END();
