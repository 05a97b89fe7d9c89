#include "actors/link/posts.hpp"

namespace troupe {

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
