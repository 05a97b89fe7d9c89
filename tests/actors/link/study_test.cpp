// A learner in a process of its own, over real sockets.
#include "tests/actors/link/linked_roles.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <utility>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {

using namespace linked;

TEST_CASE("a stage with its learner elsewhere ends with the weights that it has in one process") {
  const TemporaryDirectory directory;
  auto authority = pki::Authority::create(directory.path() / "pki");
  const auto issue = [&](pki::Role role, const std::string& name) {
    std::vector<std::string> hosts;
    if (pki::serves(role)) hosts = {"127.0.0.1"};
    return files(authority.issue({role, name, hosts, {}}));
  };
  Chief chief({}, issue(pki::Role::director, "main"), 60, false, true);
  const auto gen = issue(pki::Role::generator, "gen-0");
  const auto ver = issue(pki::Role::verifier, "ver-0");
  Role generating(chief, "gen-0", "generator", chief.office->address(),
                  [&](SitePlan& plan) { plan.tls = gen; });
  Role grading(chief, "ver-0", "verifier", chief.office->address(),
               [&](SitePlan& plan) { plan.tls = ver; });
  StudyProcess study(chief, chief.office->address(), issue(pki::Role::learner, "learner"));
  REQUIRE(until([&] { return chief.enlisted == 3; }));
  chief.run.telemetry->stage_begins(0, "rl", "rl", 0);
  chief.begin();
  check_stage(chief);
  CHECK(chief.updates == static_cast<std::int32_t>(chief.parts.options.updates));
  CHECK(chief.updates_told().size() == chief.parts.options.updates);  // each once and in order
  check_shown(chief.run);
  chief.office->dismiss("the run is over");
  CHECK(study.study->wait().kind == SiteEnd::Kind::dismissed);
}

TEST_CASE("versions go from the learner's gate to a broadcaster apart and pass nobody else") {
  Papers papers;
  Chief chief({}, papers.of(pki::Role::director, "main"), 60, true, true);
  const auto gen = papers.of(pki::Role::generator, "gen-0");
  const auto ver = papers.of(pki::Role::verifier, "ver-0");
  StudyProcess study(chief, chief.office->address(), papers.of(pki::Role::learner, "learner"),
                     "127.0.0.1:0");
  REQUIRE(until([&] { return chief.enlisted == 1; }));
  RelayProcess relay(chief, chief.office->address(),
                     papers.of(pki::Role::broadcaster, "broadcaster"));
  REQUIRE(until([&] { return chief.has_broadcaster(); }));  // who comes from now on is sent there
  Role generating(chief, "gen-0", "generator", chief.office->address(),
                  [&](SitePlan& plan) { plan.tls = gen; });
  Role grading(chief, "ver-0", "verifier", chief.office->address(),
               [&](SitePlan& plan) { plan.tls = ver; });
  REQUIRE(until([&] { return chief.enlisted == 3; }));
  chief.run.telemetry->stage_begins(0, "rl", "rl", 0);
  chief.begin();
  check_stage(chief);
  CHECK(relay.fetched("learner") > chief.parts.options.updates / 2);
  CHECK(relay.fetched("gate") == 0);
  CHECK(chief.counted("troupe_broadcaster_bytes_total", "stream") == 0);
  CHECK(chief.counted("troupe_broadcaster_bytes_total", "memfd") == 0);
  CHECK(chief.counted("troupe_broadcaster_bytes_total", "delta") == 0);
}

TEST_CASE("a broadcaster that cannot reach the learner's gate takes weights from the director's") {
  Chief chief({}, {}, 60, true, true);
  StudyProcess study(chief, chief.office->address(), {}, "127.0.0.1:1");
  REQUIRE(until([&] { return chief.enlisted == 1; }));
  RelayProcess relay(chief, chief.office->address(), {}, kBriefSilence);
  Role generating(chief, "gen-0", "generator", chief.office->address());
  Role grading(chief, "ver-0", "verifier", chief.office->address());
  REQUIRE(until([&] { return chief.enlisted == 3 && relay.casts == 1; }));
  chief.run.telemetry->stage_begins(0, "rl", "rl", 0);
  chief.begin();
  check_stage(chief);
  CHECK(relay.fetched("learner") == 0);
  CHECK(relay.fetched("gate") > 0);
}

TEST_CASE("a learner whose link is cut goes on where it was") {
  SmallStageOptions options;
  options.updates = 40;
  Chief chief(options, {}, 60, false, true);
  Role generating(chief, "gen-0", "generator", chief.office->address());
  Role grading(chief, "ver-0", "verifier", chief.office->address());
  Forwarder forwarder(chief.office->address());
  StudyProcess study(chief, forwarder.address());
  REQUIRE(until([&] { return chief.enlisted == 3; }));
  chief.run.telemetry->stage_begins(0, "rl", "rl", 0);
  chief.begin();
  for (const std::int32_t update : {5, 15, 25}) {
    REQUIRE(chief.reaches(update));
    forwarder.cut();
  }
  check_stage(chief);
  CHECK(study.casts == 1);
  check_shown(chief.run);
  const auto told = chief.updates_told();
  REQUIRE(told.size() == options.updates);
  for (std::size_t i = 0; i < told.size(); ++i)
    CHECK(told[i].find("\"update\":" + std::to_string(i + 1) + ",") != std::string::npos);
}

TEST_CASE("rollouts that cannot be shown are counted and hold nothing up") {
  Chief chief({}, {}, 60, false, true);
  Role generating(chief, "gen-0", "generator", chief.office->address());
  Role grading(chief, "ver-0", "verifier", chief.office->address());
  StudyProcess study(chief, chief.office->address());
  REQUIRE(until([&] { return chief.enlisted == 3; }));
  chief.run.telemetry->stage_begins(0, "rl", "rl", 0);
  chief.begin();
  REQUIRE(chief.reaches(2));
  RolloutLog& shown = *study.run.telemetry->rollouts();
  shown.show(shown_of_bytes(StudyProcess::kFrameBytes));
  shown.show(shown_of_bytes(StudyProcess::kFrameBytes / 2));
  check_stage(chief);
  check_shown(chief.run);
  CHECK(study.run.not_shown("too_large") == 2);
  CHECK(study.run.not_shown("refused") == 0);
  caf::anon_send_exit(chief.trainer, caf::exit_reason::kill);  // nobody there hears it any more
  REQUIRE(until([&] {
    shown.show(shown_of_bytes(100));
    return study.run.not_shown("refused") > 0;
  }));
  CHECK(study.run.not_shown("backlog") == 0);
}

TEST_CASE("a learner that is away keeps no more of what is shown than there is room for") {
  Chief chief({}, {}, 60, false, true);
  Role generating(chief, "gen-0", "generator", chief.office->address());
  Role grading(chief, "ver-0", "verifier", chief.office->address());
  Forwarder forwarder(chief.office->address());
  StudyProcess study(chief, forwarder.address());
  REQUIRE(until([&] { return chief.enlisted == 3; }));
  chief.run.telemetry->stage_begins(0, "rl", "rl", 0);
  chief.begin();
  REQUIRE(chief.reaches(2));
  forwarder.mute();
  RolloutLog& shown = *study.run.telemetry->rollouts();
  constexpr std::size_t kEach = 30'000, kMany = 400;  // 12 MB in all
  for (std::uint64_t id = 0; id < kMany; ++id) shown.show(shown_of_bytes(kEach, id));
  REQUIRE(until([&] { return study.run.not_shown("backlog") > kMany / 4; }));
  CHECK(study.run.not_shown("backlog") < kMany / 2);
  forwarder.cut();
  check_stage(chief);
  CHECK(chief.updates_told().size() == chief.parts.options.updates);
}

TEST_CASE("a run ends when its learner elsewhere has been away for longer than its lease") {
  Chief chief({}, {}, 0.2, false, true);
  auto study = std::make_unique<StudyProcess>(chief, chief.office->address());
  REQUIRE(until([&] { return chief.enlisted == 1; }));
  chief.begin();
  REQUIRE(until([&] { return chief.updates >= 0 && study->casts == 1; }));
  study.reset();
  REQUIRE(until([&] { return chief.ended().size() == 1; }));
  CHECK(chief.ended().front().find("link_lost") != std::string::npos);
}

TEST_CASE("a learner is refused where the config has it in the process of the director") {
  Chief chief({});
  StudyProcess study(chief, chief.office->address());
  const SiteEnd end = study.study->wait();
  CHECK(end.kind == SiteEnd::Kind::refused);
  CHECK(end.text.find("network.learner") != std::string::npos);
}

}  // namespace troupe
