// Policy versions and weights: I5, I8, I16.
#include "tests/chaos/findings.hpp"

#include <map>
#include <set>

namespace troupe::chaos {
namespace {

using Digests = std::map<std::uint64_t, std::string>;

Digests published_digests(const Run& run) {
  return Digests(run.published.begin(), run.published.end());
}

/// The digests of the versions that updates made.
Digests trained_digests(const Run& run) {
  Digests digests;
  for (const Json& update : run.lines("update"))
    digests[update.at("version").get<std::uint64_t>() + 1] = update.at("weights_digest");
  return digests;
}

using Holders = std::map<std::uint64_t, std::set<std::string>>;  // generators by version

/// The last tokens are of the generator that finished the rollout; others before may have begun it.
std::string unknown_version(const Rollout& rollout, const Holders& held_by) {
  for (const auto& [version, tokens] : rollout.versions) {
    const auto holders = held_by.find(version);
    const bool last = version == rollout.versions.back().first;
    if (holders == held_by.end() || (last && !holders->second.contains(rollout.generator)))
      return name_of_rollout(rollout) + " is of version " + std::to_string(version) + ", which " +
             (last ? rollout.generator : "a generator") + " never held";
  }
  return "";
}

}  // namespace

Finding check_versions(const Run& run) {
  const auto text = [](std::uint64_t version) { return std::to_string(version); };
  for (std::size_t i = 1; i < run.published.size(); ++i)
    if (run.published[i].first <= run.published[i - 1].first)
      return broken("I5", "version " + text(run.published[i].first) + " was published after " +
                              text(run.published[i - 1].first));
  std::map<std::int64_t, const Update*> before;
  for (const Update& update : run.updates) {
    const Update* last = std::exchange(before[update.stage], &update);
    if (last != nullptr &&
        (update.version != last->version + 1 || update.update != last->update + 1))
      return broken("I5", name_of(update) + " was trained at version " + text(update.version) +
                              " after " + text(last->version));
  }
  const Digests published = published_digests(run);
  std::map<std::string, std::uint64_t> held;  // by file, which is one life of a process, and actor
  for (const Held& one : run.held) {
    if (!published.contains(one.version))
      return broken(
          "I5", one.generator + " held version " + text(one.version) + ", which nobody published");
    const auto [last, fresh] = held.emplace(one.file + " " + one.generator, one.version);
    if (!fresh && one.version < last->second)  // the same again: cast anew
      return broken("I5", one.generator + " went from version " + text(last->second) + " to " +
                              text(one.version) + " (" + one.file + ")");
    last->second = one.version;
  }
  return holds("I5", text(run.published.size()) +
                         " versions published in order, held in order by " + text(held.size()) +
                         " generators");
}

Finding check_weights(const Run& run) {
  if (run.published.empty()) return not_checked("I8", "no version was published");
  const Digests published = published_digests(run);
  for (const auto& [version, digest] : trained_digests(run)) {
    const auto found = published.find(version);
    if (found != published.end() && found->second != digest)
      return broken("I8", "version " + std::to_string(version) + " was published as " +
                              found->second + ", and trained as " + digest);
  }
  Holders held_by;
  for (const Held& held : run.held) {
    held_by[held.version].insert(held.generator);
    const auto found = published.find(held.version);
    if (found != published.end() && found->second != held.digest)
      return broken("I8", held.generator + " held version " + std::to_string(held.version) +
                              " as " + held.digest + ", published as " + found->second);
  }
  for (const Update& update : run.updates) {
    for (const Rollout& rollout : update.rollouts) {
      const std::string problem = unknown_version(rollout, held_by);
      if (!problem.empty()) return broken("I8", problem);
    }
  }
  return holds("I8", std::to_string(run.held.size()) + " times weights as published");
}

Finding check_twin(const Run& run, const Expectations& expected) {
  if (expected.twin == nullptr)
    return not_checked("I16", "no second run that must give the same weights (--same-as)");
  const Digests mine = trained_digests(run), theirs = trained_digests(*expected.twin);
  if (mine.size() != theirs.size())
    return broken("I16", std::to_string(mine.size()) + " versions here, " +
                             std::to_string(theirs.size()) + " there");
  for (const auto& [version, digest] : mine) {
    const auto found = theirs.find(version);
    if (found == theirs.end() || found->second != digest)
      return broken("I16", "version " + std::to_string(version) + " has other weights");
  }
  return holds("I16", std::to_string(mine.size()) + " versions, the same weights");
}

}  // namespace troupe::chaos
