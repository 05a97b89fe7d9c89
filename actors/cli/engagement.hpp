#pragma once
// The roles that a process serves, each over a link of its own.
#include "actors/cli/site_plans.hpp"
#include "actors/link/membership.hpp"

#include <memory>
#include <string>
#include <vector>

namespace troupe {

/// One role of this process. Safe from any thread.
class Engagement {
 public:
  virtual ~Engagement() = default;
  /// Waits until there is nothing left to do.
  virtual SiteEnd wait() = 0;
  /// Hands over what it has, and goes. Asked again it goes on with that.
  virtual void leave() = 0;
};

/// `around` outlives it. Errors: throws kj::Exception or std::runtime_error naming file and remedy.
std::unique_ptr<Engagement> engage(const Surroundings& around, const std::string& role,
                                   const std::string& name);

using Engagements = std::vector<std::unique_ptr<Engagement>>;

/// Whether whoever started the process should know: it was refused, or something failed.
bool is_failure(const SiteEnd& end);

/// Waits until all have ended. When one ends by itself and not with the run, the others leave. Returns the first failure,
/// or else the end that came last.
SiteEnd wait_for(const Engagements& engagements);

}  // namespace troupe
