#pragma once
// What every actor reports of itself: what it died of, and messages that it drops or refuses.
#include "actors/errors.hpp"
#include "actors/telemetry/telemetry.hpp"

#include <caf/error.hpp>
#include <caf/message_view.hpp>
#include <caf/result.hpp>
#include <caf/sec.hpp>
#include <exception>
#include <prometheus/counter.h>
#include <string>

namespace troupe {

inline void count_dropped(Telemetry& telemetry, const std::string& reason) {
  telemetry.metrics().counter("troupe_actor_dropped_messages_total", reason).Increment();
}

/// The answer to a message that is refused, counted.
inline caf::error refused(Telemetry& telemetry, Errc code, const std::string& context = {}) {
  count_dropped(telemetry, to_string(code));
  return make_error(code, context);
}

/// For the handler of a request's error: counts one that was not answered in time. An answer that
/// comes later is dropped by CAF.
inline bool timed_out(Telemetry& telemetry, const caf::error& error) {
  if (error != caf::sec::request_timeout) return false;
  count_dropped(telemetry, "timeout");
  return true;
}

/// An exception that leaves a handler ends the actor, as ever; its text becomes an event and the
/// error that others see. A message that no handler is for is refused and counted.
template <class Self>
void report_exceptions(Self* self, Telemetry& telemetry, const std::string& name) {
  self->set_default_handler(
      [&telemetry](caf::scheduled_actor*, caf::message_view&) -> caf::result<caf::message> {
        count_dropped(telemetry, "unexpected");
        return caf::sec::unexpected_message;
      });
  self->set_exception_handler([&telemetry, name](std::exception_ptr& thrown) -> caf::error {
    std::string text = "an unknown exception";
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& error) {
      text = error.what();
    } catch (...) {  // whatever it was, the actor ends with it
    }
    telemetry.event("actor_failed", name + ": " + text);
    return make_error(Errc::actor_failed, text);
  });
}

}  // namespace troupe
