// What was trained, what was dropped, and whether that is all there was: I2, I3, I4, I14.
#include "tests/chaos/findings.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace troupe::chaos {
namespace {

using Counts = std::map<std::string, std::uint64_t>;

struct Sums {
  std::uint64_t trained_rollouts = 0, trained_tokens = 0, dropped = 0;
  Counts dropped_rollouts, dropped_tokens;
  std::set<std::pair<std::uint64_t, std::uint64_t>> places;  // ticket, index
};

/// Not the length of one that was counted before, nor tokens that a rollout was to go on from.
bool is_rollout(const Dropped& dropped) {
  return dropped.reason != "late" && !dropped.part;
}

Sums sums_of(const Run& run, std::int64_t stage) {
  Sums sums;
  for (const Update& update : run.updates) {
    if (update.stage != stage || update.refused) continue;
    for (const Rollout& rollout : update.rollouts) {
      ++sums.trained_rollouts;
      sums.trained_tokens += rollout.tokens;
      sums.places.emplace(rollout.ticket, rollout.index);
    }
  }
  for (const Dropped& dropped : run.dropped) {
    if (dropped.stage != stage) continue;
    sums.dropped_tokens[dropped.reason] += dropped.tokens.value_or(0);
    sums.places.emplace(dropped.ticket, dropped.index);
    if (!is_rollout(dropped)) continue;
    ++sums.dropped;
    ++sums.dropped_rollouts[dropped.reason];
  }
  return sums;
}

Counts counts_of(const Json& object) {
  Counts counts;
  for (const auto& [reason, count] : object.items()) counts[reason] = count;
  return counts;
}

std::string differ(const std::string& what, std::uint64_t listed, std::uint64_t counted) {
  return listed == counted ? ""
                           : what + ": " + std::to_string(listed) + " in lineage.jsonl, " +
                                 std::to_string(counted) + " in the ledger";
}

std::string differ(const std::string& what, const Counts& listed, const Counts& counted) {
  Counts reasons = listed;
  reasons.insert(counted.begin(), counted.end());
  for (const auto& [reason, any] : reasons) {
    const auto in = [key = reason](const Counts& counts) {
      const auto found = counts.find(key);
      return found == counts.end() ? 0 : found->second;
    };
    const std::string text = differ(what + " for " + reason, in(listed), in(counted));
    if (!text.empty()) return text;
  }
  return "";
}

/// The ledger's last word on a stage against the list of all rollouts.
std::string unbalanced(const Run& run, std::int64_t stage, const Json& ledger) {
  const Sums sums = sums_of(run, stage);
  const std::uint64_t generated = ledger.at("generated_rollouts");
  std::vector<std::string> problems = {
      differ("trained rollouts", sums.trained_rollouts, ledger.at("trained_rollouts")),
      differ("trained tokens", sums.trained_tokens, ledger.at("trained_tokens")),
      differ("dropped rollouts", sums.dropped_rollouts, counts_of(ledger.at("dropped_rollouts"))),
      differ("dropped tokens", sums.dropped_tokens, counts_of(ledger.at("dropped_tokens"))),
      differ("rollouts", sums.trained_rollouts + sums.dropped, generated)};
  const std::uint64_t places =
      ledger.at("tickets_granted").get<std::uint64_t>() * run.rules.at(stage).group_size;
  problems.push_back(differ("rollouts of tickets", sums.places.size(), places));
  if (!sums.places.empty() && sums.places.rbegin()->first >= ledger.at("tickets_granted"))
    problems.push_back("a rollout of a ticket that was not granted");
  for (const std::string& problem : problems)
    if (!problem.empty()) return "stage " + std::to_string(stage) + ", " + problem;
  return "";
}

/// rollout_id of messages/rollout.hpp, written again: it is how the history says which rollout is which.
std::string id_of(const std::string& prompt, std::uint64_t ticket, std::uint64_t index) {
  const auto mix = [](std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  };
  constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15;
  const std::uint64_t uid = std::stoull(prompt, nullptr, 16);
  const std::uint64_t id = mix(mix(mix(uid + kGolden) + ticket + kGolden) + index + kGolden);
  char hex[17];
  std::snprintf(hex, sizeof hex, "%016llx", static_cast<unsigned long long>(id));
  return hex;
}

std::string misplaced(const Update& update, const Rules& rules) {
  for (const Rollout& rollout : update.rollouts) {
    std::uint64_t tokens = 0, last = 0;
    for (const auto& [version, count] : rollout.versions) {
      const std::string where = name_of_rollout(rollout) + " in " + name_of(update);
      if (version > update.version) return where + " holds a version newer than the update's";
      if (update.version - version > rules.bound)
        return where + " holds a token of version " + std::to_string(version) +
               ", trained at version " + std::to_string(update.version) + " with a bound of " +
               std::to_string(rules.bound);
      if (version < last) return where + " goes back to an older version";
      last = version;
      tokens += count;
    }
    if (tokens != rollout.tokens) return name_of_rollout(rollout) + " has tokens without a version";
  }
  return "";
}

}  // namespace

Finding check_damage(const Run& run) {
  if (!run.damage.empty()) return broken("I10", run.damage.front());
  return holds("I10", std::to_string(run.lineage_lines) + " lines of lineage are as written");
}

Finding check_duplicates(const Run& run) {
  std::map<Key, const Update*> trained;
  for (const Update& update : run.updates) {
    if (update.refused) continue;
    for (const Rollout& rollout : update.rollouts) {
      const auto [before, fresh] = trained.emplace(Key{update.stage, rollout.id}, &update);
      if (!fresh)
        return broken("I2", name_of_rollout(rollout) + " was trained in " +
                                name_of(*before->second) + " and in " + name_of(update));
    }
  }
  std::set<std::tuple<std::int64_t, std::string, std::uint64_t>> dropped;
  for (const Dropped& one : run.dropped) {
    if (is_rollout(one) && !dropped.emplace(one.stage, one.id, one.attempt).second)
      return broken("I2", name_of_rollout(one) + " was dropped twice");
  }
  for (const Update& update : run.updates)
    for (const Rollout& rollout : update.rollouts)
      if (!update.refused && dropped.contains({update.stage, rollout.id, rollout.attempt}))
        return broken("I2", name_of_rollout(rollout) + " was trained and dropped");
  return holds("I2", std::to_string(trained.size()) + " rollouts, each trained once");
}

Finding check_conservation(const Run& run) {
  std::map<std::int64_t, Json> last;
  for (const Json& ledger : run.lines("ledger")) {
    last[ledger.at("stage")] = ledger;
    if (ledger.at("imbalance_rollouts") != 0 || ledger.at("imbalance_tokens") != 0)
      return broken("I3", "the ledger does not balance after " + ledger.at("seconds").dump() +
                              " s: " + ledger.at("imbalance_rollouts").dump() + " rollouts, " +
                              ledger.at("imbalance_tokens").dump() + " tokens");
  }
  std::uint64_t rollouts = 0;
  for (const auto& [stage, rules] : run.rules) {
    if (!last.contains(stage)) return not_checked("I3", "a stage never wrote its ledger down");
    const Json& ledger = last.at(stage);
    if (ledger.at("open_rollouts") != 0 || ledger.at("buffered_rollouts") != 0 ||
        ledger.at("in_flight_rollouts") != 0)
      return not_checked("I3", "stage " + std::to_string(stage) + " did not come to its end");
    const std::string problem = unbalanced(run, stage, ledger);
    if (!problem.empty()) return broken("I3", problem);
    rollouts += ledger.at("generated_rollouts").get<std::uint64_t>();
  }
  if (run.rules.empty()) return not_checked("I3", "no stage with a ledger");
  return holds("I3", std::to_string(rollouts) + " rollouts, each trained or dropped for a reason");
}

Finding check_staleness(const Run& run) {
  std::uint64_t tokens = 0;
  for (const Update& update : run.updates) {
    const auto rules = run.rules.find(update.stage);
    if (rules == run.rules.end()) return broken("I4", name_of(update) + " has no bound");
    const std::string problem = misplaced(update, rules->second);
    if (!problem.empty()) return broken("I4", problem);
    for (const Rollout& rollout : update.rollouts) tokens += rollout.tokens;
  }
  for (const Json& ledger : run.lines("ledger"))
    if (ledger.at("tokens_beyond_bound") != 0)
      return broken("I4", "the ledger counts tokens beyond the bound");
  return holds("I4", std::to_string(tokens) + " trained tokens within the bound");
}

Finding check_lineage(const Run& run) {
  std::map<std::pair<std::int64_t, std::int64_t>, const Update*> listed;
  for (const Update& update : run.updates) {
    if (!listed.emplace(std::pair(update.stage, update.update), &update).second)
      return broken("I14", name_of(update) + " is there twice");
    for (const Rollout& rollout : update.rollouts) {
      if (rollout.generator.empty() || rollout.verifier.empty())
        return broken("I14", name_of_rollout(rollout) + " has no generator or verifier");
      if (rollout.id != id_of(rollout.prompt, rollout.ticket, rollout.index))
        return broken("I14", name_of_rollout(rollout) + " is not the one of its prompt and ticket");
    }
  }
  const std::vector<Json> updates = run.lines("update");
  for (const Json& update : updates) {
    const auto found = listed.find({update.at("stage"), update.at("update")});
    const std::string name = "update " + update.at("update").dump();
    if (found == listed.end()) return broken("I14", name + " is not in lineage.jsonl");
    if (update.at("version") != found->second->version)
      return broken("I14", name + " was trained at another version in metrics.jsonl");
    if (!update.at("refused") && update.at("trained_rollouts") != found->second->rollouts.size())
      return broken("I14", name + " has " + update.at("trained_rollouts").dump() +
                               " rollouts in metrics.jsonl, " +
                               std::to_string(found->second->rollouts.size()) +
                               " in lineage.jsonl");
  }
  if (updates.size() != listed.size())
    return broken("I14", "metrics.jsonl has " + std::to_string(updates.size()) +
                             " updates, lineage.jsonl " + std::to_string(listed.size()));
  return holds("I14", std::to_string(listed.size()) + " updates, each with its rollouts");
}

}  // namespace troupe::chaos
