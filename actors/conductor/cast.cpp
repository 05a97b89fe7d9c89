#include "actors/conductor/cast.hpp"

#include "actors/errors.hpp"
#include "actors/link/broadcaster_stand_in.hpp"
#include "actors/link/generator_stand_in.hpp"
#include "actors/link/verifier_stand_in.hpp"

#include <algorithm>
#include <caf/send.hpp>
#include <utility>

namespace troupe {
namespace {

/// Of a stand-in's end: whether the process may still wait to be cast. It does not if its link was lost or it refused.
bool may_be_there(const caf::error& reason) {
  const Errc code = code_of(reason);
  return reason != caf::exit_reason::normal &&
         (code == Errc::none || code == Errc::actor_failed || code == Errc::link_busy);
}

LedgerConfig ledger_config(const Config& config, const Materials& materials, std::size_t stage,
                           PolicyVersion first_version) {
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
  ledger.max_completion_tokens = static_cast<std::uint64_t>(config.generator.max_new_tokens);
  ledger.vocabulary = materials.decoder.vocab_size;
  ledger.parts_per_ticket = parts_per_ticket(config, materials);
  return ledger;
}

}  // namespace

Cast::Cast(caf::blocking_actor* self, const ConductorPlan& plan, std::size_t stage,
           PolicyVersion first_version)
    : self_(self), plan_(plan), stage_(stage), first_version_(first_version) {
  const Config& config = *plan_.config;
  ReplayBufferPlan buffer_plan{ledger_config(config, *plan_.materials, stage, first_version),
                               ticket_prompts(config, *plan_.materials, stage), deadlines(),
                               plan_.telemetry};
  buffer_ = self_->spawn(replay_buffer, std::move(buffer_plan));
  broadcaster_ = self_->spawn(troupe::broadcaster, BroadcasterPlan{deadlines(), plan_.telemetry});
  self_->monitor(buffer_);
  self_->monitor(broadcaster_);
  for (std::int32_t i = 0; i < config.generator.count; ++i)
    cast_generator({"generator-" + std::to_string(i), 0, {}});
  for (std::int32_t i = 0; i < config.verifier.count; ++i)
    cast_verifier({"verifier-" + std::to_string(i), 0, {}});
  if (plan_.on_cast) {
    std::vector<Generator> generators;
    std::vector<Verifier> verifiers;
    for (const auto& [name, actor] : generators_) generators.push_back(actor);
    for (const auto& [name, actor] : verifiers_) verifiers.push_back(actor);
    plan_.on_cast(generators, verifiers);
  }
}

void Cast::introduce(const std::string& name, const Generator& actor) {
  generators_[name] = actor;
  for (const auto& [other, verifier] : verifiers_)
    caf::anon_send(verifier, join_atom::value, name, actor);
}

void Cast::introduce(const std::string& name, const Verifier& actor) {
  verifiers_[name] = actor;
  for (const auto& [other, generator] : generators_)
    caf::anon_send(actor, join_atom::value, other, generator);
}

void Cast::cast_generator(const Part& part) {
  GeneratorPlan plan = generator_plan(*plan_.config, *plan_.materials, plan_.backends,
                                      *plan_.telemetry, stage_, part.name, part.incarnation);
  const Generator actor =
      self_->spawn<caf::detached>(generator, std::move(plan), buffer_, broadcaster_);
  self_->monitor(actor);
  generator_parts_[actor.address()] = part;
  introduce(part.name, actor);
}

void Cast::cast_verifier(const Part& part) {
  const Verifier actor = self_->spawn<caf::detached>(
      verifier, verifier_plan(*plan_.config, *plan_.materials, *plan_.telemetry, part.name),
      buffer_);
  self_->monitor(actor);
  verifier_parts_[actor.address()] = part;
  introduce(part.name, actor);
}

void Cast::enlist(const Enlistment& enlistment) {
  const auto in_already = [&](const auto& parts) {
    return std::any_of(parts.begin(), parts.end(), [&](const auto& entry) {
      return entry.second.name == enlistment.name &&
             entry.second.elsewhere.lease == enlistment.lease;
    });
  };
  if (in_already(generator_parts_) || in_already(verifier_parts_) || in_already(relay_parts_))
    return;
  cast_elsewhere({enlistment.name, 0, enlistment});
}

/// Its id is never the same twice: the upper half of a lease differs from run to run.
CallSheet Cast::next_sheet(std::uint64_t lease) {
  constexpr unsigned kRunBits = 32, kCastingBits = 20;  // which leaves 12 for stages
  const std::uint64_t run = lease >> kRunBits << kRunBits;
  return {run | static_cast<std::uint64_t>(stage_) << kCastingBits | ++castings_,
          static_cast<std::uint32_t>(stage_), first_version_};
}

void Cast::cast_elsewhere(const Part& part) {
  const Enlistment& enlistment = part.elsewhere;
  const CallSheet sheet = next_sheet(enlistment.lease);
  if (enlistment.generator) {
    GeneratorStandInPlan plan;
    plan.name = enlistment.name;
    plan.sheet = sheet;
    plan.seat = enlistment.generator;
    plan.rollouts_at_once = rollouts_per_message(*plan_.config, *plan_.materials);
    plan.tickets_at_once = tickets_per_message(*plan_.config, *plan_.materials);
    plan.outbox_limit = static_cast<std::size_t>(plan_.config->replay_buffer.batch) *
                        static_cast<std::size_t>(plan_.config->replay_buffer.group_size) * 2;
    plan.deadlines = deadlines();
    plan.telemetry = plan_.telemetry;
    const caf::actor actor =
        self_->spawn(generator_stand_in, std::move(plan), buffer_, broadcaster_);
    self_->monitor(actor);
    generator_parts_[actor.address()] = part;
    introduce(part.name, caf::actor_cast<Generator>(actor));
  } else if (enlistment.broadcaster) {
    const caf::actor actor = self_->spawn(
        broadcaster_stand_in, BroadcasterStandInPlan{sheet, enlistment.broadcaster}, broadcaster_);
    self_->monitor(actor);
    relay_parts_[actor.address()] = part;
    relays_[part.name] = actor;
  } else {
    const caf::actor actor = self_->spawn(
        verifier_stand_in,
        VerifierStandInPlan{part.name, sheet, enlistment.verifier, plan_.telemetry}, buffer_);
    self_->monitor(actor);
    verifier_parts_[actor.address()] = part;
    introduce(part.name, caf::actor_cast<Verifier>(actor));
  }
}

/// A stand-in is gone, and not because the process is.
void Cast::cast_elsewhere_again(Part part, const caf::error& reason) {
  const auto limit = static_cast<std::uint32_t>(plan_.config->director.restart_limit);
  if (++part.incarnation > limit)
    return plan_.telemetry->event(
        "restart_limit",
        part.name + " was cast anew " + std::to_string(limit) +
            " times (director.restart-limit), and is not again in this stage; last: " +
            describe(reason));
  plan_.telemetry->increment("troupe_actor_restarts_total", part.name);
  plan_.telemetry->event("restart", part.name + " is cast anew: " + describe(reason));
  cast_elsewhere(part);
}

std::optional<Enlistment> Cast::gone(const caf::down_msg& message) const {
  for (const auto* parts : {&generator_parts_, &verifier_parts_, &relay_parts_}) {
    const auto found = parts->find(message.source);
    if (found == parts->end() || found->second.elsewhere.lease == 0) continue;
    if (!may_be_there(message.reason)) return found->second.elsewhere;
  }
  return std::nullopt;
}

/// A role of another process is gone.
void Cast::lose(std::map<caf::actor_addr, Part>& parts, const caf::down_msg& message) {
  const auto found = parts.find(message.source);
  const std::string name = found->second.name;
  parts.erase(found);
  const bool left = message.reason == caf::exit_reason::normal;
  plan_.telemetry->event(left ? "left" : "lost",
                         name + (left ? " has left" : ": " + describe(message.reason)));
  if (&parts == &generator_parts_) totals_complete_ = false;
  const auto address = [&](const auto& actor) { return actor.address() == message.source; };
  if (const auto g = generators_.find(name); g != generators_.end() && address(g->second))
    generators_.erase(g);
  if (const auto v = verifiers_.find(name); v != verifiers_.end() && address(v->second))
    verifiers_.erase(v);
  if (const auto r = relays_.find(name); r != relays_.end() && address(r->second)) relays_.erase(r);
}

std::string Cast::replace(std::map<caf::actor_addr, Part>& parts, const caf::down_msg& message,
                          const std::function<void(const Part&)>& recast) {
  const auto found = parts.find(message.source);
  Part part = found->second;
  parts.erase(found);
  totals_complete_ = false;
  plan_.telemetry->increment("troupe_actor_restarts_total", part.name);
  if (++part.incarnation > static_cast<std::uint32_t>(plan_.config->director.restart_limit))
    return part.name + " died more than " + std::to_string(plan_.config->director.restart_limit) +
           " times (director.restart-limit); last: " + describe(message.reason);
  plan_.telemetry->event("restart",
                         part.name + " died (" + describe(message.reason) + ") and is replaced");
  recast(part);
  return {};
}

std::string Cast::down(const caf::down_msg& message) {
  for (auto* parts : {&generator_parts_, &verifier_parts_, &relay_parts_}) {
    const auto found = parts->find(message.source);
    if (found == parts->end() || found->second.elsewhere.lease == 0) continue;
    const Part part = found->second;
    lose(*parts, message);
    if (may_be_there(message.reason)) cast_elsewhere_again(part, message.reason);
    return {};
  }
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
  relay_parts_.clear();
  for (const auto& [name, actor] : relays_)
    self_->send_exit(actor, caf::exit_reason::user_shutdown);
  relays_.clear();
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
