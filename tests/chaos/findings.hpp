#pragma once
// The three kinds of finding in few words.
#include "tests/chaos/checks.hpp"

#include <utility>

namespace troupe::chaos {

inline Finding holds(std::string invariant, std::string text) {
  return {std::move(invariant), Finding::State::holds, std::move(text)};
}
inline Finding broken(std::string invariant, std::string witness) {
  return {std::move(invariant), Finding::State::broken, std::move(witness)};
}
inline Finding not_checked(std::string invariant, std::string why) {
  return {std::move(invariant), Finding::State::not_checked, std::move(why)};
}

/// "update 3 of stage 2"
inline std::string name_of(const Update& update) {
  return "update " + std::to_string(update.update) + " of stage " + std::to_string(update.stage);
}
/// "rollout 0123 (ticket 7, index 1, attempt 0)"
template <class R>
std::string name_of_rollout(const R& rollout) {
  return "rollout " + rollout.id + " (ticket " + std::to_string(rollout.ticket) + ", index " +
         std::to_string(rollout.index) + ", attempt " + std::to_string(rollout.attempt) + ")";
}

}  // namespace troupe::chaos
