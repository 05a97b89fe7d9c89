#pragma once
// How long an actor takes over each message and each answer, as troupe_actor_message_seconds; and that it is at one.
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
      : seconds_(&telemetry.metrics().histogram("troupe_actor_message_seconds", actor)),
        pulse_(&telemetry.pulse(actor)) {}

  template <class Handler>
  auto operator()(Handler handler) const {
    return wrap(std::move(handler), &Handler::operator());
  }

 private:
  template <class Handler, class Result, class... Arguments>
  auto wrap(Handler handler, Result (Handler::*)(Arguments...) const) const {
    return [handler = std::move(handler), seconds = seconds_,
            pulse = pulse_](Arguments... arguments) -> Result {
      struct Watch {
        Watch(prometheus::Histogram* histogram, Pulse* actor) : seconds(histogram), pulse(actor) {
          pulse->begins(begin);
        }
        Watch(const Watch&) = delete;
        ~Watch() { pulse->ends(); }
        prometheus::Histogram* seconds;
        Pulse* pulse;
        Clock::time_point begin = Clock::now();
        void stop() const {
          seconds->Observe(std::chrono::duration<double>(Clock::now() - begin).count());
        }
      } const watch(seconds, pulse);
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
  Pulse* pulse_ = nullptr;
};

}  // namespace troupe
