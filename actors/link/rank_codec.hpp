#pragma once
// Tasks of a learner's ranks as they travel. Whatever a peer sent is checked here.
#include "actors/learner/rank_task.hpp"
#include "messages/wire/ranks.capnp.h"

#include <string>
#include <variant>

namespace troupe {

/// Weights stay behind: the receiver has them by their version (RankMemory).
void write(const RankTask& task, wire::RankTask::Builder to);

/// The run is over.
struct RankFarewell {
  std::string why;
};

/// `update`: what the receiver's config says of updates. Errors: throws kj::Exception if the task breaks its schema.
std::variant<RankTask, RankFarewell> read_task(wire::RankTask::Reader from,
                                               const gpu::UpdateConfig& update);

}  // namespace troupe
