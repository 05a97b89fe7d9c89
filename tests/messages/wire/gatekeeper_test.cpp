#include "messages/wire/gatekeeper.hpp"

#include "tests/support/loopback.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <malloc.h>
#include <map>
#include <string>
#include <sys/resource.h>
#include <utility>
#include <vector>

TEST_SUITE_BEGIN("messages/wire");

namespace troupe::wire {
namespace {

using support::Loopback;
using support::quick_limits;
using support::TestServer;

/// A client that has met the server over TLS.
kj::Own<Session> enter(Loopback& world, TestServer& server, const TlsFiles& files,
                       const LinkLimits& limits) {
  TlsContext tls(files, world.timer);
  auto stream = world.in_time(tls.connect(world.dial(server.number), "127.0.0.1"));
  return kj::heap<Session>(kj::mv(stream), Session::Side::CLIENT, world.timer, limits);
}

void ping(Loopback& world, Session& session) {
  world.in_time(session.peer().castAs<Gate>().pingRequest().send().ignoreResult());
}

}  // namespace

TEST_CASE_FIXTURE(Loopback, "a visitor is known by its certificate and its end has a reason") {
  TestServer server(*this, quick_limits());
  auto session = enter(*this, server, pki.issue(), quick_limits());
  ping(*this, *session);
  REQUIRE(server.visitors.size() == 1);
  CHECK(server.visitors[0].identity.role == "generator");
  CHECK(server.visitors[0].address.rfind("127.0.0.1:", 0) == 0);
  CHECK(server.keeper->counters().sessions_open == 1);
  session = nullptr;
  REQUIRE(until([&] { return !server.ends.empty(); }));
  CHECK(server.ends[0].reason == Ending::closed);
  CHECK(server.keeper->counters().sessions_open == 0);
  CHECK(server.keeper->counters().ended.at(Ending::closed) == 1);
}

TEST_CASE_FIXTURE(Loopback, "a refusal is counted by its reason and does not stop the next") {
  TestServer server(*this, quick_limits());
  auto plain = dial(server.number);
  in_time(plain->write("GET / HTTP/1.0\r\n\r\n", 18));
  REQUIRE(until([&] { return server.refusals.size() == 1; }));
  CHECK(server.refusals[0] == Refusal::plain_text);
  CHECK(server.keeper->counters().refused.at(Refusal::plain_text) == 1);
  CHECK(server.keeper->handshakes_open() == 0);
  auto session = enter(*this, server, pki.issue(), quick_limits());
  ping(*this, *session);
  CHECK(server.keeper->counters().accepted == 1);
}

TEST_CASE_FIXTURE(Loopback, "a peer that starts no handshake is refused in time") {
  auto limits = quick_limits();
  limits.handshake_seconds = 0.05;
  TestServer server(*this, limits);
  auto idle = dial(server.number);
  REQUIRE(until([&] { return server.refusals.size() == 1; }));
  CHECK(server.refusals[0] == Refusal::timeout);
  char byte = 0;
  CHECK(in_time(idle->tryRead(&byte, 1, 1)) == 0);
}

TEST_CASE_FIXTURE(Loopback, "the oldest handshake makes room and a session too many is refused") {
  auto limits = quick_limits();
  limits.handshakes = 2;
  limits.sessions = 1;
  TestServer server(*this, limits);
  std::vector<kj::Own<kj::AsyncIoStream>> idle;
  for (int i = 0; i < 3; ++i) idle.push_back(dial(server.number));
  REQUIRE(until([&] { return server.refusals.size() == 1; }));
  CHECK(server.refusals[0] == Refusal::full);
  CHECK(server.keeper->handshakes_open() == 2);
  char byte = 0;
  CHECK(in_time(idle[0]->tryRead(&byte, 1, 1)) == 0);  // the oldest
  idle.clear();
  REQUIRE(until([&] { return server.keeper->handshakes_open() == 0; }));
  auto session = enter(*this, server, pki.issue(), limits);
  ping(*this, *session);
  auto second = dial(server.number);
  REQUIRE(until([&] {
    return server.keeper->counters().refused.count(Refusal::full) != 0 &&
           server.keeper->counters().refused.at(Refusal::full) == 2;
  }));
}

TEST_CASE_FIXTURE(Loopback, "one session or all of a name are closed with the reason") {
  TestServer server(*this, quick_limits());
  const auto files = pki.issue();
  auto first = enter(*this, server, files, quick_limits());
  auto second = enter(*this, server, files, quick_limits());
  auto other = enter(*this, server, pki.issue({.uri = "troupe://verifier/v-0"}), quick_limits());
  for (auto* session : {first.get(), second.get(), other.get()}) ping(*this, *session);
  CHECK(server.keeper->close(999, "nobody") == 0);
  CHECK(server.keeper->close(server.visitors[0].session, "fenced") == 1);
  REQUIRE(until([&] { return server.ends.size() == 1; }));
  CHECK(server.ends[0].reason == Ending::revoked);
  CHECK(server.ends[0].text == "fenced");
  const auto said = in_time(first->ended());
  CHECK(said.text.find("fenced") != std::string::npos);
  CHECK(server.keeper->close_all("gen-0", "revoked") == 1);
  REQUIRE(until([&] { return server.ends.size() == 2; }));
  ping(*this, *other);
}

TEST_CASE_FIXTURE(Loopback, "out of descriptors the port pauses and then goes on") {
  TestServer server(*this, quick_limits());
  const auto files = pki.issue();
  TlsContext tls(files, timer);
  auto waiting = dial(server.number);  // in the backlog, or accepted already
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  auto address = network.parseAddress("127.0.0.1", server.number).wait(io.waitScope);
  auto late = in_time(address->connect());
  // No descriptor beyond those in use; both connections above may still wait in the backlog.
  rlimit none = before;
  none.rlim_cur = 3;
  ::setrlimit(RLIMIT_NOFILE, &none);
  const auto errors = until([&] { return server.keeper->counters().accept_errors > 0; });
  ::setrlimit(RLIMIT_NOFILE, &before);
  CHECK(errors);
  auto session = enter(*this, server, files, quick_limits());
  ping(*this, *session);
}

TEST_CASE_FIXTURE(Loopback, "ten thousand idle connections keep nobody out") {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  const auto room = files.rlim_max > 1000 ? (files.rlim_max - 500) / 2 : 100;  // both ends are ours
  const auto count = std::min<std::size_t>(10'000, room);
  for (const std::size_t most : {std::size_t{256}, std::size_t{16'000}}) {
    CAPTURE(most);
    LinkLimits limits;
    limits.handshakes = most;
    limits.handshake_seconds = 60;
    TestServer server(*this, limits);
    const auto before = ::mallinfo2().uordblks;
    std::vector<kj::Own<kj::AsyncIoStream>> idle;
    while (idle.size() < count) idle.push_back(dial(server.number));
    const auto held = std::min(most, count);
    REQUIRE(until([&] {
      return server.keeper->handshakes_open() == held && server.refusals.size() == count - held;
    }));
    const auto grown = ::mallinfo2().uordblks - before;
    const auto start = timer.now();
    auto session = enter(*this, server, pki.issue(), limits);
    ping(*this, *session);
    MESSAGE(count << " connections, " << held << " held, " << grown / 1000 << " kB, joined in "
                  << (timer.now() - start) / kj::MICROSECONDS << " us");
    CHECK(grown < (4 << 20) + held * (24 << 10));
    idle.clear();
    REQUIRE(until([&] { return server.keeper->handshakes_open() == 0; }));
    ping(*this, *session);
  }
}

TEST_CASE_FIXTURE(Loopback, "without TLS only a loopback port is served") {
  TestServer world(*this, quick_limits());
  const auto open = [&](const std::string& address) {
    return support::problem_of([&] {
      Gatekeeper keeper(Gatekeeper::Insecure{}, listen(network, address), timer, quick_limits(),
                        world.events());
    });
  };
  CHECK(open("127.0.0.1:0").empty());
  CHECK(open("[::1]:0").empty());
  CHECK(open("0.0.0.0:0").find("loopback addresses only") != std::string::npos);
  CHECK(open("*:0").find("loopback addresses only") != std::string::npos);
}

TEST_CASE_FIXTURE(Loopback, "what grant throws refuses the session") {
  TestServer world(*this, quick_limits());
  auto events = world.events();
  events.grant = [](const Visitor&) -> Gate::Client {
    kj::throwFatalException(KJ_EXCEPTION(FAILED, "not today"));
  };
  auto port = listen(network, "127.0.0.1:0");
  world.number = port->getPort();
  world.keeper =
      kj::heap<Gatekeeper>(kj::mv(port), world.tls, timer, quick_limits(), kj::mv(events));
  auto session = enter(*this, world, pki.issue(), quick_limits());
  REQUIRE(until([&] { return world.refusals.size() == 1; }));
  CHECK(world.refusals[0] == Refusal::failed);
}

}  // namespace troupe::wire
