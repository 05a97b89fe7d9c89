#pragma once
// How long an actor takes over each message and each answer, as troupe_actor_message_seconds.
#include "actors/telemetry/telemetry.hpp"

#include <chrono>
#include <prometheus/histogram.h>
#include <string>
#include <type_traits>
#include <utility>

namespace troupe {

/// Wraps the handlers of one actor, for messages and for answers to its requests; each goes on with
/// the same arguments and the same result. An exception that leaves a handler is not measured.
class Timed {
 public:
  Timed() = default;
  Timed(Telemetry& telemetry, const std::string& actor)
      : seconds_(&telemetry.metrics().histogram("troupe_actor_message_seconds", actor)) {}

  template <class Handler>
  auto operator()(Handler handler) const {
    return wrap(std::move(handler), &Handler::operator());
  }

 private:
  template <class Handler, class Result, class... Arguments>
  auto wrap(Handler handler, Result (Handler::*)(Arguments...) const) const {
    return [handler = std::move(handler), seconds = seconds_](Arguments... arguments) -> Result {
      struct Watch {
        prometheus::Histogram* seconds;
        Clock::time_point begin = Clock::now();
        void stop() const {
          seconds->Observe(std::chrono::duration<double>(Clock::now() - begin).count());
        }
      } const watch{seconds};
      if constexpr (std::is_void_v<Result>) {
        handler(std::forward<Arguments>(arguments)...);
        watch.stop();
      } else {
        Result result = handler(std::forward<Arguments>(arguments)...);
        watch.stop();
        return result;
      }
    };
  }

  prometheus::Histogram* seconds_ = nullptr;
};

}  // namespace troupe
