#pragma once
// The ranks of a learner that are processes on their way to each other: who dials whom, and who is let in.
#include "actors/link/rank_circle.hpp"
#include "messages/wire/network.hpp"
#include "messages/wire/ranks.capnp.h"

#include <capnp/message.h>
#include <functional>
#include <future>
#include <kj/async-io.h>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

/// Of a greeting, and of what is as short.
constexpr std::uint64_t kGreetingWords = 1024;
inline capnp::ReaderOptions short_message() {
  capnp::ReaderOptions options;
  options.traversalLimitInWords = kGreetingWords;
  return options;
}

/// Lives on the loop.
class RankMeeting final : private kj::TaskSet::ErrorHandler {
 public:
  using Purpose = wire::RankHello::Purpose;
  using Who = std::pair<Purpose, int>;  // a connection with that rank
  using Streams = std::map<Who, std::shared_ptr<gpu::ByteStream>>;
  using OnLoss = std::function<void(int rank)>;

  /// What has to be there before the first task.
  struct Expected {
    std::set<Who> from, to;  // connections of other ranks, and to them
  };
  struct Met {
    Streams streams;
    std::vector<RankOffer> offers;  // this rank's, and those made to it: rank 0 has all, by rank
  };

  RankMeeting(wire::Loop& loop, const RankCirclePlan& plan);

  /// Once: all connections, or what is wrong.
  std::future<Met> meet(wire::Courier& courier);
  /// Nobody waits here for others any more.
  void settle() { settled_ = true; }
  /// `on_loss` hears, on the loop, of each rank a connection of which ends or has ended.
  void watch(OnLoss on_loss);

 private:
  using Io = kj::Own<kj::AsyncIoStream>;

  const std::string& address(int rank) const {
    return plan_.addresses[static_cast<std::size_t>(rank)];
  }
  void log(const std::string& text) const {
    if (plan_.log) plan_.log(kj::LogSeverity::WARNING, text);
  }
  kj::Promise<void> accept();
  kj::Promise<void> greet(Io socket);
  kj::Promise<void> judge(Io io, const std::string& name);
  std::string refusal_of(wire::RankHello::Reader hello, const std::string& name) const;
  kj::Promise<void> reach(Purpose purpose, int rank);
  kj::Promise<void> ask(Purpose purpose, int rank);
  static void require_rank(kj::AsyncIoStream& io, int rank);
  void take(Who who, Io io);
  void ended(Who who, const std::shared_ptr<gpu::ByteStream>& stream);
  void lose(Who who, const std::shared_ptr<gpu::ByteStream>& stream);
  kj::Promise<void> look_after();
  void finish_if_complete();
  std::string missing() const;
  void fail(const std::string& why);
  void taskFailed(kj::Exception&& problem) override { fail(problem.getDescription().cStr()); }

  const RankCirclePlan plan_;
  kj::Network& network_;
  kj::Timer& timer_;
  const int ranks_;
  const Expected expected_;
  kj::Own<wire::TlsContext> tls_;  // null: plain
  wire::Dial dial_;
  kj::Own<kj::ConnectionReceiver> port_;  // null: nobody dials this rank
  wire::Courier* courier_ = nullptr;
  Streams streams_;
  RankOffer own_offer_;
  std::map<int, RankOffer> offers_;  // to rank 0, by rank
  bool done_ = false;
  std::string last_problem_;
  std::promise<Met> met_;
  std::vector<std::weak_ptr<gpu::ByteStream>> given_out_;
  bool settled_ = false;
  std::vector<OnLoss> watching_;
  std::set<int> lost_;  // ranks, once all had met
  kj::TaskSet tasks_{*this};
};

}  // namespace troupe
