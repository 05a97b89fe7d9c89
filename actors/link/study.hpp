#pragma once
// The process of a learner: joins the director's process, learns in each stage that it is cast for, ends with the run.
#include "actors/interfaces.hpp"
#include "actors/learner/learner.hpp"
#include "actors/link/call_sheet.hpp"
#include "actors/link/desk_host.hpp"
#include "actors/link/membership.hpp"
#include "actors/link/weight_terms.hpp"
#include "actors/waiting_line.hpp"

#include <caf/actor_system.hpp>
#include <cstdint>
#include <functional>
#include <memory>

namespace troupe {

class StudyDesk;

struct StudyPlan : MemberPlan {  // role: "learner"
  std::string listen;            // "host:port" of a gate for a broadcaster apart; empty: none
  std::string address;           // of the gate, that it dials; its port 0 stands for the bound one
  WeightTerms weights;
  Deadlines deadlines;
  caf::actor_system* system = nullptr;
  // All are called on the loop. The learner is cast once and keeps its weights from stage to stage.
  std::function<Learner(const Conductor& reporter)> cast_learner;
  std::function<Broadcaster(bool for_generators)> cast_broadcaster;  // for each stage
  /// A null buffer: the stage is a supervised one.
  std::function<LearnerPlanPtr(const CallSheet&, const ReplayBuffer&, const Broadcaster&)>
      stage_plan;
};

/// Safe from any thread. Owns the loop's thread.
class Study {
 public:
  /// Errors: throws kj::Exception naming file and remedy.
  explicit Study(StudyPlan plan);
  ~Study();

  /// Waits until there is nothing left to do.
  SiteEnd wait();
  /// The process goes; the run cannot go on without it, and ends with the newest version it has.
  void leave();

 private:
  std::shared_ptr<DeskHost<StudyDesk, SiteEnd>> host_;
};

}  // namespace troupe
