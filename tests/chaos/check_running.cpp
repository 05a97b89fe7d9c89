// How the run went: I11, I12, I13, I17; and the list of all invariants.
#include "tests/chaos/findings.hpp"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <map>
#include <set>
#include <sstream>

namespace troupe::chaos {
namespace {

std::string number(double value) {
  std::ostringstream text;
  text << std::setprecision(4) << value;
  return text.str();
}

/// Seconds since 1970 of "2026-01-31T23:59:59Z".
double parsed_time(const std::string& text) {
  std::tm time{};
  std::istringstream(text) >> std::get_time(&time, "%Y-%m-%dT%H:%M:%SZ");
  return static_cast<double>(timegm(&time));
}

struct Lengths {
  std::vector<std::uint64_t> tokens;
  std::size_t groups = 0;
};

Lengths trained_lengths(const Run& run) {
  Lengths lengths;
  std::set<std::pair<std::int64_t, std::uint64_t>> groups;
  for (const Update& update : run.updates) {
    if (update.refused) continue;
    for (const Rollout& rollout : update.rollouts) {
      lengths.tokens.push_back(rollout.tokens);
      groups.emplace(update.stage, rollout.ticket);
    }
  }
  lengths.groups = groups.size();
  return lengths;
}

/// All versions of the run have the same weights, so that what is sampled depends on nothing but the ticket.
bool never_learned(const Run& run) {
  std::set<std::string> digests;
  for (const Json& update : run.lines("update")) digests.insert(update.at("weights_digest"));
  return digests.size() == 1;
}

std::map<Key, std::uint64_t> trained_once(const Run& run) {
  std::map<Key, std::uint64_t> tokens;
  for (const Update& update : run.updates)
    if (!update.refused)
      for (const Rollout& rollout : update.rollouts)
        tokens[{update.stage, rollout.id}] = rollout.tokens;
  return tokens;
}

Finding check_same_rollouts(const Run& run, const Run& clean) {
  const auto mine = trained_once(run), theirs = trained_once(clean);
  for (const auto& [key, tokens] : theirs) {
    const auto found = mine.find(key);
    if (found == mine.end()) return broken("I13", "rollout " + key.id + " was not trained here");
    if (found->second != tokens)
      return broken("I13", "rollout " + key.id + " has " + std::to_string(found->second) +
                               " tokens here and " + std::to_string(tokens) + " there");
  }
  if (mine.size() != theirs.size())
    return broken("I13", std::to_string(mine.size()) + " rollouts were trained here, " +
                             std::to_string(theirs.size()) + " there");
  return holds("I13", "the weights stay as they are, and both runs trained the same " +
                          std::to_string(mine.size()) + " rollouts");
}

std::uint64_t updates_of(const Run& run, std::int64_t stage) {
  return static_cast<std::uint64_t>(
      std::count_if(run.updates.begin(), run.updates.end(),
                    [&](const Update& update) { return update.stage == stage; }));
}

}  // namespace

Finding check_memory(const Run& run, const Expectations& expected) {
  for (const Json& ledger : run.lines("ledger")) {
    const auto rules = run.rules.find(ledger.at("stage"));
    if (rules == run.rules.end()) continue;
    const std::uint64_t held = ledger.at("open_rollouts").get<std::uint64_t>() +
                               ledger.at("in_flight_rollouts").get<std::uint64_t>() +
                               ledger.at("buffered_rollouts").get<std::uint64_t>();
    const std::uint64_t limit =
        (rules->second.bound + 1) * rules->second.batch * rules->second.group_size;
    if (held > limit)
      return broken("I11", std::to_string(held) + " rollouts were open or waiting, and " +
                               std::to_string(limit) + " may be");
  }
  const std::uint64_t peak = run.summary.value("peak_memory_bytes", std::uint64_t{0});
  if (!expected.memory_bytes)
    return holds("I11", "admission kept to its limit; peak memory is not checked (--memory-mb)");
  if (peak > *expected.memory_bytes || peak == 0)
    return broken("I11", "peak memory " + std::to_string(peak) + " bytes, and " +
                             std::to_string(*expected.memory_bytes) + " may be");
  return holds("I11", "peak memory " + number(static_cast<double>(peak) / 1e6) + " MB");
}

Finding check_liveness(const Run& run, const Expectations& expected) {
  if (run.summary.value("ended", "") != "done")
    return broken("I12", "the run ended with: " + run.summary.value("ended", "nothing"));
  for (const auto& [stage, rules] : run.rules) {
    const std::uint64_t made = updates_of(run, stage);
    if (made != rules.updates)
      return broken("I12", "stage " + std::to_string(stage) + " made " + std::to_string(made) +
                               " of " + std::to_string(rules.updates) + " updates");
  }
  double last = 0;
  for (const Json& fault : run.faults)
    if (fault.contains("fault")) last = std::max(last, fault.at("time").get<double>());
  if (last == 0) return holds("I12", "all updates were made; no fault is written down");
  const double start = parsed_time(run.lines("run").at(0).at("started_at"));
  constexpr double kRounding = 1;  // the start is written in whole seconds
  for (const Json& update : run.lines("update")) {
    const double after = start + update.at("seconds").get<double>() + kRounding - last;
    if (after < 0) continue;
    if (after > expected.recovery_seconds + kRounding)
      return broken("I12", "no update within " + number(after) + " s of the last fault");
    return holds("I12", "an update within " + number(after) + " s of the last fault");
  }
  return not_checked("I12", "the last fault came after the last update");
}

Distance length_distance(std::vector<std::uint64_t> first, std::size_t first_groups,
                         std::vector<std::uint64_t> second, std::size_t second_groups) {
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  const auto share = [](const std::vector<std::uint64_t>& sorted, std::uint64_t at) {
    const auto end = std::upper_bound(sorted.begin(), sorted.end(), at);
    return static_cast<double>(end - sorted.begin()) / static_cast<double>(sorted.size());
  };
  Distance result;
  for (const auto* sample : {&first, &second})
    for (const std::uint64_t at : *sample)
      result.distance = std::max(result.distance, std::abs(share(first, at) - share(second, at)));
  constexpr double kThousandth = 1.9495;  // sqrt(-ln(0.001 / 2) / 2)
  const double n = static_cast<double>(first_groups), m = static_cast<double>(second_groups);
  result.limit = kThousandth * std::sqrt((n + m) / (n * m));
  return result;
}

Finding check_lengths(const Run& run, const Expectations& expected) {
  if (expected.clean == nullptr)
    return not_checked("I13", "no run without faults to compare with (--clean)");
  if (never_learned(run) && never_learned(*expected.clean))
    return check_same_rollouts(run, *expected.clean);
  const Lengths mine = trained_lengths(run), theirs = trained_lengths(*expected.clean);
  if (mine.groups == 0 || theirs.groups == 0) return not_checked("I13", "nothing was trained");
  const Distance d = length_distance(mine.tokens, mine.groups, theirs.tokens, theirs.groups);
  const std::string text = "Kolmogorov-Smirnov distance of the lengths " + number(d.distance) +
                           ", limit " + number(d.limit) + " at 0.001 over " +
                           std::to_string(mine.groups) + " and " + std::to_string(theirs.groups) +
                           " groups";
  return d.distance > d.limit ? broken("I13", text) : holds("I13", text);
}

Finding check_exits(const Run& run) {
  std::size_t count = 0;
  for (const Json& fault : run.faults) {
    if (!fault.contains("exit")) continue;
    ++count;
    if (fault.at("code") != fault.at("expected"))
      return broken("I17", fault.at("exit").get<std::string>() + " ended with " +
                               fault.at("code").dump() + ", not " + fault.at("expected").dump());
  }
  if (count == 0) return not_checked("I17", "no exit code is written down");
  return holds("I17", std::to_string(count) + " exit codes as expected");
}

std::vector<Finding> check(const Run& run, const Expectations& expected) {
  return {not_checked("I1", "there is no journal"),
          check_duplicates(run),
          check_conservation(run),
          check_staleness(run),
          check_versions(run),
          not_checked("I6", "nothing takes the place of a learner or a buffer"),
          not_checked("I7", "there are no checkpoints to resume from"),
          check_weights(run),
          not_checked("I9", "verdicts are not signed"),
          check_damage(run),
          check_memory(run, expected),
          check_liveness(run, expected),
          check_lengths(run, expected),
          check_lineage(run),
          not_checked("I15", "there are no gates"),
          check_twin(run, expected),
          check_exits(run)};
}

}  // namespace troupe::chaos
