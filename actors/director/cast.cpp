#include "actors/director/cast.hpp"

#include "actors/errors.hpp"
#include "gpu/model/manifest.hpp"

#include <algorithm>
#include <caf/send.hpp>
#include <prometheus/counter.h>
#include <utility>

namespace troupe {
namespace {

std::chrono::nanoseconds seconds(double value) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(value));
}

LedgerConfig ledger_config(const Config& config, std::size_t stage, PolicyVersion first_version) {
  LedgerConfig ledger;
  ledger.batch = static_cast<std::uint32_t>(config.replay_buffer.batch);
  ledger.group_size = static_cast<std::uint32_t>(config.replay_buffer.group_size);
  ledger.staleness_bound = static_cast<std::uint64_t>(config.replay_buffer.staleness_bound);
  ledger.first_version = first_version;
  ledger.updates = static_cast<std::uint32_t>(config.stages[stage].updates);
  ledger.completion_order = config.replay_buffer.order == "completion";
  ledger.refill_zero_signal = config.replay_buffer.refill_zero_signal;
  ledger.refill_limit = static_cast<std::uint32_t>(config.replay_buffer.refill_limit);
  ledger.group_deadline_seconds = config.replay_buffer.group_deadline_seconds;
  return ledger;
}

}  // namespace

Deadlines Cast::deadlines() const {
  return {std::chrono::duration_cast<caf::actor_clock::duration_type>(
      seconds(plan_.config->director.request_deadline_seconds))};
}

Cast::Cast(caf::blocking_actor* self, const RunPlan& plan, std::size_t stage,
           PolicyVersion first_version)
    : self_(self), plan_(plan), stage_(stage) {
  const Config& config = *plan_.config;
  ReplayBufferPlan buffer_plan{ledger_config(config, stage, first_version),
                               ticket_prompts(config, *plan_.materials, stage), deadlines(),
                               plan_.telemetry};
  buffer_ = self_->spawn(replay_buffer, std::move(buffer_plan));
  broadcaster_ = self_->spawn(troupe::broadcaster, BroadcasterPlan{deadlines(), plan_.telemetry});
  self_->monitor(buffer_);
  self_->monitor(broadcaster_);
  for (std::int32_t i = 0; i < config.generator.count; ++i)
    cast_generator({"generator-" + std::to_string(i)});
  for (std::int32_t i = 0; i < config.verifier.count; ++i)
    cast_verifier({"verifier-" + std::to_string(i)});
  if (plan_.on_cast) {
    std::vector<Generator> generators;
    std::vector<Verifier> verifiers;
    for (const auto& [name, actor] : generators_) generators.push_back(actor);
    for (const auto& [name, actor] : verifiers_) verifiers.push_back(actor);
    plan_.on_cast(generators, verifiers);
  }
}

GeneratorPlan Cast::generator_plan(const Part& part) const {
  const Config& config = *plan_.config;
  const gpu::DecoderConfig& decoder = plan_.materials->decoder;
  const auto capacity =
      static_cast<std::int32_t>(plan_.materials->longest_prompt) + config.generator.max_new_tokens;
  GeneratorPlan plan;
  plan.name = part.name;
  plan.incarnation = part.incarnation;
  plan.prepare_thread = [set = plan_.backends.set_threads, threads = config.generator.threads] {
    set(threads);
  };
  plan.engine = [make = plan_.backends.engine, decoder, slots = config.generator.slots, capacity] {
    return make(decoder, slots, capacity);
  };
  plan.elements = gpu::manifest_of(decoder).elements;
  plan.sampling = sampling_params(config, *plan_.materials);
  plan.seed = config.run.seed +
              (static_cast<std::uint64_t>(stage_) << 32);  // tickets count anew in each stage
  plan.cache_after_swap = config.generator.cache_after_swap == "recompute"
                              ? gpu::CacheAfterSwap::recompute
                              : gpu::CacheAfterSwap::keep;
  plan.group_size = static_cast<std::uint32_t>(config.replay_buffer.group_size);
  const std::int32_t share =
      (config.replay_buffer.batch + config.generator.count - 1) / config.generator.count;
  plan.tickets_at_once = static_cast<std::uint32_t>(
      std::max(share, config.generator.slots / config.replay_buffer.group_size));
  plan.outbox_limit = static_cast<std::size_t>(config.replay_buffer.batch) *
                      static_cast<std::size_t>(config.replay_buffer.group_size) * 2;
  plan.deadlines = deadlines();
  plan.telemetry = plan_.telemetry;
  return plan;
}

Generator Cast::cast_generator(const Part& part) {
  const Generator actor =
      self_->spawn<caf::detached>(generator, generator_plan(part), buffer_, broadcaster_);
  self_->monitor(actor);
  generator_parts_[actor.address()] = part;
  generators_[part.name] = actor;
  for (const auto& [name, verifier] : verifiers_)
    caf::anon_send(verifier, join_atom::value, part.name, actor);
  return actor;
}

Verifier Cast::cast_verifier(const Part& part) {
  const Verifier actor = self_->spawn<caf::detached>(
      verifier, VerifierPlan{part.name, plan_.materials->rules, 64, deadlines(), plan_.telemetry},
      buffer_);
  self_->monitor(actor);
  verifier_parts_[actor.address()] = part;
  verifiers_[part.name] = actor;
  for (const auto& [name, generator] : generators_)
    caf::anon_send(actor, join_atom::value, name, generator);
  return actor;
}

std::string Cast::replace(std::map<caf::actor_addr, Part>& parts, const caf::down_msg& message,
                          const std::function<void(const Part&)>& recast) {
  const auto found = parts.find(message.source);
  Part part = found->second;
  parts.erase(found);
  totals_complete_ = false;
  plan_.telemetry->metrics().counter("troupe_actor_restarts_total", part.name).Increment();
  if (++part.incarnation > static_cast<std::uint32_t>(plan_.config->director.restart_limit))
    return part.name + " died more than " + std::to_string(plan_.config->director.restart_limit) +
           " times (director.restart-limit); last: " + describe(message.reason);
  plan_.telemetry->event("restart",
                         part.name + " died (" + describe(message.reason) + ") and is replaced");
  recast(part);
  return {};
}

std::string Cast::down(const caf::down_msg& message) {
  if (generator_parts_.contains(message.source))
    return replace(generator_parts_, message, [this](const Part& part) { cast_generator(part); });
  if (verifier_parts_.contains(message.source))
    return replace(verifier_parts_, message, [this](const Part& part) { cast_verifier(part); });
  if (message.source == buffer_.address())
    return "the replay buffer died: " + describe(message.reason);
  if (message.source == broadcaster_.address())
    return "the broadcaster died: " + describe(message.reason);
  return {};
}

LedgerRecord Cast::dismiss(const std::string& reason) {
  for (const auto& [name, actor] : generators_) {
    self_->request(actor, deadlines().request, stop_atom::value)
        .receive(
            [this](const GeneratorTotals& totals) {
              totals_.sampled_tokens += totals.sampled_tokens;
              totals_.prompt_tokens += totals.prompt_tokens;
              totals_.rollouts += totals.rollouts;
            },
            [this](const caf::error&) { totals_complete_ = false; });
  }
  LedgerRecord record;
  self_->request(buffer_, deadlines().request, close_atom::value, reason)
      .receive([&record](const LedgerRecord& last) { record = last; },
               [this](const caf::error& error) {
                 plan_.telemetry->event("ledger_lost",
                                        "the replay buffer did not answer: " + describe(error));
               });
  send_home();
  return record;
}

void Cast::send_home() {
  generator_parts_.clear();
  verifier_parts_.clear();
  for (const auto& [name, actor] : verifiers_)
    self_->send_exit(actor, caf::exit_reason::user_shutdown);
  for (const auto& [name, actor] : generators_)
    self_->send_exit(actor, caf::exit_reason::user_shutdown);
  self_->send_exit(broadcaster_, caf::exit_reason::user_shutdown);
  self_->send_exit(buffer_, caf::exit_reason::user_shutdown);
}

Cast::~Cast() {
  send_home();
}

std::vector<std::string> Cast::names() const {
  std::vector<std::string> names = {"replay-buffer", "broadcaster"};
  for (const auto& [name, actor] : generators_) names.push_back(name);
  for (const auto& [name, actor] : verifiers_) names.push_back(name);
  return names;
}

}  // namespace troupe
