#pragma once
// From tickets to generation requests, and from completions to rollouts. Plain rules.
#include "actors/replay_buffer/ledger.hpp"
#include "gpu/sampling/continuous_batch.hpp"
#include "messages/rollout.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace troupe {

/// Remembers what each rollout under way was asked for by. Used by one actor at a time.
class Assignments {
 public:
  explicit Assignments(std::string generator) : generator_(std::move(generator)) {}

  /// One request per rollout of the ticket, with what is begun of it. A rollout that is under way
  /// already is not begun again.
  std::vector<gpu::GenerationRequest> accept(const Ticket& ticket);
  /// The rollout of a finished completion, which is then no longer under way. Nothing if nobody
  /// asked for it.
  std::optional<Rollout> complete(const gpu::Completion& completion);
  /// What to tell the ledger of a finished rollout, or of one that is given up.
  static RolloutNotice finished(const Rollout& rollout);
  std::optional<RolloutNotice> abandon(const gpu::Completion& unfinished);
  /// As abandon, with what there is of it.
  std::optional<RolloutNotice> hand_over(const gpu::Completion& unfinished);
  std::size_t under_way() const { return assigned_.size(); }

 private:
  struct Assigned {
    std::uint64_t ticket, prompt_uid;
    std::uint32_t index, attempt;
    std::vector<std::int32_t> prompt;
  };
  std::string generator_;
  std::unordered_map<std::uint64_t, Assigned> assigned_;  // by rollout id
};

}  // namespace troupe
