#include "gpu/model/model_directory.hpp"

#include "gpu/error.hpp"
#include "gpu/model/atomic_file.hpp"
#include "gpu/model/config_json.hpp"
#include "gpu/model/json_file.hpp"

#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace troupe::gpu {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

/// All tensors of a directory, by name, and the open files they lie in.
struct Checkpoint {
  std::vector<std::unique_ptr<SafeTensorsFile>> files;
  std::map<std::string, SafeTensor> tensors;

  void add(const fs::path& path) {
    files.push_back(std::make_unique<SafeTensorsFile>(path));
    for (const SafeTensor& tensor : files.back()->tensors()) {
      if (!tensors.emplace(tensor.name, tensor).second) {
        throw Error(path.string() + ": tensor '" + tensor.name + "' is in another shard as well");
      }
    }
  }
};

/// Shard names come from a file that may be from anywhere: they must not lead out of the directory.
fs::path shard_path(const fs::path& index, const std::string& tensor, const nlohmann::json& shard) {
  const auto name = shard.is_string() ? fs::path(shard.get<std::string>()) : fs::path();
  if (name.empty() || name != name.filename() || name == ".." || name == ".") {
    throw Error(index.string() + ": the shard of '" + tensor + "' is " + shard.dump() +
                ", not a plain file name");
  }
  return index.parent_path() / name;
}

Checkpoint open_shards(const fs::path& index) {
  const nlohmann::json json = read_json(index);
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) {
    throw Error(index.string() + ": weight_map is missing");
  }
  std::map<fs::path, std::string> shards;  // to one of its tensors
  for (const auto& [tensor, shard] : json["weight_map"].items()) {
    shards.emplace(shard_path(index, tensor, shard), tensor);
  }
  Checkpoint checkpoint;
  for (const auto& [path, tensor] : shards) {
    if (!fs::exists(path)) {
      throw Error(path.string() + " is missing; " + index.string() + " says it holds '" + tensor +
                  "'");
    }
    checkpoint.add(path);
  }
  return checkpoint;
}

Checkpoint open_checkpoint(const fs::path& directory) {
  if (fs::exists(directory / kSingleFile)) {
    Checkpoint checkpoint;
    checkpoint.add(directory / kSingleFile);
    return checkpoint;
  }
  if (fs::exists(directory / kIndexFile)) return open_shards(directory / kIndexFile);
  throw Error(directory.string() + " holds neither " + kSingleFile + " nor " + kIndexFile +
              "; save the model in the safetensors format");
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t extent : shape) {
    text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  }
  return text + "]";
}

/// Tensors that checkpoints carry although the model does not need them.
bool ignored(const std::string& name, const DecoderConfig& config) {
  return name.ends_with("rotary_emb.inv_freq") ||
         (config.tied_embeddings && name == "lm_head.weight");
}

void copy_tensor(const fs::path& directory, const TensorEntry& entry, const Checkpoint& checkpoint,
                 float* to) {
  const auto found = checkpoint.tensors.find(entry.name);
  if (found == checkpoint.tensors.end()) {
    throw Error(directory.string() + " has no tensor '" + entry.name +
                "', which config.json calls for");
  }
  if (found->second.shape != entry.shape) {
    throw Error(directory.string() + ": tensor '" + entry.name + "' has shape " +
                shape_text(found->second.shape) + ", config.json calls for " +
                shape_text(entry.shape));
  }
  to_floats(found->second, to);
}

}  // namespace

DecoderConfig load_decoder_config(const fs::path& config_json) {
  return parse_config(read_json(config_json), config_json.string());
}

LoadedModel load_model(const fs::path& directory) {
  LoadedModel model{load_decoder_config(directory / "config.json"), {}};
  const Manifest manifest = manifest_of(model.config);
  Checkpoint checkpoint = open_checkpoint(directory);
  model.weights.resize(manifest.elements);
  for (const TensorEntry& entry : manifest.tensors) {
    copy_tensor(directory, entry, checkpoint, model.weights.data() + entry.offset);
    checkpoint.tensors.erase(entry.name);
  }
  for (const auto& [name, tensor] : checkpoint.tensors) {
    if (ignored(name, model.config)) continue;
    throw Error(directory.string() + ": tensor '" + name + "' has no place in a " +
                architecture(model.config) + " of this config.json");
  }
  return model;
}

void save_model(const fs::path& directory, const DecoderConfig& config, const float* weights) {
  const auto write_json = [&](const char* name, const nlohmann::ordered_json& json) {
    write_atomically(directory / name, json.dump(2) + "\n");
  };
  validate(config);
  write_json("config.json", config_json(config));
  write_json("generation_config.json", generation_config_json(config));
  write_safetensors(directory / kSingleFile, manifest_of(config), weights);
}

}  // namespace troupe::gpu
