#include "actors/director/role_plans.hpp"

#include "gpu/model/manifest.hpp"

#include <algorithm>
#include <stdexcept>

namespace troupe {

Deadlines deadlines_of(const Config& config) {
  return {std::chrono::duration_cast<caf::actor_clock::duration_type>(
      std::chrono::duration<double>(config.director.request_deadline_seconds))};
}

GeneratorPlan generator_plan(const Config& config, const Materials& materials,
                             const Backends& backends, Telemetry& telemetry, std::size_t stage,
                             const std::string& name, std::uint32_t incarnation) {
  const gpu::DecoderConfig& decoder = materials.decoder;
  const auto capacity =
      static_cast<std::int32_t>(materials.longest_prompt) + config.generator.max_new_tokens;
  GeneratorPlan plan;
  plan.name = name;
  plan.incarnation = incarnation;
  plan.prepare_thread = [set = backends.set_threads, threads = config.generator.threads] {
    set(threads);
  };
  plan.engine = [make = backends.engine, decoder, slots = config.generator.slots, capacity] {
    return make(decoder, slots, capacity);
  };
  plan.elements = gpu::manifest_of(decoder).elements;
  plan.sampling = sampling_params(config, materials);
  plan.seed = config.run.seed +
              (static_cast<std::uint64_t>(stage) << 32);  // tickets count anew in each stage
  plan.cache_after_swap = config.generator.cache_after_swap == "recompute"
                              ? gpu::CacheAfterSwap::recompute
                              : gpu::CacheAfterSwap::keep;
  plan.group_size = static_cast<std::uint32_t>(config.replay_buffer.group_size);
  const std::int32_t count = std::max(1, config.generator.count);
  const std::int32_t share = (config.replay_buffer.batch + count - 1) / count;
  plan.tickets_at_once = static_cast<std::uint32_t>(
      std::max(share, config.generator.slots / config.replay_buffer.group_size));
  plan.outbox_limit = static_cast<std::size_t>(config.replay_buffer.batch) *
                      static_cast<std::size_t>(config.replay_buffer.group_size) * 2;
  plan.deadlines = deadlines_of(config);
  plan.telemetry = &telemetry;
  return plan;
}

VerifierPlan verifier_plan(const Config& config, const Materials& materials, Telemetry& telemetry,
                           const std::string& name) {
  constexpr std::uint32_t kRolloutsAtOnce = 64;
  return {name, materials.rules, std::min(kRolloutsAtOnce, rollouts_per_message(config, materials)),
          deadlines_of(config), &telemetry};
}

namespace {

/// Of a completion: a log-prob and a version per token beside it; at worst each token is a run.
constexpr std::uint64_t kBytesPerRun = 16;
constexpr std::uint64_t kBytesPerCompletionToken =
    sizeof(std::int32_t) + sizeof(float) + kBytesPerRun;

std::uint64_t largest_part_bytes(const Config& config) {
  constexpr std::uint64_t kFields = 64;
  return kFields +
         kBytesPerCompletionToken * static_cast<std::uint64_t>(config.generator.max_new_tokens);
}

std::uint64_t ticket_bytes(const Config& config, const Materials& materials) {
  constexpr std::uint64_t kFields = 256;
  return kFields +
         sizeof(std::int32_t) * (materials.longest_prompt +
                                 static_cast<std::uint64_t>(config.replay_buffer.group_size));
}

}  // namespace

WeightTerms weight_terms(const Config& config, const gpu::DecoderConfig& decoder) {
  const std::string& carrier = config.broadcaster.carrier;
  const std::string& delta = config.broadcaster.delta;
  WeightTerms terms;
  for (const gpu::TensorEntry& entry : gpu::manifest_of(decoder).tensors)
    terms.manifest.push_back({entry.name,
                              "float32",
                              {entry.shape.begin(), entry.shape.end()},
                              entry.offset * sizeof(float)});
  if (carrier == "stream") terms.carrier = CarrierUse::stream;
  if (carrier == "memfd") terms.carrier = CarrierUse::memfd;
  if (delta == "always") terms.delta = DeltaUse::always;
  if (delta == "never") terms.delta = DeltaUse::never;
  return terms;
}

std::uint64_t largest_rollout_bytes(const Config& config, const Materials& materials) {
  constexpr std::uint64_t kFieldsAndTexts = 4096;
  const auto completion = static_cast<std::uint64_t>(config.generator.max_new_tokens);
  return kFieldsAndTexts + sizeof(std::int32_t) * materials.longest_prompt +
         kBytesPerCompletionToken * completion;
}

std::uint32_t rollouts_per_message(const Config& config, const Materials& materials) {
  constexpr std::uint64_t kMost = 256;
  const std::uint64_t fit =
      config.network.limits.frame_bytes / largest_rollout_bytes(config, materials);
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(fit, 1, kMost));
}

std::uint32_t parts_per_ticket(const Config& config, const Materials& materials) {
  const std::uint64_t frame = config.network.limits.frame_bytes;
  const std::uint64_t room = frame - std::min(frame, ticket_bytes(config, materials));
  return static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(room / largest_part_bytes(config), 1,
                                static_cast<std::uint64_t>(config.replay_buffer.group_size)));
}

std::uint32_t tickets_per_message(const Config& config, const Materials& materials) {
  constexpr std::uint64_t kMost = 4096;
  const std::uint64_t bytes = ticket_bytes(config, materials) +
                              parts_per_ticket(config, materials) * largest_part_bytes(config);
  return static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(config.network.limits.frame_bytes / bytes, 1, kMost));
}

void require_fitting_rollouts(const Config& config, const Materials& materials) {
  const std::uint64_t bytes = largest_rollout_bytes(config, materials);
  if (bytes <= config.network.limits.frame_bytes) return;
  throw std::runtime_error("network.frame-bytes: a rollout may take " + std::to_string(bytes) +
                           " bytes and a message only " +
                           std::to_string(config.network.limits.frame_bytes) +
                           "; raise it, or lower generator.max-new-tokens");
}

}  // namespace troupe
