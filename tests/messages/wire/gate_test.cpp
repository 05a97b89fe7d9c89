#include "messages/wire/gate.hpp"

#include "messages/wire/fault.hpp"
#include "tests/support/link.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <kj/async-io.h>
#include <string>

TEST_SUITE_BEGIN("messages/wire");

namespace troupe::wire {
namespace {

using support::ProbeServer;
using support::VirtualLoop;

/// A gate behind a link, for generator gen-0 of run r-1.
struct Entrance : VirtualLoop {
  explicit Entrance(PeerIdentity identity = {"gen-0", "generator", {}})
      : server(kj::mv(pipe.ends[0]), Session::Side::SERVER, timer, {},
               capnp::Capability::Client(make_gate(
                   {"r-1", "abc", 7}, std::move(identity),
                   [this](const PeerIdentity& who, Hello::Reader) -> kj::Promise<Granted> {
                     asked = who;
                     if (full) refuse_join(JoinRefusal::full, "no room for another generator");
                     return Granted{42, Probe::Client(kj::heap<ProbeServer>())};
                   }))),
        client(kj::mv(pipe.ends[1]), Session::Side::CLIENT, timer, {}) {}

  /// A good Hello, changed by `change`.
  auto join(const std::function<void(Hello::Builder)>& change = [](Hello::Builder) {}) {
    auto request = gate.joinRequest();
    auto hello = request.initHello();
    hello.setName("gen-0");
    hello.setRole("generator");
    hello.setProtocol(PROTOCOL_VERSION);
    hello.setRunId("r-1");
    hello.setConfigDigest("abc");
    change(hello);
    return request.send();
  }

  /// The word of the refusal, "" when there was none.
  std::string refusal(const std::function<void(Hello::Builder)>& change = [](Hello::Builder) {}) {
    std::string word;
    auto problem = kj::runCatchingExceptions([&] { join(change).wait(wait); });
    KJ_IF_MAYBE (exception, problem) {
      word = "another exception";
      KJ_IF_MAYBE (refused, join_refused(*exception)) {
        word = to_string(refused->reason);
        said = refused->text;
      }
    }
    return word;
  }

  kj::TwoWayPipe pipe = kj::newTwoWayPipe();
  PeerIdentity asked;
  bool full = false;
  std::string said;
  Session server, client;
  Gate::Client gate = client.peer().castAs<Gate>();
};

}  // namespace

TEST_CASE("who agrees in everything is welcome and gets the role") {
  Entrance entrance;
  auto answer = entrance.join().wait(entrance.wait);
  const auto welcome = answer.getWelcome();
  CHECK(std::string(welcome.getRunId().cStr()) == "r-1");
  CHECK(welcome.getEpoch() == 7);
  CHECK(welcome.getLease() == 42);
  CHECK(entrance.asked.name == "gen-0");
  auto probe = welcome.getRole().castAs<Probe>();
  CHECK(probe.countRequest().send().wait(entrance.wait).getBytes() == 0);
}

TEST_CASE("every refusal of the gate names its reason to the peer") {
  using B = Hello::Builder;
  CHECK(Entrance().refusal([](B h) { h.setProtocol(99); }) == "protocol_mismatch");
  CHECK(Entrance().refusal([](B h) { h.setRunId("r-2"); }) == "run_mismatch");
  CHECK(Entrance().refusal([](B h) { h.setConfigDigest("abd"); }) == "config_mismatch");
  CHECK(Entrance().refusal([](B h) { h.setRole("learner"); }) == "role_mismatch");
  CHECK(Entrance().refusal([](B h) { h.setName("gen-1"); }) == "role_mismatch");
  Entrance entrance;
  entrance.full = true;
  CHECK(entrance.refusal() == "full");
  CHECK(entrance.said == "no room for another generator");
}

TEST_CASE("an empty run or digest agrees with any") {
  CHECK(Entrance().refusal([](Hello::Builder h) { h.setRunId(""); }) == "");
  CHECK(Entrance().refusal([](Hello::Builder h) { h.setConfigDigest(""); }) == "");
}

TEST_CASE("a session joins once") {
  Entrance entrance;
  CHECK(entrance.refusal() == "");
  CHECK(entrance.refusal() == "another exception");
}

TEST_CASE("without TLS Hello is believed if it names a role") {
  {
    Entrance entrance(PeerIdentity{});
    CHECK(entrance.refusal([](Hello::Builder h) { h.setName("gen-9"); }) == "");
    CHECK(entrance.asked.name == "gen-9");
  }
  CHECK(Entrance(PeerIdentity{}).refusal([](Hello::Builder h) { h.setRole("owner"); }) ==
        "role_mismatch");
}

TEST_CASE("the holder of a pool's certificate joins as any member and as nobody else") {
  const PeerIdentity pool{.name = "gen-*", .role = "generator", .hosts = {}};
  {
    Entrance entrance(pool);
    CHECK(entrance.refusal([](Hello::Builder h) { h.setName("gen-abc"); }) == "");
    CHECK(entrance.asked.name == "gen-abc");
  }
  for (const char* name : {"gen-", "gen-*", "ver-0", "Gen-0", "gen-0/..", ""}) {
    CAPTURE(name);
    CHECK(Entrance(pool).refusal([&](Hello::Builder h) { h.setName(name); }) == "role_mismatch");
  }
}

TEST_CASE("without TLS a name must be one too") {
  CHECK(Entrance(PeerIdentity{}).refusal([](Hello::Builder h) { h.setName("../gen"); }) ==
        "role_mismatch");
}

TEST_CASE("a role's capability answers to no other interface") {
  Entrance entrance;
  auto answer = entrance.join().wait(entrance.wait);
  auto other = answer.getWelcome().getRole().castAs<Gate>();
  auto problem = kj::runCatchingExceptions([&] { other.pingRequest().send().wait(entrance.wait); });
  KJ_IF_MAYBE (exception, problem) {
    CHECK(fault_of(*exception) == Fault::unsupported);
  }
  CHECK(problem != nullptr);
}

TEST_CASE("the reasons of a refusal survive the way and only some are final") {
  for (const auto reason : {JoinRefusal::protocol_mismatch, JoinRefusal::run_mismatch,
                            JoinRefusal::config_mismatch, JoinRefusal::role_mismatch,
                            JoinRefusal::name_taken, JoinRefusal::epoch_old, JoinRefusal::full}) {
    CAPTURE(to_string(reason));
    auto exception = join_refused_exception(reason, "why: because");
    KJ_IF_MAYBE (refused, join_refused(exception)) {
      CHECK(refused->reason == reason);
      CHECK(refused->text == "why: because");
    }
    CHECK(join_refused(exception) != nullptr);
  }
  CHECK(is_final(JoinRefusal::run_mismatch));
  CHECK_FALSE(is_final(JoinRefusal::name_taken));
  CHECK_FALSE(is_final(JoinRefusal::full));
  CHECK(join_refused(KJ_EXCEPTION(FAILED, "something else")) == nullptr);
}

}  // namespace troupe::wire
