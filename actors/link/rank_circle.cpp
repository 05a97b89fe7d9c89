#include "actors/link/rank_circle.hpp"

#include "actors/link/rank_stream.hpp"
#include "gpu/transport/ring_communicator.hpp"
#include "messages/wire/limits.hpp"
#include "messages/wire/network.hpp"
#include "messages/wire/ranks.capnp.h"
#include "messages/wire/tls_stream.hpp"

#include <algorithm>
#include <capnp/message.h>
#include <capnp/serialize-async.h>
#include <capnp/serialize.h>
#include <cstdint>
#include <future>
#include <kj/debug.h>
#include <map>
#include <set>
#include <stdexcept>
#include <utility>

namespace troupe {
namespace {

using Purpose = wire::RankHello::Purpose;
using Io = kj::Own<kj::AsyncIoStream>;

constexpr double kHelloSeconds = 5, kRedialSeconds = 0.2;
constexpr std::uint64_t kGreetingWords = 1024;  // more than a hello needs

/// Whoever may be rank 0 holds its process's certificate.
const std::vector<std::string> kRankRoles = {"learner", "director", "replay-buffer"};

capnp::ReaderOptions short_message() {
  capnp::ReaderOptions options;
  options.traversalLimitInWords = kGreetingWords;
  return options;
}

/// What has to be there before the first task.
struct Expected {
  std::set<std::pair<Purpose, int>> from, to;  // connections of other ranks, and to them
};
Expected expected_of(int rank, int ranks) {
  const int next = (rank + 1) % ranks, previous = (rank + ranks - 1) % ranks;
  Expected expected;
  if (rank != 0) expected.to.emplace(Purpose::TASKS, 0);
  for (int other = 1; rank == 0 && other < ranks; ++other)
    expected.from.emplace(Purpose::TASKS, other);
  if (ranks > 2 || rank == 1) expected.to.emplace(Purpose::RING, next);
  if (ranks > 2 || rank == 0) expected.from.emplace(Purpose::RING, previous);
  return expected;
}

bool is_pool(const std::string& name) {
  return !name.empty() && name.back() == '*';
}

}  // namespace

int rank_of_name(const std::string& name) {
  constexpr std::size_t kMostDigits = 4;
  const std::size_t dash = name.rfind('-');
  if (dash == std::string::npos || dash + 1 == name.size()) return 0;
  const std::string number = name.substr(dash + 1);
  const bool digits = number.find_first_not_of("0123456789") == std::string::npos;
  return digits && number.size() <= kMostDigits ? std::stoi(number) : 0;
}

/// Lives on the loop.
class RankCircle::Desk final : private kj::TaskSet::ErrorHandler {
 public:
  using Streams = std::map<std::pair<Purpose, int>, std::shared_ptr<gpu::ByteStream>>;

  Desk(wire::Loop& loop, const RankCirclePlan& plan)
      : plan_(plan),
        network_(loop.io.getNetwork()),
        timer_(loop.timer),
        ranks_(static_cast<int>(plan.addresses.size())),
        expected_(expected_of(plan.rank, ranks_)) {
    if (plan.tls) tls_ = kj::heap<wire::TlsContext>(*plan.tls, timer_);
    dial_ = tls_.get() != nullptr
                ? wire::tls_dial(network_, *tls_, kRankRoles, plan.silence_seconds)
                : wire::insecure_dial(network_, plan.silence_seconds);
    if (!expected_.from.empty())
      port_ = wire::listen(network_, plan.listen.empty() ? address(plan.rank) : plan.listen);
  }

  /// Once: all connections, or what is wrong.
  std::future<Streams> meet(wire::Courier& courier) {
    courier_ = &courier;
    if (port_.get() != nullptr) tasks_.add(accept());
    for (const auto& [purpose, rank] : expected_.to) tasks_.add(reach(purpose, rank));
    tasks_.add(timer_.afterDelay(wire::duration(plan_.join_seconds)).then([this] {
      if (!done_)
        fail(missing() + " within " + std::to_string(static_cast<int>(plan_.join_seconds)) +
             " s (network.join-deadline-seconds)" +
             (last_problem_.empty() ? "" : "; " + last_problem_));
    }));
    tasks_.add(watch());
    return met_.get_future();
  }

 private:
  const std::string& address(int rank) const {
    return plan_.addresses[static_cast<std::size_t>(rank)];
  }

  kj::Promise<void> accept() {
    return port_->accept().then(
        [this](Io socket) {
          const std::string from = wire::peer_address(*socket);
          wire::harden(*socket, plan_.silence_seconds);
          tasks_.add(timer_.timeoutAfter(wire::duration(kHelloSeconds), greet(kj::mv(socket)))
                         .catch_([this, from](kj::Exception&& problem) {
                           log(from + ": " + problem.getDescription().cStr());
                         }));
          return accept();
        },
        [this](kj::Exception&& problem) {
          log(problem.getDescription().cStr());
          return timer_.afterDelay(wire::duration(kRedialSeconds)).then([this] {
            return accept();
          });
        });
  }

  kj::Promise<void> greet(Io socket) {
    if (tls_.get() == nullptr) return judge(kj::mv(socket), "");
    return tls_->accept(kj::mv(socket), kRankRoles).then([this](kj::Own<wire::TlsStream> secure) {
      const std::string name = secure->peer().name;
      return judge(kj::mv(secure), name);
    });
  }

  /// Reads who it is, and says whether it is welcome.
  kj::Promise<void> judge(Io io, const std::string& name) {
    auto& stream = *io;
    return capnp::readMessage(stream, short_message())
        .then([this, io = kj::mv(io), name](kj::Own<capnp::MessageReader> message) mutable {
          const auto hello = message->getRoot<wire::RankHello>();
          const std::pair<Purpose, int> who{hello.getPurpose(), static_cast<int>(hello.getRank())};
          const std::string refusal = refusal_of(hello, name);
          if (!refusal.empty()) log("refused rank " + std::to_string(who.second) + ": " + refusal);
          capnp::MallocMessageBuilder answer;
          answer.initRoot<wire::RankWelcome>().setRefusal(refusal);
          auto& out = *io;
          auto words = capnp::messageToFlatArray(answer);
          auto bytes = words.asBytes();
          return out.write(bytes.begin(), bytes.size())
              .attach(kj::mv(words))
              .then([this, io = kj::mv(io), who, welcome = refusal.empty()]() mutable {
                if (welcome) take(who, kj::mv(io));
              });
        });
  }

  std::string refusal_of(wire::RankHello::Reader hello, const std::string& name) const {
    const auto rank = static_cast<int>(hello.getRank());
    const std::pair<Purpose, int> who{hello.getPurpose(), rank};
    if (hello.getProtocol() != wire::RANK_PROTOCOL_VERSION)
      return "it is of another version of troupe";
    if (static_cast<int>(hello.getRanks()) != ranks_)
      return "it knows of " + std::to_string(hello.getRanks()) + " ranks, here there are " +
             std::to_string(ranks_) + " (network.learner-ranks)";
    if (!name.empty() && !is_pool(name) && rank_of_name(name) != rank)
      return "its certificate is that of " + name;
    if (plan_.config_digest != hello.getConfigDigest().cStr())
      return "its config is another one; all ranks need the same file";
    if (plan_.weights_digest != hello.getWeightsDigest().cStr())
      return "it begins with other weights; all ranks need the same model";
    if (!expected_.from.contains(who)) return "nobody expects it here";
    if (done_) return "the ranks have met; one that is lost cannot come back, start the run anew";
    return "";  // one that is here already has started again, or did not hear that it was welcome
  }

  /// Dials until it is welcome, or refused for good.
  kj::Promise<void> reach(Purpose purpose, int rank) {
    if (done_) return kj::READY_NOW;
    return timer_.timeoutAfter(wire::duration(kHelloSeconds), ask(purpose, rank))
        .catch_([this, purpose, rank](kj::Exception&& problem) {
          last_problem_ = problem.getDescription().cStr();
          return timer_.afterDelay(wire::duration(kRedialSeconds)).then([this, purpose, rank] {
            return reach(purpose, rank);
          });
        });
  }

  kj::Promise<void> ask(Purpose purpose, int rank) {
    return dial_(address(rank)).then([this, purpose, rank](Io io) {
      require_rank(*io, rank);
      capnp::MallocMessageBuilder message;
      auto hello = message.initRoot<wire::RankHello>();
      hello.setProtocol(wire::RANK_PROTOCOL_VERSION);
      hello.setRank(static_cast<std::uint32_t>(plan_.rank));
      hello.setRanks(static_cast<std::uint32_t>(ranks_));
      hello.setPurpose(purpose);
      hello.setConfigDigest(plan_.config_digest);
      hello.setWeightsDigest(plan_.weights_digest);
      auto words = capnp::messageToFlatArray(message);
      auto bytes = words.asBytes();
      auto& stream = *io;
      return stream.write(bytes.begin(), bytes.size())
          .attach(kj::mv(words))
          .then([&stream] { return capnp::readMessage(stream, short_message()); })
          .then([this, io = kj::mv(io), purpose,
                 rank](kj::Own<capnp::MessageReader> answer) mutable {
            const std::string refusal = answer->getRoot<wire::RankWelcome>().getRefusal();
            if (refusal.empty()) return take({purpose, rank}, kj::mv(io));
            fail("rank " + std::to_string(rank) + " at " + address(rank) + " refused: " + refusal);
          });
    });
  }

  /// Of the others' certificates each is good for its own rank alone.
  static void require_rank(kj::AsyncIoStream& io, int rank) {
    const auto* secure = dynamic_cast<wire::TlsStream*>(&io);
    if (secure == nullptr) return;
    const std::string& name = secure->peer().name;
    KJ_REQUIRE(is_pool(name) || rank_of_name(name) == rank, "another rank answers there", name);
  }

  void take(std::pair<Purpose, int> who, Io io) {
    if (done_) return;
    RankStream made = rank_stream(*courier_, kj::mv(io));
    streams_[who] = made.stream;
    tasks_.add(made.running.then([this, who, stream = std::weak_ptr(made.stream)] {
      if (!done_) lose(who, stream.lock());
    }));
    finish_if_complete();
  }

  /// Before all have met a rank may start again.
  void lose(std::pair<Purpose, int> who, const std::shared_ptr<gpu::ByteStream>& stream) {
    const auto found = streams_.find(who);
    if (found == streams_.end() || found->second != stream) return;
    streams_.erase(found);
    if (expected_.to.contains(who)) tasks_.add(reach(who.first, who.second));
  }

  kj::Promise<void> watch() {
    if (plan_.given_up && *plan_.given_up) fail("the process was asked to leave");
    if (done_ || !plan_.given_up) return kj::READY_NOW;
    return timer_.afterDelay(wire::duration(kRedialSeconds)).then([this] { return watch(); });
  }

  void finish_if_complete() {
    if (done_ || streams_.size() < expected_.from.size() + expected_.to.size()) return;
    done_ = true;
    met_.set_value(std::exchange(streams_, {}));
  }

  /// Who has not come, of those that this rank is to be connected with.
  std::string missing() const {
    std::set<int> ranks;
    for (const auto* wanted : {&expected_.from, &expected_.to})
      for (const auto& who : *wanted)
        if (!streams_.contains(who)) ranks.insert(who.second);
    std::string text;
    for (const int rank : ranks)
      text += (text.empty() ? "rank " : ", rank ") + std::to_string(rank) + " at " + address(rank);
    return text + (ranks.size() == 1 ? " has not come" : " have not come");
  }

  void fail(const std::string& why) {
    if (std::exchange(done_, true)) return;
    met_.set_exception(
        std::make_exception_ptr(std::runtime_error("the learner's ranks did not meet: " + why)));
  }

  void log(const std::string& text) const {
    if (plan_.log) plan_.log(kj::LogSeverity::WARNING, text);
  }
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
  bool done_ = false;
  std::string last_problem_;
  std::promise<Streams> met_;
  kj::TaskSet tasks_{*this};
};

RankCircle::RankCircle(const RankCirclePlan& plan) {
  thread_ = std::make_unique<wire::KjThread>(
      [&](wire::Loop& loop) -> kj::Own<void> {
        auto desk = kj::heap<Desk>(loop, plan);
        desk_ = desk.get();
        return desk;
      },
      plan.log);
  std::promise<std::future<Desk::Streams>> begun;
  thread_->post([&](wire::Loop&) { begun.set_value(desk_->meet(*thread_)); });
  Desk::Streams streams = begun.get_future().get().get();
  const int ranks = static_cast<int>(plan.addresses.size());
  gpu::RingPlace place{plan.rank, ranks, nullptr, nullptr};
  for (const auto& [who, stream] : streams) {
    if (who.first == Purpose::TASKS) tasks_.push_back(stream);
    if (who.first != Purpose::RING) continue;
    if (who.second == (plan.rank + 1) % ranks) place.next = stream;
    if (who.second == (plan.rank + ranks - 1) % ranks) place.previous = stream;
  }
  communicator_ = gpu::make_ring_communicator(place, plan.deadline);
}

RankCircle::~RankCircle() {
  communicator_.reset();
  tasks_.clear();
}

}  // namespace troupe
