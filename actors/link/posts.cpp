#include "actors/link/posts.hpp"

#include "actors/link/director_stand_in.hpp"
#include "actors/link/news_codec.hpp"

#include <kj/debug.h>

namespace troupe {

kj::Promise<void> DirectorPostDesk::report(ReportContext context) {
  desk.director_is_there();
  return SeatedPost::report(context);
}

kj::Promise<void> DirectorPostDesk::begin(BeginContext context) {
  const std::uint32_t stage = context.getParams().getStage();
  return desk.ask_in_director<bool>(begin_atom::value, stage).then([](bool known) {
    KJ_REQUIRE(known, "a stage that this config does not have");
  });
}

kj::Promise<void> DirectorPostDesk::stop(StopContext) {
  return desk.ask_in_director<bool>(stop_atom::value).ignoreResult();
}

kj::Promise<void> DirectorPostDesk::close(CloseContext context) {
  const std::string reason = context.getParams().getReason();
  return desk.ask_in_director<bool>(close_atom::value, reason).ignoreResult();
}

kj::Promise<void> DirectorPostDesk::note(NoteContext context) {
  return desk
      .ask_in_director<bool>(note_atom::value, read_note(context.getParams().getEvaluation()))
      .ignoreResult();
}

kj::Promise<void> DirectorPostDesk::pause(PauseContext context) {
  telemetry_.pause(context.getParams().getOn());
  return kj::READY_NOW;
}

kj::Promise<void> DirectorPostDesk::news(NewsContext context) {
  const auto params = context.getParams();
  return desk.ask_in_director<NewsPage>(news_atom::value, params.getFrom(), params.getWait())
      .then([this, context](NewsPage page) mutable {
        auto results = context.getResults();
        auto news = results.initNews(static_cast<unsigned>(page.news.size()));
        for (unsigned i = 0; i < news.size(); ++i) write(page.news[i], news[i]);
        results.setEnd(page.end);
        results.setShownEnd(page.shown_end);
        results.setSeconds(telemetry_.seconds_since_start());
        results.setPaused(telemetry_.paused());
        const auto views = telemetry_.actors();
        auto actors = results.initActors(static_cast<unsigned>(views.size()));
        for (unsigned i = 0; i < actors.size(); ++i) {
          actors[i].setName(views[i].name);
          actors[i].setBusySeconds(views[i].time.busy_seconds);
          actors[i].setIdleSeconds(views[i].time.idle_seconds);
          actors[i].setPhase(views[i].phase);
          actors[i].setHasVersion(views[i].version.has_value());
          actors[i].setVersion(views[i].version.value_or(0));
          actors[i].setIsPeer(views[i].away.has_value());
          actors[i].setAway(views[i].away.value_or(false));
        }
        const auto at_verifiers = telemetry_.at_verifiers();
        results.setHasAtVerifiers(at_verifiers.has_value());
        results.setAtVerifiers(at_verifiers.value_or(0));
      });
}

kj::Promise<void> DirectorPostDesk::rollouts(RolloutsContext context) {
  return desk.ask_in_director<ShownPage>(show_atom::value, context.getParams().getFrom())
      .then([context](ShownPage page) mutable {
        auto rollouts = context.getResults().initRollouts(static_cast<unsigned>(page.size()));
        for (unsigned i = 0; i < rollouts.size(); ++i) {
          rollouts[i].setNumber(page[i].number);
          rollouts[i].setRollout(page[i].rollout.read());
        }
      });
}

kj::Promise<void> DirectorPostDesk::weights(WeightsContext context) {
  context.getResults().setSource(desk.director_weights(name));
  return kj::READY_NOW;
}

kj::Promise<void> ObserverPostDesk::status(StatusContext context) {
  const RunOverview run = telemetry_.overview();
  auto results = context.getResults();
  results.setRun(run_);
  results.setStage(run.stage);
  results.setUpdate(static_cast<std::uint64_t>(run.update));
  results.setUpdates(static_cast<std::uint64_t>(run.updates));
  results.setVersion(run.version);
  results.setSeconds(run.seconds);
  const auto seats = desk_.seats();
  auto peers = results.initPeers(static_cast<unsigned>(seats.size()));
  for (unsigned i = 0; i < peers.size(); ++i) {
    const auto& [seat, seconds] = seats[i];
    auto peer = peers[i];
    peer.setName(seat->name);
    peer.setRole(seat->role);
    peer.setAddress(seat->address);
    peer.setConnected(seat->session != 0);
    peer.setJoins(seat->joins);
    peer.setLink(desk_.secure() ? "mutual TLS 1.3" : "plain");
    peer.setSecondsSinceJoined(seconds);
    peer.setHasFacts(seat->report.has_value());
    if (!seat->report) continue;
    SiteReport report = *seat->report;
    report.host = seat->host;  // as it said when it joined
    write(report, peer.initFacts());
    if (seat->report->version && run.version >= *seat->report->version)
      peer.setLag(run.version - *seat->report->version);
  }
  return kj::READY_NOW;
}

}  // namespace troupe
