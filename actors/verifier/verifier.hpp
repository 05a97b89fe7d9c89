#pragma once
// The verifier's actor: takes rollouts from generators, grades them, hands them to the replay
// buffer.
#include "actors/interfaces.hpp"
#include "actors/task/task.hpp"
#include "actors/task/tokenizer.hpp"
#include "actors/telemetry/telemetry.hpp"
#include "actors/timed.hpp"
#include "actors/waiting_line.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace troupe {

/// What a verifier compares with. Shared, immutable.
struct GradingRules {
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const AnswerKey> answers;
  RewardWeights weights;
};

/// The verdict on one rollout. A rollout that cannot be judged is unverifiable, never wrong.
Verdict judge(const GradingRules& rules, const Rollout& rollout, const std::string& verifier);

struct VerifierPlan {
  std::string name;  // "verifier-0"
  GradingRules rules;
  std::uint32_t rollouts_at_once = 64;
  Deadlines deadlines;
  Telemetry* telemetry = nullptr;
};

class VerifierState {
 public:
  static inline const char* name = "verifier";
  using Self = Verifier::stateful_pointer<VerifierState>;

  void begin(Self self, VerifierPlan plan, ReplayBuffer buffer);
  void join(const std::string& generator_name, const Generator& generator);

 private:
  void ask(const std::string& generator_name, const Generator& generator,
           const RolloutIds& acknowledged);
  void show_oldest();
  void grade(const std::string& generator_name, const Generator& generator,
             const Rollouts& rollouts);

  Self self_ = nullptr;
  VerifierPlan plan_;
  ReplayBuffer buffer_;
  std::map<std::uint64_t, Clock::time_point> held_;  // batches the buffer does not have, by arrival
  std::uint64_t batches_ = 0;
  Timed timed_;
  ActivityLog* activity_ = nullptr;
};

/// Spawn detached: graders may take their time.
Verifier::behavior_type verifier(VerifierState::Self self, VerifierPlan plan, ReplayBuffer buffer);

}  // namespace troupe
