#include "actors/cli/carried_weights.hpp"

#include "actors/director/role_plans.hpp"
#include "gpu/error.hpp"
#include "gpu/transport/nccl_device.hpp"

#include <chrono>

namespace troupe {

WeightTerms carried_weights(const Config& config, const gpu::DecoderConfig& decoder) {
  WeightTerms terms = weight_terms(config, decoder);
  const std::string& carrier = config.broadcaster.carrier;
  if (carrier != "nccl" && carrier != "auto") return terms;
  const bool asked_for = carrier == "nccl";
  terms.nccl.before_memory = asked_for;
  terms.nccl.deadline = std::chrono::milliseconds(
      static_cast<std::int64_t>(config.broadcaster.nccl_deadline_seconds * 1000));
  try {
    terms.nccl.library = gpu::open_nccl(config.broadcaster.nccl_library, config.run.device);
  } catch (const gpu::Error& error) {
    if (asked_for) terms.nccl.problem = error.what();
  }
  return terms;
}

}  // namespace troupe
