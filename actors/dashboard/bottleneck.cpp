#include "actors/dashboard/bottleneck.hpp"

#include <cmath>

namespace troupe {
namespace {

constexpr double kWaits = 0.25;  // less is what any pipeline has at its seams
constexpr double kBusy = 0.5;    // who waits no more than this may be what others wait for

std::string percent_of_time(double share) {
  return std::to_string(std::lround(100 * share)) + " %";
}

struct Mean {
  double sum = 0;
  std::int32_t count = 0;
  void add(double value) { sum += value, ++count; }
  std::optional<double> value() const {
    return count == 0 ? std::nullopt : std::optional<double>(sum / count);
  }
};

Bottleneck starved_learner(const RoleShares& shares) {
  const std::string waits =
      "The learner waits " + percent_of_time(*shares.learner) + " of the time for data; ";
  const double generators = shares.generators.value_or(1), verifiers = shares.verifiers.value_or(1);
  if (verifiers < generators && verifiers <= kBusy)
    return {"verifier", waits + "verifiers are the limit: add verifiers."};
  if (generators <= kBusy)
    return {"generator", waits + "generators are the limit: add generators."};
  return {"bound", waits + "generators wait " + percent_of_time(generators) +
                       " too, so the staleness bound or the batch holds both up: raise "
                       "replay-buffer.staleness-bound."};
}

}  // namespace

std::string role_of(const std::string& actor) {
  const auto is = [&](const char* prefix) { return actor.starts_with(prefix); };
  if (is("gen")) return "generator";
  if (is("ver")) return "verifier";
  if (is("learn")) return "learner";
  if (is("replay") || is("buffer")) return "replay buffer";
  if (is("broadcast")) return "broadcaster";
  if (is("evaluat")) return "evaluator";
  return is("director") ? "director" : "other";
}

RoleShares role_shares(const std::map<std::string, ActorTime>& times) {
  Mean learner, generators, verifiers;
  for (const auto& [name, time] : times) {
    if (time.busy_seconds + time.idle_seconds <= 0) continue;
    const std::string role = role_of(name);
    if (role == "learner") learner.add(time.idle_ratio());
    if (role == "generator") generators.add(time.idle_ratio());
    if (role == "verifier") verifiers.add(time.idle_ratio());
  }
  return {learner.value(), generators.value(), verifiers.value(), generators.count,
          verifiers.count};
}

Bottleneck bottleneck(const RoleShares& shares) {
  if (!shares.learner || !shares.generators)
    return {"", "Nothing to say yet: no learner and generator work together."};
  if (*shares.learner >= kWaits && *shares.learner >= *shares.generators)
    return starved_learner(shares);
  if (*shares.generators >= kWaits && *shares.learner <= kBusy)
    return {"learner", "Generators wait " + percent_of_time(*shares.generators) +
                           " of the time; the learner is the limit: give it more threads or "
                           "ranks, or take generators away."};
  if (*shares.learner >= kWaits) return starved_learner(shares);
  return {"none", "Balanced: the learner waits " + percent_of_time(*shares.learner) +
                      " of the time, generators " + percent_of_time(*shares.generators) +
                      "; nothing is to be added."};
}

}  // namespace troupe
