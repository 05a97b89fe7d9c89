#include "actors/errors.hpp"

#include <doctest/doctest.h>

#include <caf/exit_reason.hpp>
#include <caf/sec.hpp>

TEST_SUITE_BEGIN("actors");

namespace troupe {

TEST_CASE("an error keeps its code and context through CAF") {
  const caf::error error = make_error(Errc::version_not_newer, "version 7");
  CHECK(code_of(error) == Errc::version_not_newer);
  CHECK(describe(error) == "version_not_newer: version 7");
  CHECK(describe(make_error(Errc::stage_over)) == "stage_over");
}

TEST_CASE("an error of CAF is none of ours and still has a name") {
  const caf::error error = caf::make_error(caf::sec::request_timeout);
  CHECK(code_of(error) == Errc::none);
  CHECK(describe(error) == "request_timeout");
}

TEST_CASE("no error is described as a normal end and has no code") {
  CHECK(describe(caf::error{}) == "normal");
  CHECK(describe(caf::make_error(caf::exit_reason::normal)) == "normal");
  CHECK(code_of(caf::error{}) == Errc::none);
}

}  // namespace troupe
