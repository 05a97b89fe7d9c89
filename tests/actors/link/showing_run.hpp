#pragma once
// The files of a process that shows rollouts, or hands them on to one that can read their tokens.
#include "actors/telemetry/rollout_log.hpp"
#include "tests/support/actor_fixture.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <prometheus/counter.h>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace troupe::linked {

inline constexpr std::size_t kShown = 2;  // of each update

struct ShowingRun : support::TemporaryRun {
  explicit ShowingRun(bool reads) {
    telemetry.reset();
    TelemetryOptions options;
    options.run_directory = directory;
    options.quiet = true;
    options.run_name = "test";
    options.rollouts_per_update = kShown;
    if (reads)
      options.token_text = [](std::int32_t token) { return "<" + std::to_string(token) + ">"; };
    telemetry = std::make_unique<Telemetry>(options);
  }
  std::vector<RolloutView> shown() const {
    std::ifstream file(directory / "rollouts.jsonl");
    std::vector<RolloutView> views;
    for (std::string line; std::getline(file, line);) views.push_back(*rollout_of_line(line));
    return views;
  }
  double not_shown(const char* reason) const {
    return telemetry->metrics().counter("troupe_run_rollouts_not_shown_total", reason).Value();
  }
};

/// Of each update as many as there are to be, each once, and of some what the learner found itself.
inline void check_shown(const ShowingRun& run) {
  using Update = std::pair<std::int32_t, std::int32_t>;  // with its stage
  std::map<Update, std::size_t> expected, found;
  std::ifstream file(run.directory / "metrics.jsonl");
  for (std::string text; std::getline(file, text);) {
    const auto line = nlohmann::json::parse(text);
    if (line["type"] != "update" || !line.contains("trained_rollouts")) continue;
    const std::size_t trained = line["trained_rollouts"];
    if (trained > 0) expected[{line["stage"], line["update"]}] = std::min(kShown, trained);
  }
  std::set<std::string> ids;
  std::size_t measured = 0;
  for (const RolloutView& view : run.shown()) {
    ++found[{view.stage, view.update}];
    CHECK(ids.insert(view.id).second);
    measured += view.learner_log_probs.empty() ? 0 : 1;
    if (!view.learner_log_probs.empty()) CHECK(view.gap().value_or(1) < 1e-3);
  }
  CAPTURE(expected.size());
  CAPTURE(found.size());
  CAPTURE(run.not_shown("refused"));
  CAPTURE(run.not_shown("forgotten"));
  CHECK_FALSE(expected.empty());
  CHECK(found == expected);
  CHECK(measured > 0);
}

/// One that takes that many bytes and a few more.
inline ShownRollout shown_of_bytes(std::size_t bytes, std::uint64_t id = 1) {
  const auto runs = static_cast<unsigned>(bytes / 16);
  const std::int32_t token = 7;
  return ShownRollout::build([&](wire::ShownRollout::Builder shown) {
    shown.setId(id);
    shown.setUpdate(1);
    shown.initVerdict().setRollout(id);
    shown.setTokens(kj::arrayPtr(&token, 1));
    shown.setPromptTokens(1);
    shown.setCompletionTokens(runs);
    for (auto run : shown.initVersions(runs)) run.setCount(1);
  });
}

}  // namespace troupe::linked
