#pragma once
// The ways to roles in other processes, as their stand-ins use them. The office (office.hpp) offers them over links;
// tests bring their own.
#include "actors/interfaces.hpp"
#include "actors/link/bridge.hpp"
#include "actors/link/call_sheet.hpp"

#include <cstdint>
#include <string>

namespace troupe {

using lost_atom = caf::atom_constant<caf::atom("lost")>;
using leave_atom = caf::atom_constant<caf::atom("leave")>;

/// How a generator's process spent the stage.
struct SiteTotals {
  GeneratorTotals generated;
  ActorTime time;
};

/// Safe from any thread. A call while the link is away answers link_lost at once. After `begin` the stand-in hears
/// `attached` whenever the link is there again, and once `lost` with the reason when the seat is given up.
class GeneratorSeat {
 public:
  virtual ~GeneratorSeat() = default;
  /// The process asks `stand_in` for tickets (grant, notice) and `broadcaster` for weights from now on.
  virtual void begin(const CallSheet& sheet, const caf::actor& stand_in,
                     const Broadcaster& broadcaster, Answer<caf::unit_t> answer) = 0;
  virtual void take(std::uint32_t count, const RolloutIds& acknowledged,
                    Answer<Rollouts> answer) = 0;
  virtual void end(Answer<SiteTotals> answer) = 0;
  /// The stand-in is gone: the process need not go on with what `cast` was for. A casting that came after it goes on.
  virtual void release(std::uint64_t cast) = 0;
};

/// As GeneratorSeat.
class VerifierSeat {
 public:
  virtual ~VerifierSeat() = default;
  /// The process hands its verdicts to `buffer` from now on.
  virtual void begin(const CallSheet& sheet, const caf::actor& stand_in, const ReplayBuffer& buffer,
                     Answer<caf::unit_t> answer) = 0;
  virtual void join(const std::string& name, const Generator& generator,
                    Answer<caf::unit_t> answer) = 0;
  virtual void release(std::uint64_t cast) = 0;
};

/// As GeneratorSeat.
class BroadcasterSeat {
 public:
  virtual ~BroadcasterSeat() = default;
  /// The process takes weights from `broadcaster` from now on and hands them to generators.
  virtual void begin(const CallSheet& sheet, const caf::actor& stand_in,
                     const Broadcaster& broadcaster, Answer<caf::unit_t> answer) = 0;
  virtual void release(std::uint64_t cast) = 0;
};

/// As GeneratorSeat. The stand-in hears records and the end of a stage besides.
class LearnerSeat {
 public:
  virtual ~LearnerSeat() = default;
  /// The process learns in this stage, from the batches of `buffer`; without one it is a supervised stage.
  virtual void begin(const CallSheet& sheet, const caf::actor& stand_in, const ReplayBuffer& buffer,
                     Answer<caf::unit_t> answer) = 0;
  /// Ends the stage after the update under way.
  virtual void stop(Answer<caf::unit_t> answer) = 0;
  /// Its newest version, if it is at least that; empty: none yet.
  virtual void next_weights(std::uint64_t at_least, Answer<Weights> answer) = 0;
  virtual void release(std::uint64_t cast) = 0;
};

}  // namespace troupe
