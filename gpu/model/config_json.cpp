#include "gpu/model/config_json.hpp"

#include "gpu/error.hpp"

#include <array>
#include <charconv>
#include <cstdint>
#include <limits>
#include <utility>

namespace troupe::gpu {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

struct Family {
  const char* model_type;
  const char* architecture;
};
constexpr std::array<Family, 3> kFamilies = {
    {{"llama", "LlamaForCausalLM"}, {"qwen2", "Qwen2ForCausalLM"}, {"qwen3", "Qwen3ForCausalLM"}}};

class ConfigReader {
 public:
  ConfigReader(const json& config, std::string where) : config_(config), where_(std::move(where)) {}

  DecoderConfig read() const {
    if (!config_.is_object()) refuse("it is not a JSON object");
    const std::string family = model_type();
    refuse_unsupported(family);
    DecoderConfig c;
    c.vocab_size = integer("vocab_size");
    c.hidden_size = integer("hidden_size");
    c.intermediate_size = integer("intermediate_size");
    c.num_layers = integer("num_hidden_layers");
    c.num_heads = integer("num_attention_heads");
    c.num_kv_heads = has("num_key_value_heads") ? integer("num_key_value_heads") : c.num_heads;
    c.max_positions = integer("max_position_embeddings");
    c.head_dim = has("head_dim") ? integer("head_dim") : default_head_dim(family, c);
    c.rope_theta = rope_theta();
    c.rms_norm_eps = number(config_, "rms_norm_eps", 1e-6f);
    c.tied_embeddings = flag("tie_word_embeddings");
    c.qkv_bias = family == "qwen2";
    c.qk_norm = family == "qwen3";
    c.bos_token = token("bos_token_id");
    c.eos_token = token("eos_token_id");
    c.pad_token = token("pad_token_id");
    return c;
  }

 private:
  [[noreturn]] void refuse(const std::string& problem) const {
    throw Error(where_ + ": " + problem);
  }

  bool has(const char* key) const { return config_.contains(key) && !config_[key].is_null(); }

  /// Checks that the first architecture, where stated, is the one of the model type.
  std::string model_type() const {
    if (!has("model_type") || !config_["model_type"].is_string()) {
      refuse("model_type is missing; it must be llama, qwen2 or qwen3");
    }
    auto type = config_["model_type"].get<std::string>();
    for (const Family& family : kFamilies) {
      if (type != family.model_type) continue;
      const json stated = config_.value("architectures", json());
      if (!stated.is_null() && stated != json::array({family.architecture})) {
        refuse("architectures is " + stated.dump() + "; with model_type " + type + " only " +
               family.architecture + " is supported");
      }
      return type;
    }
    refuse("model_type '" + type + "' is not supported; only llama, qwen2 and qwen3 are");
  }

  void refuse_unsupported(const std::string& family) const {
    const auto must_be = [&](const char* key, const json& wanted) {
      if (has(key) && config_[key] != wanted) {
        refuse(std::string(key) + " is " + config_[key].dump() + "; only " + wanted.dump() +
               " is supported");
      }
    };
    must_be("hidden_act", "silu");
    must_be("use_sliding_window", false);
    must_be("mlp_bias", false);
    must_be("partial_rotary_factor", 1.0);
    if (family != "qwen2") must_be("attention_bias", false);
    if (has("quantization_config")) {
      refuse(
          "quantization_config is set; quantised weights cannot be read, use the original model");
    }
    refuse_scaled_rope("rope_scaling");
    refuse_scaled_rope("rope_parameters");
    for (const json& type : config_.value("layer_types", json::array())) {
      if (type != "full_attention")
        refuse("layer_types has " + type.dump() + "; only full_attention is supported");
    }
  }

  void refuse_scaled_rope(const char* key) const {
    if (!has(key)) return;
    const json& rope = config_[key];
    const json type =
        rope.is_object() ? rope.value("rope_type", rope.value("type", json())) : json();
    if (type != "default") {
      refuse(std::string(key) + " is " + rope.dump() + "; only unscaled RoPE is supported");
    }
  }

  float rope_theta() const {
    if (has("rope_parameters") && config_["rope_parameters"].contains("rope_theta")) {
      return number(config_["rope_parameters"], "rope_theta", 0.0f);
    }
    return number(config_, "rope_theta", 10000.0f);
  }

  std::int32_t default_head_dim(const std::string& family, const DecoderConfig& c) const {
    if (family == "qwen3") return 128;
    if (c.num_heads <= 0 || c.hidden_size % c.num_heads != 0) {
      refuse("head_dim is missing and num_attention_heads does not divide hidden_size");
    }
    return c.hidden_size / c.num_heads;
  }

  std::int32_t integer(const char* key) const {
    if (!has(key)) refuse(std::string(key) + " is missing");
    return to_int32(config_[key], key);
  }

  /// -1 where there is none. Of several (Llama 3 lists its stop tokens) the first.
  std::int32_t token(const char* key) const {
    if (!has(key)) return -1;
    const json& value = config_[key];
    if (!value.is_array()) return to_int32(value, key);
    return value.empty() ? -1 : to_int32(value[0], key);
  }

  std::int32_t to_int32(const json& value, const char* key) const {
    const std::int64_t number = value.is_number_integer() ? value.get<std::int64_t>() : -2;
    if (number < -1 || number > std::numeric_limits<std::int32_t>::max()) {
      refuse(std::string(key) + " is " + value.dump() + ", not a 32-bit integer");
    }
    return static_cast<std::int32_t>(number);
  }

  float number(const json& object, const char* key, float otherwise) const {
    if (!object.contains(key) || object[key].is_null()) return otherwise;
    if (!object[key].is_number())
      refuse(std::string(key) + " is " + object[key].dump() + ", not a number");
    return object[key].get<float>();
  }

  bool flag(const char* key) const {
    if (!has(key)) return false;
    if (!config_[key].is_boolean())
      refuse(std::string(key) + " is " + config_[key].dump() + ", not true or false");
    return config_[key].get<bool>();
  }

  const json& config_;
  std::string where_;
};

/// The double with the shortest decimal form that is this float: 1e-6 stays 1e-06 in the file.
double shortest(float value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  double result = 0.0;
  std::from_chars(text.data(), end, result);
  return result;
}

ordered_json token_or_null(std::int32_t token) {
  return token < 0 ? ordered_json() : ordered_json(token);
}

void add_family(const DecoderConfig& c, ordered_json& config) {
  for (const Family& family : kFamilies) {
    if (architecture(c) == family.architecture) config["model_type"] = family.model_type;
  }
  if (!c.qkv_bias) config["attention_bias"] = false;
  if (!c.qkv_bias && !c.qk_norm) {
    config["mlp_bias"] = false;
    config["pretraining_tp"] = 1;
  } else {
    config["use_sliding_window"] = false;
  }
}

}  // namespace

DecoderConfig parse_config(const nlohmann::json& config, const std::string& where) {
  const DecoderConfig parsed = ConfigReader(config, where).read();
  try {
    validate(parsed);
  } catch (const Error& error) {
    throw Error(where + ": " + error.what());
  }
  return parsed;
}

ordered_json config_json(const DecoderConfig& c) {
  ordered_json config;
  config["architectures"] = {architecture(c)};
  add_family(c, config);
  config["vocab_size"] = c.vocab_size;
  config["hidden_size"] = c.hidden_size;
  config["intermediate_size"] = c.intermediate_size;
  config["num_hidden_layers"] = c.num_layers;
  config["num_attention_heads"] = c.num_heads;
  config["num_key_value_heads"] = c.num_kv_heads;
  config["head_dim"] = c.head_dim;
  config["max_position_embeddings"] = c.max_positions;
  config["rope_theta"] = shortest(c.rope_theta);
  config["rope_scaling"] = nullptr;
  config["rms_norm_eps"] = shortest(c.rms_norm_eps);
  config["tie_word_embeddings"] = c.tied_embeddings;
  config["hidden_act"] = "silu";
  config["attention_dropout"] = 0.0;
  config["initializer_range"] = 0.02;
  config["use_cache"] = true;
  config["bos_token_id"] = token_or_null(c.bos_token);
  config["eos_token_id"] = token_or_null(c.eos_token);
  config["pad_token_id"] = token_or_null(c.pad_token);
  config["torch_dtype"] = "float32";
  return config;
}

ordered_json generation_config_json(const DecoderConfig& c) {
  ordered_json config;
  config["_from_model_config"] = true;
  if (c.bos_token >= 0) config["bos_token_id"] = c.bos_token;
  if (c.eos_token >= 0) config["eos_token_id"] = c.eos_token;
  if (c.pad_token >= 0) config["pad_token_id"] = c.pad_token;
  return config;
}

}  // namespace troupe::gpu
