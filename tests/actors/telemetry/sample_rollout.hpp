#pragma once
// A rollout of six tokens under two versions, whose model is hostile.
#include "actors/telemetry/rollout_log.hpp"

#include <cstdio>

namespace troupe {

inline constexpr const char* kHostile = "<script>document.title='owned'</script>";

inline RolloutView sample_rollout(int number, double reward) {
  RolloutView r;
  char id[17];
  std::snprintf(id, sizeof id, "%016x", static_cast<unsigned>(number));
  r.id = id;
  r.prompt_uid = "00000000000000aa";
  r.stage = 1;
  r.update = number;
  r.trained_at = 9;
  r.ticket = 3;
  r.generator = "generator-0";
  r.verifier = "verifier-0";
  r.outcome = "fail";
  r.reason = "no answer";
  r.reward = reward;
  r.prompt_tokens = 2;
  r.completion_tokens = 4;
  r.pieces = {"12+34", "=", kHostile, "4", "\n", "6"};
  r.log_probs = {-0.5f, -0.25f, -1.0f, -2.0f};
  r.learner_log_probs = {-0.5f, -0.5f};
  r.versions = {{7, 2}, {8, 2}};
  return r;
}

}  // namespace troupe
