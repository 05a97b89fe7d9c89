#pragma once
// What an actor died of, in words: an exception's text would end with the actor.
#include "actors/errors.hpp"
#include "actors/telemetry/telemetry.hpp"

#include <caf/error.hpp>
#include <exception>
#include <string>

namespace troupe {

/// An exception that leaves a handler ends the actor, as ever; its text becomes an event and the
/// error that others see.
template <class Self>
void report_exceptions(Self* self, Telemetry& telemetry, const std::string& name) {
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
