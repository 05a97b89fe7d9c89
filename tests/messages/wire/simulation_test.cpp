// Both ends of many links on one thread, in virtual time: the same code, no sockets, no clock.
#include "messages/wire/fault.hpp"
#include "messages/wire/gatekeeper.hpp"
#include "messages/wire/remote.hpp"
#include "tests/support/link.hpp"
#include "tests/support/sanitized.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <kj/async-io.h>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

TEST_SUITE_BEGIN("messages/wire");

namespace troupe::wire {
namespace {

using support::FaultyStream;
using support::VirtualLoop;

/// A port at which nobody knocks: connections come by Gatekeeper::admit.
class QuietPort final : public kj::ConnectionReceiver {
 public:
  kj::Promise<kj::Own<kj::AsyncIoStream>> accept() override { return kj::NEVER_DONE; }
  kj::uint getPort() override { return 0; }
  void getsockname(struct sockaddr*, kj::uint*) override {
    kj::throwFatalException(KJ_EXCEPTION(UNIMPLEMENTED, "no socket"));
  }
};

/// Remembers everything in one number.
class Trace {
 public:
  void note(std::uint64_t value) { hash_ = (hash_ ^ value) * 1099511628211u; }
  void note(const std::string& text) {
    for (const char c : text) note(static_cast<unsigned char>(c));
  }
  std::uint64_t hash() const { return hash_; }

 private:
  std::uint64_t hash_ = 14695981039346656037u;
};

/// Counts items by id, as the ledger does.
struct Store {
  std::set<std::uint64_t> ids;
  std::uint64_t copies = 0;
  std::uint64_t stale = 0;  // sent under an older lease
};

/// The role's capability of one stay: takes 8-byte ids.
class Intake final : public Probe::Server {
 public:
  Intake(Store& store, std::uint64_t lease, const std::uint64_t& newest)
      : store_(store), lease_(lease), newest_(newest) {}

 protected:
  kj::Promise<void> echo(EchoContext context) override {
    const auto bytes = context.getParams().getBytes();
    std::uint64_t id = 0;
    std::copy_n(bytes.begin(), sizeof(id), reinterpret_cast<kj::byte*>(&id));
    if (lease_ != newest_) {
      ++store_.stale;
      kj::throwFatalException(KJ_EXCEPTION(FAILED, "an old lease"));
    }
    ++store_.copies;
    store_.ids.insert(id);
    return kj::READY_NOW;
  }

 private:
  Store& store_;
  const std::uint64_t lease_;
  const std::uint64_t& newest_;
};

/// What one run came to.
struct Outcome {
  std::uint64_t acknowledged = 0, unique = 0, copies = 0, stale = 0, joins = 0, wrong = 0;
  std::uint64_t longest_away_ms = 0;
  std::uint64_t trace = 0;
  bool operator==(const Outcome&) const = default;
};

/// One server, one client that must deliver every id, and a link that a seed breaks.
class World : VirtualLoop {
 public:
  explicit World(std::uint64_t seed) : dice_(seed), remote_(make_remote(seed)) { start(); }

  Outcome play() {
    for (int step = 0; step < 150; ++step) {
      send(++last_id_);
      misfortune();
      advance(static_cast<std::int64_t>(dice_() % 400), 20);
      observe();
      resend();
    }
    if (!keeper_) start();
    for (int i = 0; i < 600 && unacknowledged_.size() > 0; ++i) {
      advance(100, 20);
      resend();
    }
    outcome_.unique = store_.ids.size();
    outcome_.copies = store_.copies;
    outcome_.stale = store_.stale;
    outcome_.joins = remote_.status().joins;
    trace_.note(
        static_cast<std::uint64_t>((timer.now() - kj::origin<kj::TimePoint>()) / kj::MILLISECONDS));
    outcome_.trace = trace_.hash();
    calls_.clear();
    return outcome_;
  }

 private:
  Remote make_remote(std::uint64_t seed);

  void start() {
    keeper_ = kj::heap<Gatekeeper>(
        Gatekeeper::Insecure{}, kj::heap<QuietPort>(), timer, LinkLimits{},
        Gatekeeper::Events{
            [this](const Visitor& visitor) {
              return make_gate(
                  {"r", "", ++epoch_}, visitor.identity,
                  [this](const PeerIdentity&, Hello::Reader hello) -> kj::Promise<Granted> {
                    trace_.note(hello.getLease());
                    ++newest_;
                    return Granted{newest_,
                                   Probe::Client(kj::heap<Intake>(store_, newest_, newest_))};
                  });
            },
            [this](const Visitor& visitor, const End& end) {
              trace_.note(visitor.session);
              trace_.note(to_string(end.reason));
              if (end.reason == Ending::malformed) ++outcome_.wrong;
            },
            [this](const std::string&, Refusal refusal, const std::string&) {
              trace_.note(to_string(refusal));
            }});
  }

  kj::Promise<kj::Own<kj::AsyncIoStream>> dial() {
    trace_.note("dial");
    if (!keeper_) kj::throwFatalException(KJ_EXCEPTION(FAILED, "nobody listens"));
    if (dice_() % 10 == 0) return kj::NEVER_DONE;  // a host that answers nothing
    mute_ = std::make_shared<bool>(false);         // of this link: an older one stays as it is
    auto pipe = kj::newTwoWayPipe();
    keeper_->admit(kj::heap<FaultyStream>(kj::mv(pipe.ends[0]), mute_), "pipe");
    return kj::Own<kj::AsyncIoStream>(kj::heap<FaultyStream>(kj::mv(pipe.ends[1]), mute_));
  }

  void misfortune() {
    switch (dice_() % 40) {
      case 0:
        trace_.note("drop");
        if (keeper_) keeper_->close_all("gen", "dropped by the test");
        break;
      case 1:
        trace_.note("mute");
        *mute_ = true;
        break;
      case 2:
        trace_.note("kill");
        keeper_ = nullptr;
        break;
      case 3:
        if (!keeper_) start();
        break;
    }
    if (!keeper_ && dice_() % 8 == 0) start();
  }

  void send(std::uint64_t id) {
    unacknowledged_.insert(id);
    auto sent = kj::evalNow([&] {
      auto request = remote_.role().castAs<Probe>().echoRequest();
      request.setBytes(kj::arrayPtr(reinterpret_cast<const kj::byte*>(&id), sizeof(id)));
      return remote_.in_time(request.send().ignoreResult());
    });
    under_way_.insert(id);
    calls_.push_back(sent.then(
                             [this, id] {
                               trace_.note(id);
                               outcome_.acknowledged += unacknowledged_.erase(id);
                               under_way_.erase(id);
                             },
                             [this, id](kj::Exception&& exception) {
                               trace_.note(to_string(fault_of(exception)));
                               under_way_.erase(id);
                             })
                         .eagerlyEvaluate(nullptr));
  }

  void resend() {
    const auto waiting = unacknowledged_;
    for (const auto id : waiting)
      if (under_way_.count(id) == 0) send(id);
  }

  void observe() {
    if (remote_.status().connected || !keeper_) away_since_ = timer.now();
    const auto away = static_cast<std::uint64_t>((timer.now() - away_since_) / kj::MILLISECONDS);
    outcome_.longest_away_ms = std::max(outcome_.longest_away_ms, away);
  }

  std::mt19937_64 dice_;
  Trace trace_;
  Store store_;
  Outcome outcome_;
  std::uint64_t epoch_ = 0, newest_ = 0, last_id_ = 0;
  std::shared_ptr<bool> mute_ = std::make_shared<bool>(false);
  kj::TimePoint away_since_ = kj::origin<kj::TimePoint>();
  std::set<std::uint64_t> unacknowledged_, under_way_;
  kj::Own<Gatekeeper> keeper_;
  Remote remote_;
  std::vector<kj::Promise<void>> calls_;
};

Remote World::make_remote(std::uint64_t seed) {
  return {timer,
          {"pipe:1"},
          [this](const std::string&) { return dial(); },
          {"gen", "generator", "r", "", "", 1, 1},
          LinkLimits{},
          {},
          seed};
}

std::uint64_t seeds() {
  return kSanitized ? 25 : 500;
}

}  // namespace

TEST_CASE("through random drops and mutes and restarts every id arrives and a seed replays") {
  for (std::uint64_t seed = 1; seed <= seeds(); ++seed) {
    CAPTURE(seed);
    const auto once = World(seed).play();
    CHECK(once.unique == 150);
    CHECK(once.acknowledged == 150);
    CHECK(once.wrong == 0);
    CHECK(once.copies >= once.unique);
    CHECK(once.joins >= 1);
    // 3 s to notice, a dial or two that hang for 5 s, and a pause of at most 10 s after each.
    CHECK(once.longest_away_ms < 60'000);
    const auto again = World(seed).play();
    CHECK((once == again));
  }
}

TEST_CASE("different seeds take different courses") {
  const auto first = World(1).play(), second = World(2).play();
  CHECK(first.trace != second.trace);
}

}  // namespace troupe::wire
