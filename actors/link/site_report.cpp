#include "actors/link/site_report.hpp"

#include <cmath>
#include <kj/debug.h>

namespace troupe {

SiteReport read_report(wire::SiteFacts::Reader facts) {
  for (const double figure :
       {facts.getTokensPerSecond(), facts.getBusySeconds(), facts.getIdleSeconds()})
    KJ_REQUIRE(std::isfinite(figure) && figure >= 0, "a figure that cannot be", figure);
  SiteReport report;
  report.host = facts.getHost();
  report.process_id = facts.getProcessId();
  if (facts.getHasVersion()) report.version = facts.getVersion();
  report.in_flight = facts.getInFlight();
  report.tokens = facts.getTokens();
  report.tokens_per_second = facts.getTokensPerSecond();
  report.busy_seconds = facts.getBusySeconds();
  report.idle_seconds = facts.getIdleSeconds();
  constexpr std::size_t kLongestPhase =
      64;  // a peer's text, kept for as long as the actor is known
  report.phase = std::string(facts.getPhase().cStr()).substr(0, kLongestPhase);
  return report;
}

void write(const SiteReport& report, wire::SiteFacts::Builder facts) {
  facts.setHost(report.host);
  facts.setProcessId(report.process_id);
  facts.setHasVersion(report.version.has_value());
  facts.setVersion(report.version.value_or(0));
  facts.setInFlight(report.in_flight);
  facts.setTokens(report.tokens);
  facts.setTokensPerSecond(report.tokens_per_second);
  facts.setBusySeconds(report.busy_seconds);
  facts.setIdleSeconds(report.idle_seconds);
  facts.setPhase(report.phase);
}

}  // namespace troupe
