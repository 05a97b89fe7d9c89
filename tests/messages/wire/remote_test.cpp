#include "messages/wire/remote.hpp"

#include "messages/wire/fault.hpp"
#include "messages/wire/kj_thread.hpp"
#include "tests/support/loopback.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

TEST_SUITE_BEGIN("messages/wire");

namespace troupe::wire {
namespace {

using support::CertificateWish;
using support::Loopback;
using support::quick_limits;
using support::TestServer;

/// A Remote and what it reported.
struct Caller {
  Caller(Loopback& world, const TlsFiles& files, std::vector<std::string> addresses,
         Greeting greeting = {"gen-0", "generator", "r-1", "", "here", 1, 1})
      : tls(files, world.timer),
        remote(world.timer, std::move(addresses), tls_dial(world.network, tls, {"director"}, 1),
               std::move(greeting), quick_limits(), events(), 1) {}

  Remote::Events events() {
    Remote::Events made;
    made.joined = [this](Welcome::Reader welcome, capnp::Capability::Client) {
      epochs.push_back(welcome.getEpoch());
    };
    made.left = [this](const std::string& why) { left.push_back(why); };
    made.missed = [this](const std::string& why) { missed.push_back(why); };
    made.refused = [this](const JoinRefused& refusal) {
      refused.push_back(refusal);
      return !is_final(refusal.reason);
    };
    return made;
  }

  std::vector<std::uint64_t> epochs;
  std::vector<std::string> left, missed;
  std::vector<JoinRefused> refused;
  TlsContext tls;
  Remote remote;
};

std::string echo_fault(Loopback& world, Remote& remote) {
  auto problem = kj::runCatchingExceptions(
      [&] { world.in_time(remote.role().castAs<Probe>().echoRequest().send().ignoreResult()); });
  KJ_IF_MAYBE (exception, problem) {
    return to_string(fault_of(*exception));
  }
  return "none";
}

}  // namespace

TEST_CASE_FIXTURE(Loopback, "a remote joins over TLS and calls what it was granted") {
  TestServer server(*this, quick_limits());
  Caller caller(*this, pki.issue(), {server.address()});
  CHECK(echo_fault(*this, caller.remote) == "gone");  // not there yet
  REQUIRE(until([&] { return caller.remote.status().round_trip_seconds > 0; }));
  CHECK(caller.remote.status().connected);
  CHECK(caller.remote.status().epoch == 1);
  CHECK(caller.remote.status().lease == 1);
  CHECK(echo_fault(*this, caller.remote) == "none");
  CHECK(caller.epochs == std::vector<std::uint64_t>{1});
}

TEST_CASE_FIXTURE(Loopback, "a remote survives the server's restart and shows its last lease") {
  auto server = kj::heap<TestServer>(*this, quick_limits());
  const auto address = server->address();
  Caller caller(*this, pki.issue(), {address});
  REQUIRE(until([&] { return caller.remote.status().connected; }));
  server->lease = 40;
  server->keeper->close_all("gen-0", "a new lease please");
  REQUIRE(until([&] { return caller.remote.status().lease == 41; }));
  auto hanging = caller.remote.role().castAs<Probe>().hangRequest().send().ignoreResult();
  server = nullptr;
  auto problem = kj::runCatchingExceptions([&] { in_time(kj::mv(hanging)); });
  KJ_IF_MAYBE (exception, problem) {
    CHECK(fault_of(*exception) == Fault::gone);
  }
  CHECK(problem != nullptr);
  REQUIRE(until([&] { return !caller.missed.empty(); }));  // nobody listens
  CHECK_FALSE(caller.remote.status().connected);
  CHECK(echo_fault(*this, caller.remote) == "gone");
  TestServer again(*this, quick_limits(), address);
  again.terms.epoch = 2;
  REQUIRE(until([&] { return caller.remote.status().connected; }));
  CHECK(caller.remote.status().epoch == 2);
  CHECK(again.leases_seen == std::vector<std::uint64_t>{41});
  CHECK(caller.left.size() == 2);
  CHECK(caller.remote.status().joins == 3);
}

TEST_CASE_FIXTURE(Loopback, "a final refusal ends the dialling and another one does not") {
  TestServer server(*this, quick_limits());
  Caller lost(*this, pki.issue(), {server.address()}, {"gen-0", "generator", "r-2", "", "", 1, 1});
  REQUIRE(until([&] { return lost.remote.status().stopped; }));
  REQUIRE(lost.refused.size() == 1);
  CHECK(lost.refused[0].reason == JoinRefusal::run_mismatch);
  CHECK(lost.remote.status().last_reason.find("run_mismatch") != std::string::npos);
  CHECK(lost.remote.status().dials == 1);
}

TEST_CASE_FIXTURE(Loopback, "addresses are tried in turn") {
  TestServer server(*this, quick_limits());
  auto unused = listen(network, "127.0.0.1:0");
  const auto dead = "127.0.0.1:" + std::to_string(unused->getPort());
  unused = nullptr;
  Caller caller(*this, pki.issue(), {dead, server.address()});
  REQUIRE(until([&] { return caller.remote.status().connected; }));
  CHECK(caller.remote.status().address == server.address());
  CHECK(caller.remote.status().dials == 2);
}

TEST_CASE_FIXTURE(Loopback, "a certificate that the server refuses is told to the one who dials") {
  TestServer server(*this, quick_limits());
  const auto bad = pki.issue();
  pki.revoke({bad});
  const std::pair<TlsFiles, std::string> cases[] = {
      {bad, "revoked"},
      {pki.issue({.begins_seconds = -200, .ends_seconds = -100}), "expired"},
      {pki.issue({.use = "serverAuth"}), "wrong_use"},
  };
  for (const auto& one : cases) {
    const auto& files = one.first;
    const auto& word = one.second;
    CAPTURE(word);
    Caller caller(*this, files, {server.address()});
    REQUIRE(until([&] { return !caller.missed.empty(); }));
    CHECK(caller.missed[0].find("link refused, " + word) != std::string::npos);
  }
}

TEST_CASE_FIXTURE(Loopback, "a server of the wrong role is not talked to") {
  director = pki.issue({.uri = "troupe://verifier/v-0"});
  TestServer server(*this, quick_limits());
  Caller caller(*this, pki.issue(), {server.address()});
  REQUIRE(until([&] { return !caller.missed.empty(); }));
  CHECK(caller.missed[0].find("wrong_role") != std::string::npos);
  CHECK(server.visitors.empty());
}

TEST_CASE_FIXTURE(Loopback, "without TLS a loopback link works the same") {
  TestServer server(*this, quick_limits());
  auto port = listen(network, "127.0.0.1:0");
  const auto address = "127.0.0.1:" + std::to_string(port->getPort());
  server.keeper = kj::heap<Gatekeeper>(Gatekeeper::Insecure{}, kj::mv(port), timer, quick_limits(),
                                       server.events());
  Remote remote(timer, {address}, insecure_dial(network, 1),
                {"gen-0", "generator", "r-1", "", "here", 1, 1}, quick_limits(), {}, 1);
  REQUIRE(until([&] { return remote.status().connected; }));
  CHECK(echo_fault(*this, remote) == "none");
}

TEST_CASE_FIXTURE(Loopback, "a server that goes silent is left within the silence allowed") {
  // Accepts, shakes hands, and says nothing more.
  TlsContext tls(director, timer);
  auto port = listen(network, "127.0.0.1:0");
  auto mute = port->accept()
                  .then([&](kj::Own<kj::AsyncIoStream> s) { return tls.accept(kj::mv(s)); })
                  .eagerlyEvaluate(nullptr);
  const auto start = timer.now();
  Caller caller(*this, pki.issue(), {"127.0.0.1:" + std::to_string(port->getPort())});
  auto stream = in_time(kj::mv(mute));
  REQUIRE(until([&] { return !caller.missed.empty(); }));
  CHECK(timer.now() - start >= 1 * kj::SECONDS);
  CHECK(timer.now() - start < 10 * kj::SECONDS);
}

TEST_CASE("two KJ threads meet over TLS and part in either order") {
  support::TestPki pki;
  const auto director = pki.issue({.uri = "troupe://director/main"});
  const auto generator = pki.issue();
  constexpr std::chrono::seconds kDeadline{20};
  for (const bool server_first : {true, false}) {
    CAPTURE(server_first);
    struct Serving {  // in the order of need
      Serving(Loop& loop, const TlsFiles& files)
          : tls(files, loop.timer),
            port(listen(loop.io.getNetwork(), "127.0.0.1:0")),
            number(port->getPort()),
            keeper(kj::mv(port), tls, loop.timer, quick_limits(),
                   {[](const Visitor& visitor) {
                      return make_gate(
                          {"r-1", "", 1}, visitor.identity,
                          [](const PeerIdentity&, Hello::Reader) -> kj::Promise<Granted> {
                            return Granted{1, Probe::Client(kj::heap<support::ProbeServer>())};
                          });
                    },
                    [](const Visitor&, const End&) {},
                    [](const std::string&, Refusal, const std::string&) {}}) {}
      TlsContext tls;
      kj::Own<kj::ConnectionReceiver> port;
      kj::uint number;
      Gatekeeper keeper;
    };
    struct Calling {
      Calling(Loop& loop, const TlsFiles& files, kj::uint port, Remote::Events events)
          : tls(files, loop.timer),
            remote(loop.timer, {"127.0.0.1:" + std::to_string(port)},
                   tls_dial(loop.io.getNetwork(), tls, {"director"}, 1),
                   {"gen-0", "generator", "r-1", "", "here", 1, 1}, quick_limits(), kj::mv(events),
                   1) {}
      TlsContext tls;
      Remote remote;
    };
    kj::uint port = 0;
    auto server = std::make_unique<KjThread>(
        [&](Loop& loop) -> kj::Own<void> {
          auto made = kj::heap<Serving>(loop, director);
          port = made->number;
          return kj::mv(made);
        },
        KjThread::Log{});
    std::promise<void> joined;
    Remote* remote = nullptr;  // a name: used on the loop only
    auto client = std::make_unique<KjThread>(
        [&](Loop& loop) -> kj::Own<void> {
          Remote::Events events;
          events.joined = [&](Welcome::Reader, capnp::Capability::Client) { joined.set_value(); };
          auto made = kj::heap<Calling>(loop, generator, port, kj::mv(events));
          remote = &made->remote;
          return kj::mv(made);
        },
        KjThread::Log{});
    REQUIRE(joined.get_future().wait_for(kDeadline) == std::future_status::ready);
    std::promise<std::size_t> answer;
    client->post([&](Loop&) {
      auto request = remote->role().castAs<Probe>().echoRequest();
      request.initBytes(5);
      request.send()
          .then([&](auto&& response) { answer.set_value(response.getBytes().size()); })
          .detach([](kj::Exception&&) {});
    });
    auto size = answer.get_future();
    REQUIRE(size.wait_for(kDeadline) == std::future_status::ready);
    CHECK(size.get() == 5);
    (server_first ? server : client).reset();
  }
}

TEST_CASE("pauses double up to the longest and no two remotes keep step") {
  support::VirtualLoop world;
  const auto dial_times = [&](std::uint64_t seed) {
    std::vector<double> times;
    const auto start = world.timer.now();
    Remote remote(
        world.timer, {"a:1", "b:1"},
        [&](const std::string&) -> kj::Promise<kj::Own<kj::AsyncIoStream>> {
          times.push_back(static_cast<double>((world.timer.now() - start) / kj::MILLISECONDS) /
                          1e3);
          return KJ_EXCEPTION(FAILED, "nobody there");
        },
        {"gen-0", "generator", "", "", "", 1, 1}, LinkLimits{}, {}, seed);
    world.advance(60'000, 5);
    return times;
  };
  const auto times = dial_times(1);
  double expected = 0.1;
  REQUIRE(times.size() > 10);
  for (std::size_t i = 0; i + 2 < times.size(); i += 2) {
    CHECK(times[i + 1] == times[i]);  // the second address at once
    const auto pause = times[i + 2] - times[i];
    CHECK(pause >= expected / 2 - 0.01);
    CHECK(pause <= expected + 0.01);
    expected = std::min(2 * expected, 10.0);
  }
  CHECK(expected == 10.0);
  CHECK(times != dial_times(2));
}

}  // namespace troupe::wire
