#include "messages/wire/fault.hpp"

#include <doctest/doctest.h>

#include <string>

TEST_SUITE_BEGIN("messages/wire");

namespace troupe::wire {

TEST_CASE("a fault survives the way through an exception") {
  for (const auto fault : {Fault::gone, Fault::busy, Fault::unsupported, Fault::failed}) {
    CAPTURE(to_string(fault));
    const auto exception = to_exception(fault, "because");
    CHECK(fault_of(exception) == fault);
    CHECK(std::string(exception.getDescription().cStr()) == "because");
  }
}

TEST_CASE("each fault has the KJ type that KJ itself uses for it") {
  using Type = kj::Exception::Type;
  CHECK(to_exception(Fault::gone, "").getType() == Type::DISCONNECTED);
  CHECK(to_exception(Fault::busy, "").getType() == Type::OVERLOADED);
  CHECK(to_exception(Fault::unsupported, "").getType() == Type::UNIMPLEMENTED);
  CHECK(to_exception(Fault::failed, "").getType() == Type::FAILED);
}

}  // namespace troupe::wire
