#pragma once
// Every way a message between actors can be refused.
#include <caf/error.hpp>
#include <cstdint>
#include <string>

namespace troupe {

enum class Errc : std::uint8_t {
  none,
  already_waiting,    // one request of this kind at a time from one asker
  stage_over,         // the stage has ended; nothing more will come
  digest_mismatch,    // weights whose values do not hash to their digest
  version_not_newer,  // published versions strictly increase
  actor_failed,       // an exception left a handler; the context says which
  link_lost,  // the other process or the way to it is gone: what was under way is repeated after a rejoin
  link_busy,         // the other process did not answer in time: ask again
  link_unsupported,  // the other process does not know the call: versions differ
  link_failed,       // the other process refused the call
};

const char* to_string(Errc code);

/// CAF's form of it; `context` is for people.
caf::error make_error(Errc code, const std::string& context = {});
/// The code in a CAF error; none if it is not one of ours.
Errc code_of(const caf::error& error);
/// "digest_mismatch: ..." for ours, CAF's own text for its own (request_timeout,
/// request_receiver_down, ...).
std::string describe(const caf::error& error);

}  // namespace troupe
