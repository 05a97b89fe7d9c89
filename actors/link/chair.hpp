#pragma once
// The director's process of a run whose replay buffer is elsewhere: joins that process, and leads the conductor there.
#include "actors/director/past.hpp"
#include "actors/interfaces.hpp"
#include "actors/link/desk_host.hpp"
#include "actors/link/membership.hpp"
#include "actors/link/weight_terms.hpp"
#include "actors/waiting_line.hpp"

#include <caf/actor_system.hpp>
#include <memory>

namespace troupe {

class ChairDesk;

struct ChairPlan : MemberPlan {  // role: "director"
  WeightTerms weights;           // of the model's weights
  Deadlines deadlines;
  caf::actor_system* system = nullptr;
};

/// Safe from any thread. Owns the loop's thread.
class Chair {
 public:
  /// Errors: throws kj::Exception naming file and remedy.
  explicit Chair(ChairPlan plan);
  ~Chair();

  /// Waits until it is known what happened in the run before this process came. Errors: throws std::runtime_error if the
  /// replay buffer's process refuses this one, or cannot be reached for long.
  Past past();
  /// The conductor of that process, for the director of this one. Once, after `past`. It ends with an error if the way to
  /// it is lost for good.
  Conductor cast_conductor(const Director& director);
  /// Kept there for the director that may come after this one.
  void note(const EvaluationNote& note);
  void pause(bool on);

 private:
  struct Outlook;
  std::shared_ptr<Outlook> outlook_;
  std::shared_ptr<DeskHost<ChairDesk, SiteEnd>> host_;
  const ChairPlan plan_;
};

}  // namespace troupe
