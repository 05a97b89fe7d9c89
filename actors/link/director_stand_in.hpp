#pragma once
// Stands in for a director of another process: leads the conductor on its behalf, and keeps the news of the run for it.
#include "actors/interfaces.hpp"
#include "actors/link/bridge.hpp"
#include "actors/link/news.hpp"
#include "actors/link/shown_queue.hpp"
#include "actors/telemetry/telemetry.hpp"
#include "actors/waiting_line.hpp"
#include "messages/wire/limits.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace troupe {

using news_atom = caf::atom_constant<caf::atom("news")>;
using note_atom = caf::atom_constant<caf::atom("note")>;
using farewell_atom = caf::atom_constant<caf::atom("farewell")>;

struct DirectorStandInPlan {
  struct Stage {
    std::string kind, name;
    std::int32_t updates = 0;
  };
  std::vector<Stage> stages;           // of the config
  double away_deadline_seconds = 600;  // without a director; then the run ends
  std::uint64_t frame_bytes = wire::LinkLimits().frame_bytes;
  // Kept of those that are shown: some hundreds of the longest, some ten thousand short ones.
  std::size_t shown_bytes_kept = std::size_t{16} << 20;
  Deadlines deadlines;
  Telemetry* telemetry = nullptr;
};

/// So many of the newest records and events are there for a director that comes anew.
inline constexpr std::size_t kNewsKept = 32'768;
/// Some of the news; the ends are above all numbers so far, of news and of rollouts that are shown.
struct NewsPage {
  std::vector<News> news;
  std::uint64_t end = 0, shown_end = 0;
};

/// To the conductor it is a Director, to the director's process a Broadcaster of the newest weights (`take`).
///   join  Conductor           the one to be led; once
///   begin stage -> whether there is such a stage    the conductor begins it, once
///   stop -> true, close reason -> true    told to the conductor
///   note  EvaluationNote -> true          kept, once
///   news  from, wait -> NewsPage          with `wait` answers when there are any, or after a while with none
///   news  NewsBody                        something happened
///   show  ShownRollout                    one of the rollouts of an update, before the news of it
///   show  from -> ShownPage               some of those with at least that number
///   join                                  the director's process is there
///   farewell -> text                      answers once the conductor has ended and the director has heard of it, or has
///                                         had a request's deadline for that; empty: it ended as it should
class DirectorStandInState {
 public:
  static inline const char* name = "director-stand-in";
  using Self = caf::stateful_actor<DirectorStandInState>*;

  void begin(Self self, DirectorStandInPlan plan);
  void lead(const Conductor& conductor);
  bool begin_stage(std::uint32_t stage);
  bool stop();
  bool close(const std::string& reason);
  void present();
  bool note(const EvaluationNote& note);
  void add(NewsBody body);
  void show(const ShownRollout& rollout);
  ShownPage shown(std::uint64_t from) const;
  caf::result<NewsPage> news(std::uint64_t from, bool wait);
  caf::result<Weights> take(std::uint64_t at_least);
  caf::result<std::string> farewell();
  void updated(std::int32_t update, const Weights& weights);
  void ended(const StageEndPtr& end);
  void over(const caf::error& reason);
  void check();

 private:
  NewsPage page(std::uint64_t from) const;
  void hold(const Weights& weights);
  void serve();
  void check_presence();

  Self self_ = nullptr;
  DirectorStandInPlan plan_;
  Conductor conductor_;
  NewsLog log_{kNewsKept};
  std::optional<ShownQueue> shown_;
  std::set<std::uint32_t> begun_;  // stages
  std::vector<EvaluationNote> notes_;
  Weights newest_;
  WaitingLine<NewsPage, std::uint64_t> readers_;   // wish: from
  WaitingLine<Weights, std::uint64_t> receivers_;  // wish: version
  caf::actor_clock::time_point heard_;             // when a director last asked
  std::string closing_;                            // why the run ends; empty: it goes on
  bool failed_ = false, heard_end_ = false;
  std::optional<caf::actor_clock::time_point> over_;
  std::optional<caf::typed_response_promise<std::string>> leaver_;
};

/// Cast its handle to Director or Broadcaster with caf::actor_cast.
caf::behavior director_stand_in(DirectorStandInState::Self self, DirectorStandInPlan plan);

}  // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::NewsPage)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::EvaluationNote)
