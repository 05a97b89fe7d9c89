#pragma once
// What a caller can do about a failed call over a link.
#include <cstdint>
#include <kj/exception.h>
#include <string>

namespace troupe::wire {

/// The only distinction that a caller needs.
enum class Fault : std::uint8_t {
  gone = 1,     ///< The peer or the link went away: send again after the reconnect.
  busy,         ///< Deadline or overload: try again later.
  unsupported,  ///< The peer does not know the method: versions or roles differ. Stop.
  failed,       ///< The peer's code failed: do not try again.
};

/// Of a KJ exception: DISCONNECTED, OVERLOADED, UNIMPLEMENTED, anything else. Any thread.
Fault fault_of(const kj::Exception& exception);

/// The exception that becomes `fault` again on the other side. Its text goes to the peer: no
/// secrets.
kj::Exception to_exception(Fault fault, const std::string& text);

/// The enumerator's name.
const char* to_string(Fault fault);

}  // namespace troupe::wire
