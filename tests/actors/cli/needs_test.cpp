#include "actors/cli/needs.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

TEST_SUITE_BEGIN("actors/cli");

namespace troupe {

using Needs = std::vector<std::string>;

TEST_CASE("a process of one role needs its link and what the role works with") {
  CHECK(needs_of({"verifier"}) == Needs{"link"});
  CHECK(needs_of({"generator"}) == Needs{"link", "weights"});
  CHECK(needs_of({"learner"}) == Needs{"link", "stage"});
  CHECK(needs_of({"broadcaster"}) == Needs{"link", "cast"});
}

TEST_CASE("a process of several roles needs the link of each and what each works with") {
  CHECK(needs_of({"generator", "verifier"}) ==
        Needs{"link of generator", "link of verifier", "weights"});
  CHECK(needs_of({"broadcaster", "generator", "learner"}) ==
        Needs{"link of broadcaster", "link of generator", "link of learner", "weights", "stage",
              "cast"});
}

}  // namespace troupe
