#pragma once
// Casts the roles, runs the stages, watches and restarts.
#include "actors/config/config.hpp"
#include "actors/director/backends.hpp"
#include "actors/director/materials.hpp"
#include "actors/interfaces.hpp"
#include "actors/telemetry/telemetry.hpp"
#include "gpu/model/decoder_config.hpp"

#include <caf/blocking_actor.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace troupe {

class Office;

struct RunOutcome {
  std::string failure;  // empty: all stages done, or stopped when asked
  bool interrupted = false;
};

/// One run of a config. Everything by reference outlives the director.
struct RunPlan {
  const Config* config = nullptr;
  const Materials* materials = nullptr;
  Backends backends;
  Telemetry* telemetry = nullptr;
  std::filesystem::path run_directory;
  RunOutcome* outcome = nullptr;  // written before the director ends
  Office* office = nullptr;       // where other processes join; null: everything is in this one
  /// Called with each cast of an rl stage; tests kill some of it.
  std::function<void(const std::vector<Generator>&, const std::vector<Verifier>&)> on_cast;
};

/// The director, a blocking actor that answers to Director's messages (interfaces.hpp). It ends
/// when the run has. The newest model is in <run directory>/model whatever happens; the one before
/// the first rl stage in <run directory>/base.
void director(caf::blocking_actor* self, const RunPlan& plan);

/// Writes config.json, model.safetensors, tokenizer files into `directory`, which appears or is
/// replaced at once.
void save_model_directory(const std::filesystem::path& directory, const gpu::DecoderConfig& decoder,
                          const Tokenizer& tokenizer, const float* weights);

}  // namespace troupe
