#pragma once
// What a process says about itself, about once a second. Fields as SiteFacts in roles.capnp.
#include "messages/wire/roles.capnp.h"

#include <cstdint>
#include <optional>
#include <string>

namespace troupe {

struct SiteReport {
  std::string host, phase;
  std::uint32_t process_id = 0;
  std::optional<std::uint64_t> version;
  std::uint32_t in_flight = 0;
  std::uint64_t tokens = 0;
  double tokens_per_second = 0, busy_seconds = 0, idle_seconds = 0;
};

/// Errors: throws kj::Exception if a figure is not finite or negative.
SiteReport read_report(wire::SiteFacts::Reader facts);
void write(const SiteReport& report, wire::SiteFacts::Builder facts);

}  // namespace troupe
