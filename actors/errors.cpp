#include "actors/errors.hpp"

#include <caf/atom.hpp>
#include <caf/deep_to_string.hpp>
#include <caf/exit_reason.hpp>
#include <caf/make_message.hpp>
#include <caf/sec.hpp>

namespace troupe {
namespace {
constexpr auto kCategory = caf::atom("troupe");
}

const char* to_string(Errc code) {
  switch (code) {
    case Errc::none:
      return "none";
    case Errc::already_waiting:
      return "already_waiting";
    case Errc::stage_over:
      return "stage_over";
    case Errc::digest_mismatch:
      return "digest_mismatch";
    case Errc::version_not_newer:
      return "version_not_newer";
    case Errc::actor_failed:
      return "actor_failed";
    case Errc::link_lost:
      return "link_lost";
    case Errc::link_busy:
      return "link_busy";
    case Errc::link_unsupported:
      return "link_unsupported";
    case Errc::link_failed:
      return "link_failed";
  }
  return "unknown";
}

caf::error make_error(Errc code, const std::string& context) {
  return caf::error{static_cast<std::uint8_t>(code), kCategory, caf::make_message(context)};
}

Errc code_of(const caf::error& error) {
  return error && error.category() == kCategory ? static_cast<Errc>(error.code()) : Errc::none;
}

std::string describe(const caf::error& error) {
  if (!error)
    return to_string(caf::exit_reason::normal);  // CAF's error of an actor that simply ended
  if (error.category() == kCategory) {
    std::string text = to_string(code_of(error));
    if (error.context().match_elements<std::string>() &&
        !error.context().get_as<std::string>(0).empty())
      text += ": " + error.context().get_as<std::string>(0);
    return text;
  }
  if (error.category() == caf::atom("system"))
    return to_string(static_cast<caf::sec>(error.code()));
  if (error.category() == caf::atom("exit"))
    return to_string(static_cast<caf::exit_reason>(error.code()));
  return caf::deep_to_string(error);
}

}  // namespace troupe
