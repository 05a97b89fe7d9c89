#pragma once
// The actors of one rl stage, and who takes whose place.
#include "actors/broadcaster/broadcaster.hpp"
#include "actors/conductor/conductor.hpp"
#include "actors/director/role_plans.hpp"
#include "actors/generator/generator.hpp"
#include "actors/link/office.hpp"
#include "actors/replay_buffer/replay_buffer.hpp"
#include "actors/verifier/verifier.hpp"

#include <caf/blocking_actor.hpp>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// Owned by the conductor. A generator or verifier that dies is replaced, up to the restart limit; anything else ends the
/// stage. A role of another process is cast anew, likewise, if it was its stand-in that died; beyond the limit it is left
/// alone until the next stage. If its link was lost it comes back by itself.
class Cast {
 public:
  Cast(caf::blocking_actor* self, const ConductorPlan& plan, std::size_t stage,
       PolicyVersion first_version);
  /// Takes in a role of another process, now or at any time while the stage is on. Whoever is in already is left alone.
  void enlist(const Enlistment& enlistment);

  ~Cast();  // whoever is left goes
  Cast(const Cast&) = delete;
  Cast& operator=(const Cast&) = delete;

  const ReplayBuffer& buffer() const { return buffer_; }
  const Broadcaster& broadcaster() const { return broadcaster_; }

  /// Who is not there any more, if it is a process that has ended or left; it would enlist anew.
  std::optional<Enlistment> gone(const caf::down_msg& message) const;
  /// Returns why the stage cannot go on, or nothing. Ignores who is not of this cast.
  std::string down(const caf::down_msg& message);
  /// Stops everyone in the order that lets the ledger account for all; returns its last record.
  LedgerRecord dismiss(const std::string& reason);
  const GeneratorTotals& totals() const { return totals_; }
  bool totals_complete() const { return totals_complete_; }  // no generator died or failed to say
  bool is_generator(const std::string& name) const { return generators_.contains(name); }
  bool has_generators() const { return !generator_parts_.empty(); }
  bool has_verifiers() const { return !verifier_parts_.empty(); }
  bool has_relays() const { return !relay_parts_.empty(); }  // broadcasters elsewhere
  std::vector<std::string> names() const;

 private:
  struct Part {
    std::string name;
    std::uint32_t incarnation = 0;
    Enlistment elsewhere;  // of a role in another process; lease 0: it is in this one
  };
  void cast_generator(const Part& part);
  void cast_verifier(const Part& part);
  void cast_elsewhere(const Part& part);
  void cast_elsewhere_again(Part part, const caf::error& reason);
  CallSheet next_sheet(std::uint64_t lease);
  void introduce(const std::string& name, const Generator& actor);
  void introduce(const std::string& name, const Verifier& actor);
  void send_home();
  Deadlines deadlines() const { return deadlines_of(*plan_.config); }
  void lose(std::map<caf::actor_addr, Part>& parts, const caf::down_msg& message);
  std::string replace(std::map<caf::actor_addr, Part>& parts, const caf::down_msg& message,
                      const std::function<void(const Part&)>& recast);

  caf::blocking_actor* self_;
  const ConductorPlan& plan_;
  std::size_t stage_;
  PolicyVersion first_version_;
  std::uint32_t castings_ = 0;  // of roles in other processes, so far
  ReplayBuffer buffer_;
  Broadcaster broadcaster_;
  std::map<std::string, Generator> generators_;  // by name
  std::map<std::string, Verifier> verifiers_;
  std::map<std::string, caf::actor> relays_;
  std::map<caf::actor_addr, Part> generator_parts_, verifier_parts_, relay_parts_;
  GeneratorTotals totals_;
  bool totals_complete_ = true;
};

}  // namespace troupe
