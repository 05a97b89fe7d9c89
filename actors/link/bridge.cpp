#include "actors/link/bridge.hpp"

#include <caf/sec.hpp>
#include <kj/string.h>
#include <string>
#include <string_view>

namespace troupe {

namespace {

/// What an actor over there answered arrives as text: "remote exception: stage_over: ...".
Errc code_in(const std::string& text) {
  for (const Errc code : {Errc::stage_over, Errc::already_waiting, Errc::digest_mismatch,
                          Errc::version_not_newer, Errc::actor_failed, Errc::link_lost})
    if (text.starts_with(to_string(code))) return code;
  return Errc::none;
}

}  // namespace

caf::error to_error(const kj::Exception& exception) {
  constexpr std::string_view kRemote = "remote exception: ";
  std::string text = exception.getDescription().cStr();
  while (text.starts_with(kRemote)) text.erase(0, kRemote.size());  // one for each link on its way
  if (const Errc code = code_in(text); code != Errc::none) {
    const std::string name = to_string(code);
    return make_error(code,
                      text.size() > name.size() + 2 ? text.substr(name.size() + 2) : std::string());
  }
  switch (exception.getType()) {
    case kj::Exception::Type::DISCONNECTED:
      return make_error(Errc::link_lost, text);
    case kj::Exception::Type::OVERLOADED:
      return make_error(Errc::link_busy, text);
    case kj::Exception::Type::UNIMPLEMENTED:
      return make_error(Errc::link_unsupported, text);
    default:
      return make_error(Errc::link_failed, text);
  }
}

kj::Exception to_exception(const caf::error& error) {
  using Type = kj::Exception::Type;
  Type type = Type::FAILED;
  if (error == caf::sec::request_timeout) type = Type::OVERLOADED;
  if (error == caf::sec::request_receiver_down || code_of(error) == Errc::stage_over ||
      code_of(error) == Errc::link_lost)
    type = Type::DISCONNECTED;
  return kj::Exception(type, "actor", 0, kj::str(describe(error).c_str()));
}

}  // namespace troupe
