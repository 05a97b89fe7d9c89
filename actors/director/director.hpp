#pragma once
// Leads a run from stage to stage, evaluates, and saves what was learnt.
#include "actors/conductor/conductor.hpp"
#include "actors/config/config.hpp"
#include "actors/director/backends.hpp"
#include "actors/director/materials.hpp"
#include "actors/director/past.hpp"
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

struct RunOutcome {
  std::string failure;  // empty: all stages done, or stopped when asked
  bool interrupted = false;
  bool left = false;  // the run goes on, and waits for another director
};

/// One run of a config. Everything by reference outlives the director.
struct RunPlan : ConductorPlan {
  std::function<Conductor(const Director&)>
      cast_conductor;                               // of another process; empty: it is in this one
  Past past;                                        // what happened before this director came
  std::function<void(const EvaluationNote&)> note;  // hears of each evaluation; may be empty
  std::filesystem::path run_directory;
  RunOutcome* outcome = nullptr;  // written before the director ends
};

/// Ends the director and not the run, whose conductor is in another process.
using leave_run_atom = caf::atom_constant<caf::atom("leaverun")>;

/// The director, a blocking actor that answers to Director's messages (interfaces.hpp) and to leave_run. It ends
/// when the run has, or when it is to leave it: then nothing is saved. The newest model is in <run directory>/model whatever else happens; the one before
/// the first rl stage in <run directory>/base.
void director(caf::blocking_actor* self, const RunPlan& plan);

/// Writes config.json, model.safetensors, tokenizer files into `directory`, which appears or is
/// replaced at once.
void save_model_directory(const std::filesystem::path& directory, const gpu::DecoderConfig& decoder,
                          const Tokenizer& tokenizer, const float* weights);

}  // namespace troupe
