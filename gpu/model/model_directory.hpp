#pragma once
// A model as a Hugging Face directory: config.json, generation_config.json, model.safetensors (or
// shards with model.safetensors.index.json), tokenizer files (written by the tokenizer's owner).
#include "gpu/model/decoder_config.hpp"
#include "gpu/model/manifest.hpp"
#include "gpu/model/safetensors.hpp"

#include <filesystem>
#include <vector>

namespace troupe::gpu {

struct LoadedModel {
  DecoderConfig config;
  std::vector<float> weights;  // laid out as manifest_of(config)
};

/// Reads config.json and the safetensors files; F32, F16 and BF16 tensors become float32.
/// Errors: throws gpu::Error naming the file, the key or tensor, and the remedy.
LoadedModel load_model(const std::filesystem::path& directory);
DecoderConfig load_decoder_config(const std::filesystem::path& config_json);

/// Writes config.json, generation_config.json and model.safetensors (F32) into `directory`, which
/// must exist. Files are written beside, synced and renamed. Callers that want the whole directory
/// to appear at once write to a temporary one and rename it.
void save_model(const std::filesystem::path& directory, const DecoderConfig& config,
                const float* weights);

}  // namespace troupe::gpu
