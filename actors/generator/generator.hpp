#pragma once
// The generator's actor: a shell around continuous batching, assignments and the outbox.
#include "actors/generator/assignments.hpp"
#include "actors/generator/lending.hpp"
#include "actors/generator/preparer.hpp"
#include "actors/interfaces.hpp"
#include "actors/telemetry/telemetry.hpp"
#include "actors/timed.hpp"
#include "gpu/sampling/continuous_batch.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

namespace troupe {

using EngineFactory = std::function<std::unique_ptr<gpu::Engine>()>;

struct GeneratorPlan {
  std::string name;                      // "generator-0"
  std::uint32_t incarnation = 0;         // how often it was restarted
  std::function<void()> prepare_thread;  // number of compute threads
  EngineFactory engine;
  std::uint64_t elements = 0;  // of the model's weights
  gpu::SamplingParams sampling;
  std::uint64_t seed = 0;
  gpu::CacheAfterSwap cache_after_swap = gpu::CacheAfterSwap::keep;
  std::uint32_t group_size = 8;
  /// Asked for together, waiting in the queue what finds no slot. With a bound of 0 and one
  /// generator that is a whole batch, so that who keeps whom company does not depend on when
  /// messages arrive.
  std::uint32_t tickets_at_once = 32;
  std::size_t outbox_limit = 1024;  // rollouts; beyond it no tickets are asked for
  Deadlines deadlines;
  Telemetry* telemetry = nullptr;
};

class GeneratorState {
 public:
  static inline const char* name = "generator";
  using Self = Generator::stateful_pointer<GeneratorState>;

  void begin(Self self, GeneratorPlan plan, ReplayBuffer buffer, Broadcaster broadcaster);
  void step();
  caf::typed_response_promise<Rollouts> take(std::uint32_t count, const RolloutIds& acknowledged);
  GeneratorTotals stop();
  GeneratorTotals hand_over();
  void check();
  void verifier_down(const caf::actor_addr& verifier);

 private:
  void ask_for_weights();
  void take_weights(const Weights& weights);
  void swap(const ReadyWeights& ready);
  void ask_for_tickets();
  void take_tickets(const Tickets& tickets);
  void deliver(const std::vector<gpu::Completion>& completions);
  void observe_first_tokens(std::size_t joined);
  using NoticeOf = std::optional<RolloutNotice> (Assignments::*)(const gpu::Completion&);
  GeneratorTotals end(const char* outcome, NoticeOf notice_of);
  void notify(const char* outcome, const std::vector<gpu::Completion>& unfinished,
              NoticeOf notice_of);
  void give_back_if_held_up();
  void schedule_step();
  void show_waiting();
  void end_if_lost(const caf::error& error, const char* whom);

  Self self_ = nullptr;
  GeneratorPlan plan_;
  ReplayBuffer buffer_;
  Broadcaster broadcaster_;
  std::shared_ptr<gpu::Engine> engine_;
  Preparer preparer_;
  std::unique_ptr<gpu::ContinuousBatch> batch_;
  std::optional<Assignments> assignments_;
  Lending lending_;
  bool asked_for_tickets_ = false, step_scheduled_ = false, stopping_ = false, has_weights_ = false;
  bool behind_ =
      false;  // gave tickets back for want of newer weights: asks for none until they come
  std::optional<caf::actor_clock::time_point> held_up_since_;
  std::deque<Clock::time_point> submitted_;  // of the requests that wait in batch_
  int mismatches_ = 0;
  Timed timed_;
  std::uint64_t rollouts_ = 0;
  std::uint64_t counted_prompt_tokens_ = 0;
  ActivityLog* activity_ = nullptr;
};

/// REQUIRES: plan.telemetry outlives the actor. Spawn detached.
Generator::behavior_type generator(GeneratorState::Self self, GeneratorPlan plan,
                                   ReplayBuffer buffer, Broadcaster broadcaster);

}  // namespace troupe
