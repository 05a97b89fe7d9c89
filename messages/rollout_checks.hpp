#pragma once
// What rollouts have to be, whole or shown. Errors: all throw kj::Exception.
#include <cmath>
#include <cstdint>
#include <kj/debug.h>

namespace troupe::wire {

inline constexpr float kLogProbRounding = 1e-3f;

template <class List>
void require_tokens(const List& tokens) {
  for (const std::int32_t token : tokens) KJ_REQUIRE(token >= 0, "negative token id", token);
}

template <class List>
void require_log_probs(const List& log_probs, std::uint64_t completion) {
  KJ_REQUIRE(log_probs.size() == completion, "one log-prob per completion token", log_probs.size(),
             completion);
  for (const float log_prob : log_probs)
    KJ_REQUIRE(std::isfinite(log_prob) && log_prob <= kLogProbRounding, "not a log-prob", log_prob);
}

template <class List>
void require_versions(const List& versions, std::uint64_t completion) {
  std::uint64_t counted = 0;
  std::uint64_t previous = 0;
  for (const auto run : versions) {
    KJ_REQUIRE(run.getCount() > 0 && run.getVersion() >= previous, "versions must ascend");
    previous = run.getVersion();
    counted += run.getCount();
  }
  KJ_REQUIRE(counted == completion, "versions must cover the completion", counted, completion);
}

}  // namespace troupe::wire
