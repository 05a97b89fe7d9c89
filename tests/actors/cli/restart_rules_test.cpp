#include "actors/cli/restart_rules.hpp"

#include <doctest/doctest.h>

using troupe::RestartRules;

TEST_SUITE_BEGIN("actors/cli");

TEST_CASE("the pause doubles with each short life up to the longest") {
  RestartRules rules;
  for (const double pause : {0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0})
    CHECK(rules.died_after(1).value() == doctest::Approx(pause));
}

TEST_CASE("after the limit of short lives a process is given up") {
  RestartRules rules{.limit = 2};
  CHECK(rules.died_after(1));
  CHECK(rules.died_after(1));
  CHECK_FALSE(rules.died_after(1));
}

TEST_CASE("a long life is followed by the first pause again") {
  RestartRules rules{.limit = 2};
  rules.died_after(1);
  rules.died_after(1);
  CHECK(rules.died_after(30).value() == doctest::Approx(0.2));
  CHECK(rules.died_after(29.9).value() == doctest::Approx(0.4));
}

TEST_CASE("with a limit of zero a process is given up at its first short life") {
  RestartRules rules{.limit = 0};
  CHECK_FALSE(rules.died_after(1));
}

TEST_SUITE_END();
