#include "actors/link/rank_meeting.hpp"

#include "actors/link/rank_stream.hpp"
#include "messages/wire/limits.hpp"
#include "messages/wire/ranks.capnp.h"
#include "messages/wire/tls_stream.hpp"

#include <algorithm>
#include <capnp/message.h>
#include <capnp/serialize-async.h>
#include <capnp/serialize.h>
#include <kj/debug.h>
#include <stdexcept>
#include <utility>

namespace troupe {
namespace {

constexpr double kHelloSeconds = 5, kRedialSeconds = 0.2;

/// Whoever may be rank 0 holds its process's certificate.
const std::vector<std::string> kRankRoles = {"learner", "director", "replay-buffer"};

RankMeeting::Expected expected_of(int rank, int ranks) {
  const int next = (rank + 1) % ranks, previous = (rank + ranks - 1) % ranks;
  RankMeeting::Expected expected;
  if (rank != 0) expected.to.emplace(RankMeeting::Purpose::TASKS, 0);
  for (int other = 1; rank == 0 && other < ranks; ++other)
    expected.from.emplace(RankMeeting::Purpose::TASKS, other);
  if (ranks > 2 || rank == 1) expected.to.emplace(RankMeeting::Purpose::RING, next);
  if (ranks > 2 || rank == 0) expected.from.emplace(RankMeeting::Purpose::RING, previous);
  return expected;
}

bool is_pool(const std::string& name) {
  return !name.empty() && name.back() == '*';
}

}  // namespace

RankMeeting::RankMeeting(wire::Loop& loop, const RankCirclePlan& plan)
    : plan_(plan),
      network_(loop.io.getNetwork()),
      timer_(loop.timer),
      ranks_(static_cast<int>(plan.addresses.size())),
      expected_(expected_of(plan.rank, ranks_)),
      own_offer_(offer_of(plan.nccl.get(), plan.nccl_problem)) {
  if (plan.tls) tls_ = kj::heap<wire::TlsContext>(*plan.tls, timer_);
  dial_ = tls_.get() != nullptr ? wire::tls_dial(network_, *tls_, kRankRoles, plan.silence_seconds)
                                : wire::insecure_dial(network_, plan.silence_seconds);
  if (!expected_.from.empty())
    port_ = wire::listen(network_, plan.listen.empty() ? address(plan.rank) : plan.listen);
}

std::future<RankMeeting::Met> RankMeeting::meet(wire::Courier& courier) {
  courier_ = &courier;
  if (port_.get() != nullptr) tasks_.add(accept());
  for (const auto& [purpose, rank] : expected_.to) tasks_.add(reach(purpose, rank));
  tasks_.add(timer_.afterDelay(wire::duration(plan_.join_seconds)).then([this] {
    if (!done_)
      fail(missing() + " within " + std::to_string(static_cast<int>(plan_.join_seconds)) +
           " s (network.join-deadline-seconds)" +
           (last_problem_.empty() ? "" : "; " + last_problem_));
  }));
  tasks_.add(look_after());
  return met_.get_future();
}

void RankMeeting::watch(OnLoss on_loss) {
  for (const int rank : lost_) on_loss(rank);
  watching_.push_back(std::move(on_loss));
}

kj::Promise<void> RankMeeting::accept() {
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
        return timer_.afterDelay(wire::duration(kRedialSeconds)).then([this] { return accept(); });
      });
}

kj::Promise<void> RankMeeting::greet(Io socket) {
  if (tls_.get() == nullptr) return judge(kj::mv(socket), "");
  return tls_->accept(kj::mv(socket), kRankRoles).then([this](kj::Own<wire::TlsStream> secure) {
    const std::string name = secure->peer().name;
    return judge(kj::mv(secure), name);
  });
}

/// Reads who it is, and says whether it is welcome.
kj::Promise<void> RankMeeting::judge(Io io, const std::string& name) {
  auto& stream = *io;
  return capnp::readMessage(stream, short_message())
      .then([this, io = kj::mv(io), name](kj::Own<capnp::MessageReader> message) mutable {
        const auto hello = message->getRoot<wire::RankHello>();
        const Who who{hello.getPurpose(), static_cast<int>(hello.getRank())};
        const std::string refusal = refusal_of(hello, name);
        if (refusal.empty() && who.first == Purpose::TASKS)
          offers_[who.second] = read_offer(hello.getNccl());
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

std::string RankMeeting::refusal_of(wire::RankHello::Reader hello, const std::string& name) const {
  const auto rank = static_cast<int>(hello.getRank());
  const Who who{hello.getPurpose(), rank};
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
kj::Promise<void> RankMeeting::reach(Purpose purpose, int rank) {
  if (done_) return kj::READY_NOW;
  return timer_.timeoutAfter(wire::duration(kHelloSeconds), ask(purpose, rank))
      .catch_([this, purpose, rank](kj::Exception&& problem) {
        last_problem_ = problem.getDescription().cStr();
        return timer_.afterDelay(wire::duration(kRedialSeconds)).then([this, purpose, rank] {
          return reach(purpose, rank);
        });
      });
}

kj::Promise<void> RankMeeting::ask(Purpose purpose, int rank) {
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
    write(own_offer_, hello.initNccl());
    auto words = capnp::messageToFlatArray(message);
    auto bytes = words.asBytes();
    auto& stream = *io;
    return stream.write(bytes.begin(), bytes.size())
        .attach(kj::mv(words))
        .then([&stream] { return capnp::readMessage(stream, short_message()); })
        .then([this, io = kj::mv(io), purpose, rank](kj::Own<capnp::MessageReader> answer) mutable {
          const std::string refusal = answer->getRoot<wire::RankWelcome>().getRefusal();
          if (refusal.empty()) return take({purpose, rank}, kj::mv(io));
          fail("rank " + std::to_string(rank) + " at " + address(rank) + " refused: " + refusal);
        });
  });
}

/// Of the others' certificates each is good for its own rank alone.
void RankMeeting::require_rank(kj::AsyncIoStream& io, int rank) {
  const auto* secure = dynamic_cast<wire::TlsStream*>(&io);
  if (secure == nullptr) return;
  const std::string& name = secure->peer().name;
  KJ_REQUIRE(is_pool(name) || rank_of_name(name) == rank, "another rank answers there", name);
}

void RankMeeting::take(Who who, Io io) {
  if (done_) return;
  RankStream made = rank_stream(*courier_, kj::mv(io));
  streams_[who] = made.stream;
  tasks_.add(made.running.then(
      [this, who, stream = std::weak_ptr(made.stream)] { ended(who, stream.lock()); }));
  finish_if_complete();
}

/// A connection that another has taken the place of, or that this rank gave up, is no loss.
void RankMeeting::ended(Who who, const std::shared_ptr<gpu::ByteStream>& stream) {
  if (!done_) return lose(who, stream);
  const auto is_it = [&](const auto& given) { return given.lock() == stream; };
  if (!stream || std::none_of(given_out_.begin(), given_out_.end(), is_it)) return;
  if (!lost_.insert(who.second).second) return;
  for (const OnLoss& on_loss : watching_) on_loss(who.second);
}

/// Before all have met a rank may start again.
void RankMeeting::lose(Who who, const std::shared_ptr<gpu::ByteStream>& stream) {
  const auto found = streams_.find(who);
  if (found == streams_.end() || found->second != stream) return;
  streams_.erase(found);
  if (expected_.to.contains(who)) tasks_.add(reach(who.first, who.second));
}

kj::Promise<void> RankMeeting::look_after() {
  if (settled_ || !plan_.given_up) return kj::READY_NOW;
  if (*plan_.given_up) {
    constexpr const char* kWhy = "the process was asked to leave";
    fail(kWhy);
    for (const auto& given : given_out_)
      if (const auto stream = given.lock()) stream->close(kWhy);
  }
  return timer_.afterDelay(wire::duration(kRedialSeconds)).then([this] { return look_after(); });
}

void RankMeeting::finish_if_complete() {
  if (done_ || streams_.size() < expected_.from.size() + expected_.to.size()) return;
  done_ = true;
  Met met{std::exchange(streams_, {}), {own_offer_}};
  for (const auto& [rank, offer] : offers_) met.offers.push_back(offer);
  for (const auto& [who, stream] : met.streams) given_out_.push_back(stream);
  met_.set_value(std::move(met));
}

/// Who has not come, of those that this rank is to be connected with.
std::string RankMeeting::missing() const {
  std::set<int> ranks;
  for (const auto* wanted : {&expected_.from, &expected_.to})
    for (const auto& who : *wanted)
      if (!streams_.contains(who)) ranks.insert(who.second);
  std::string text;
  for (const int rank : ranks)
    text += (text.empty() ? "rank " : ", rank ") + std::to_string(rank) + " at " + address(rank);
  return text + (ranks.size() == 1 ? " has not come" : " have not come");
}

void RankMeeting::fail(const std::string& why) {
  if (std::exchange(done_, true)) return;
  met_.set_exception(
      std::make_exception_ptr(std::runtime_error("the learner's ranks did not meet: " + why)));
}

}  // namespace troupe
