#pragma once
// config.json of Hugging Face for the families of decoder_config.hpp. Included by sources of this
// folder only.
#include "gpu/model/decoder_config.hpp"

#include <nlohmann/json.hpp>
#include <string>

namespace troupe::gpu {

/// where: names the file in errors. Errors: throws gpu::Error naming the key that is missing, wrong
/// or asks for what no decoder here does (scaled RoPE, sliding windows, other activations, biases
/// elsewhere, quantised weights).
DecoderConfig parse_config(const nlohmann::json& config, const std::string& where);

nlohmann::ordered_json config_json(const DecoderConfig& config);
nlohmann::ordered_json generation_config_json(const DecoderConfig& config);

}  // namespace troupe::gpu
