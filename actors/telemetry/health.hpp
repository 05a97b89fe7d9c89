#pragma once
// What probes are told: whether the actors of a process move, and whether it can do its work. No clock here.
#include "actors/telemetry/http_server.hpp"

#include <map>
#include <string>
#include <vector>

namespace troupe {

/// What one actor is at. Only who is at work is expected to make progress: who waits may wait for ever, and that somebody
/// waits too long is for the one that is waited for to answer.
struct Vitals {
  std::string actor, doing;    // its phase: "decode", "wait for batch"; empty: it does not say
  double seconds_at_work = 0;  // since it began or last made progress; 0: it waits
};

/// /healthz: 503 with the names of actors that have been at work for more than `deadline_seconds` without progress.
HttpReply health_page(const std::vector<Vitals>& actors, double deadline_seconds);

/// /readyz: 503 with what is missing while a need is not met.
HttpReply readiness_page(const std::map<std::string, bool>& needs);

}  // namespace troupe
