#pragma once
// The part of a chair that lives on the loop: its membership, what the conductor is to be told, and what comes from there.
#include "actors/link/chair.hpp"
#include "actors/link/news.hpp"
#include "actors/link/weight_intake.hpp"
#include "messages/wire/directing.capnp.h"
#include "messages/wire/kj_thread.hpp"

#include <deque>
#include <functional>
#include <kj/async.h>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>

namespace troupe {

/// Lives on the loop. News of a stage are heard once the director has begun it, so that each is written down in its stage.
class ChairDesk final : private kj::TaskSet::ErrorHandler {
 public:
  using Post = std::function<void(std::function<void(ChairDesk&)>)>;
  using Finish = std::function<void(SiteEnd)>;
  using Known = std::function<void(std::variant<Past, SiteEnd>)>;

  /// `known` is called once: with the past, or with why there is none to be had.
  ChairDesk(wire::Loop& loop, const ChairPlan& plan, Finish finish, Known known);
  ~ChairDesk() noexcept(false);

  void attend(const caf::actor& proxy);
  // What the conductor is to be told.
  void begin(std::uint32_t stage);
  void stop();
  void close(const std::string& reason);
  void note(const EvaluationNote& note) { say(note); }
  void pause(bool on) { say(Pause{on}); }

 private:
  struct Begin {
    std::uint32_t stage;
  };
  struct Stop {};
  struct Close {
    std::string reason;
  };
  struct Pause {
    bool on;
  };
  using Word = std::variant<Begin, Stop, Close, EvaluationNote, Pause>;
  using Page = capnp::Response<wire::DirectorPost::NewsResults>;
  using ShownResults = capnp::Response<wire::DirectorPost::RolloutsResults>;

  void joined();
  void left();
  void stop_alone();
  void say(Word word);
  void speak();
  kj::Promise<void> spoken(wire::DirectorPost::Client post, const Word& word);
  void read_on();
  kj::Promise<void> read_shown();
  void came_shown(const ShownResults& page);
  void leave_out(const char* reason);
  void came(const Page& page);
  void hear_of(capnp::List<wire::ActorTime>::Reader actors);
  Past past() const;
  void hear();
  void hear(const News& news);
  void pull();
  void came(const Weights& weights);
  void tell_update();
  void tell_end();
  void fell_short(const kj::Exception& exception);
  void say_farewell(const std::string& why);
  void say_over(const std::string& failure);
  void finish(const SiteEnd& end);
  bool listens() const { return proxy_ && (stage_on_ || closing_) && !ended_; }
  void keep(kj::Promise<void> task) { tasks_.add(kj::mv(task)); }
  template <class T>
  kj::Promise<T> in_time(kj::Promise<T> promise) {
    return timer_.timeoutAfter(wire::duration(plan_.limits.call_seconds), kj::mv(promise));
  }
  void taskFailed(kj::Exception&& exception) override;

  const ChairPlan plan_;
  kj::Timer& timer_;
  Finish finish_;
  Known known_;
  caf::actor proxy_;
  kj::Own<wire::TlsContext> tls_;  // null: plain
  bool past_known_ = false, finished_ = false;
  std::string over_;        // once finished: the failure, if it was one
  std::deque<Word> words_;  // oldest first, each until it is known to have arrived
  bool speaking_ = false, stopping_ = false, closing_ = false;
  std::deque<News> inbox_;                        // not heard yet
  std::uint64_t from_ = 0;                        // the news to be read next
  std::uint64_t shown_from_ = 0, shown_end_ = 0;  // rollouts to be read next, and those there are
  std::optional<std::uint64_t> before_;           // news below it happened before this process came
  bool reading_ = false, greeted_ = false;        // greeted: pages came over this link
  std::optional<std::uint32_t> stage_on_;         // whose end has not been heard yet
  std::optional<StageEnded> ended_;               // heard, and its weights have not come yet
  std::map<PolicyVersion, std::int32_t> published_;  // updates of the stage, not told yet
  std::set<std::string> actors_;                     // of the newest page
  Weights newest_;
  bool pulling_ = false;
  std::optional<WeightIntake> intake_;
  kj::Own<Membership> membership_;
  kj::TaskSet tasks_{*this};
};

}  // namespace troupe
