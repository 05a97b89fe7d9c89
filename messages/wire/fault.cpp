#include "messages/wire/fault.hpp"

#include <kj/debug.h>
#include <kj/string.h>

namespace troupe::wire {

Fault fault_of(const kj::Exception& exception) {
  switch (exception.getType()) {
    case kj::Exception::Type::DISCONNECTED:
      return Fault::gone;
    case kj::Exception::Type::OVERLOADED:
      return Fault::busy;
    case kj::Exception::Type::UNIMPLEMENTED:
      return Fault::unsupported;
    case kj::Exception::Type::FAILED:
      break;
  }
  return Fault::failed;
}

kj::Exception to_exception(Fault fault, const std::string& text) {
  auto type = kj::Exception::Type::FAILED;
  if (fault == Fault::gone) type = kj::Exception::Type::DISCONNECTED;
  if (fault == Fault::busy) type = kj::Exception::Type::OVERLOADED;
  if (fault == Fault::unsupported) type = kj::Exception::Type::UNIMPLEMENTED;
  return kj::Exception(type, "troupe", 0, kj::heapString(text.data(), text.size()));
}

const char* to_string(Fault fault) {
  switch (fault) {
    case Fault::gone:
      return "gone";
    case Fault::busy:
      return "busy";
    case Fault::unsupported:
      return "unsupported";
    case Fault::failed:
      break;
  }
  return "failed";
}

}  // namespace troupe::wire
