#pragma once
// The value of shown_rollout.capnp.
#include "messages/message.hpp"
#include "messages/shown_rollout.capnp.h"

#include <cstddef>

namespace troupe {

inline constexpr std::size_t kMostShownTokens = 2048;
inline constexpr std::size_t kMostNameBytes = 256;     // of a generator or verifier
inline constexpr std::size_t kMostReasonBytes = 4096;  // of a verdict

namespace wire {
/// What the schema REQUIRES. Errors: throws kj::Exception.
void validate(ShownRollout::Reader rollout);
}  // namespace wire

using ShownRollout = Message<wire::ShownRollout>;

}  // namespace troupe
