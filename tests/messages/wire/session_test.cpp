#include "messages/wire/session.hpp"

#include "messages/wire/fault.hpp"
#include "tests/support/link.hpp"

#include <doctest/doctest.h>

#include <capnp/message.h>
#include <capnp/rpc-twoparty.h>
#include <cstring>
#include <functional>
#include <kj/async-io.h>
#include <list>
#include <random>
#include <string>
#include <utility>
#include <vector>

TEST_SUITE_BEGIN("messages/wire");

namespace troupe::wire {
namespace {

using support::FaultyStream;
using support::ProbeServer;
using support::VirtualLoop;

using Stream = kj::Own<kj::AsyncIoStream>;

/// Passes reads in small pieces, counts writes, and can stop reading.
class OddStream final : public kj::AsyncIoStream {
 public:
  explicit OddStream(Stream inner) : inner_(kj::mv(inner)) {}
  kj::Promise<std::size_t> tryRead(void* to, std::size_t least, std::size_t most) override {
    if (deaf) return kj::NEVER_DONE;
    if (piece == 0) return inner_->tryRead(to, least, most);
    return in_pieces(static_cast<kj::byte*>(to), least, most, 0);
  }
  kj::Promise<void> write(const void* from, std::size_t size) override {
    ++writes;
    return inner_->write(from, size);
  }
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) override {
    ++writes;
    return inner_->write(pieces);
  }
  kj::Promise<void> whenWriteDisconnected() override { return inner_->whenWriteDisconnected(); }
  void shutdownWrite() override { inner_->shutdownWrite(); }

  bool deaf = false;
  std::size_t piece = 0;
  std::size_t writes = 0;
  std::mt19937_64 dice{7};

 private:
  kj::Promise<std::size_t> in_pieces(kj::byte* to, std::size_t least, std::size_t most,
                                     std::size_t done) {
    return inner_->tryRead(to + done, 1, std::min(most - done, 1 + dice() % piece))
        .then([=, this](std::size_t got) -> kj::Promise<std::size_t> {
          if (got == 0 || done + got >= least) return done + got;
          return in_pieces(to, least, most, done + got);
        });
  }

  Stream inner_;
};

/// A server session that offers a Probe, and the bare other end of its pipe.
struct Served : VirtualLoop {
  explicit Served(LinkLimits limits = {}) {
    auto pipe = kj::newTwoWayPipe();
    line = kj::mv(pipe.ends[1]);
    server = kj::heap<Session>(kj::mv(pipe.ends[0]), Session::Side::SERVER, timer, limits,
                               capnp::Capability::Client(Probe::Client(kj::heap<ProbeServer>())));
    watch = server->ended().then([this](End found) { end = found; }).eagerlyEvaluate(nullptr);
  }
  void send(const std::vector<std::uint32_t>& words) {
    kept.push_back(words);
    writes.push_back(
        line->write(kept.back().data(), words.size() * 4).eagerlyEvaluate([](kj::Exception&&) {}));
    advance(1, 1);
  }
  std::string reason() const { return end.reason == Ending{} ? "" : to_string(end.reason); }

  Stream line;
  kj::Own<Session> server;
  End end;
  kj::Promise<void> watch = nullptr;
  std::list<std::vector<std::uint32_t>> kept;
  std::vector<kj::Promise<void>> writes;
};

/// Two sessions.
struct Link : Served {
  explicit Link(LinkLimits limits = {}) : Served(limits) {
    auto odd_stream = kj::heap<OddStream>(kj::mv(line));
    odd = odd_stream.get();
    client = kj::heap<Session>(kj::mv(odd_stream), Session::Side::CLIENT, timer, limits);
    client_watch =
        client->ended().then([this](End found) { client_end = found; }).eagerlyEvaluate(nullptr);
  }
  Probe::Client probe() { return client->peer().castAs<Probe>(); }

  OddStream* odd = nullptr;
  kj::Own<Session> client;
  End client_end;
  kj::Promise<void> client_watch = nullptr;
};

std::string pattern(std::size_t size, std::uint32_t seed) {
  std::mt19937 dice(seed);
  std::string bytes(size, '\0');
  for (auto& byte : bytes) byte = static_cast<char>(dice());
  return bytes;
}

auto echo(Probe::Client probe, const std::string& bytes) {
  auto request = probe.echoRequest();
  request.setBytes(kj::arrayPtr(reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()));
  return request.send();
}

std::string text(capnp::Data::Reader data) {
  return {reinterpret_cast<const char*>(data.begin()), data.size()};
}

std::string fault_in(const std::function<void()>& work) {
  KJ_IF_MAYBE (exception, kj::runCatchingExceptions([&] { work(); })) {
    return to_string(fault_of(*exception));
  }
  return "none";
}

}  // namespace

TEST_CASE("frames of all sizes come through whole and in order however the stream cuts them") {
  for (const std::size_t piece : {std::size_t{0}, std::size_t{3}, std::size_t{5000}}) {
    CAPTURE(piece);
    Link link;
    link.odd->piece = piece;
    auto probe = link.probe();
    std::vector<std::string> sent;
    std::vector<kj::Promise<capnp::Response<Probe::EchoResults>>> answers;
    for (const std::size_t size : {1, 8, 100, 40000, 7, 300, 32700, 32760, 33000, 200000, 1, 9}) {
      sent.push_back(pattern(size, static_cast<std::uint32_t>(size)));
      answers.push_back(echo(probe, sent.back()));
    }
    for (std::size_t i = 0; i < sent.size(); ++i)
      CHECK(text(answers[i].wait(link.wait).getBytes()) == sent[i]);
  }
}

TEST_CASE("calls of one turn leave in one write") {
  Link link;
  auto probe = link.probe();
  echo(probe, "x").wait(link.wait);
  const auto before = link.odd->writes;
  std::vector<kj::Promise<capnp::Response<Probe::EchoResults>>> answers;
  for (int i = 0; i < 100; ++i) answers.push_back(echo(probe, "x"));
  for (auto& answer : answers) answer.wait(link.wait);
  CHECK(link.odd->writes - before < 10);
}

TEST_CASE("calls go both ways and an unknown interface is unsupported") {
  Link link;
  auto request = link.probe().callRequest();
  auto back = kj::heap<ProbeServer>();
  auto& ours = *back;
  request.setProbe(kj::mv(back));
  auto answer = request.send();
  answer.wait(link.wait);
  CHECK(ours.echoes == 1);
}

TEST_CASE("a frame beyond the limit ends the session before memory is taken") {
  LinkLimits limits;
  limits.frame_bytes = 1 << 20;
  Served served(limits);
  served.send({0, (1 << 20) / 8 + 1});
  CHECK(served.reason() == "");  // a moment for the farewell
  served.advance(100);
  CHECK(served.reason() == "frame_too_large");
  CHECK(served.end.text.find("1048584") != std::string::npos);
  CHECK(served.server->figures().frames_read == 0);
}

TEST_CASE("frames that are none end the session as malformed") {
  const std::vector<std::vector<std::uint32_t>> bad{
      {0xffffffff, 0},         // 2^32 segments
      {64, 1},                 // one too many
      {0, 0},                  // empty
      {1, 0, 0, 0},            // two empty ones
      {0, 1, 0, 1},            // a pointer out of the frame
      {0, 2, 0x100, 1, 0, 0},  // and another
  };
  for (const auto& words : bad) {
    CAPTURE(words[0]);
    CAPTURE(words[1]);
    Served served;
    served.send(words);
    served.advance(100);
    CHECK(served.reason() == "malformed");
  }
}

TEST_CASE("an end inside a frame is a broken link and one between frames is none") {
  const auto after = [](const std::vector<std::uint32_t>& words) {
    Served served;
    if (!words.empty()) served.send(words);
    served.line = nullptr;
    served.advance(100);
    return served.reason();
  };
  CHECK(after({0, 4, 0, 0}) == "disconnected");
  CHECK(after({2, 4}) == "disconnected");
  CHECK(after({}) == "closed");
}

TEST_CASE("a mute peer is noticed after exactly the silence allowed") {
  Served served;
  served.advance(2999, 1);
  CHECK(served.reason() == "");
  served.advance(100, 1);
  CHECK(served.reason() == "silent");
}

TEST_CASE("a byte a second is no sign of life") {
  Served served;
  for (int i = 0; i < 4 && served.reason().empty(); ++i) {
    served.writes.push_back(served.line->write("\0", 1).eagerlyEvaluate([](kj::Exception&&) {}));
    served.advance(1000);
  }
  CHECK(served.reason() == "silent");
}

TEST_CASE("frames keep a session alive and then silence ends it on both sides") {
  Link link;
  auto probe = link.probe();
  for (int i = 0; i < 20; ++i) {
    auto answer = echo(probe, "x");
    link.advance(1000);
    answer.wait(link.wait);
  }
  CHECK(link.reason() == "");
  link.advance(3100);
  // Both clocks run out in one turn; the first to say so aborts the other.
  CHECK((link.reason() == "silent" || link.client_end.reason == Ending::silent));
  CHECK(link.reason() != "");
  CHECK(link.client_end.reason != Ending{});
}

TEST_CASE("calls that nobody finishes end the session at the limit") {
  LinkLimits limits;
  limits.open_calls = 16;
  Link link(limits);
  auto probe = link.probe();
  std::vector<kj::Promise<void>> calls;
  for (int i = 0; i < 15; ++i) calls.push_back(probe.hangRequest().send().ignoreResult());
  link.advance(100);
  CHECK(link.reason() == "");  // 15 and the bootstrap
  calls.clear();
  link.advance(100);
  for (int i = 0; i < 17; ++i) calls.push_back(probe.hangRequest().send().ignoreResult());
  link.advance(200);
  CHECK(link.reason() == "too_many_calls");
  CHECK(link.client_end.reason == Ending::aborted);
  CHECK(link.client_end.text.find("not finished") != std::string::npos);
  CHECK(fault_in([&] { calls.front().wait(link.wait); }) == "gone");
}

TEST_CASE("a peer that never takes its answers stops being read and is dropped") {
  LinkLimits limits;
  limits.unsent_bytes = 4 << 20;
  Link link(limits);
  auto probe = link.probe();
  echo(probe, "x").wait(link.wait);
  link.odd->deaf = true;
  std::vector<kj::Promise<void>> calls;
  for (int i = 0; i < 200; ++i) {
    auto request = probe.fetchRequest();
    request.setSize(1 << 20);
    calls.push_back(request.send().ignoreResult());
  }
  link.advance(1000);
  // A read that began before went deaf may take a little: 4 MiB, not 200.
  CHECK(link.server->figures().frames_written < 10);
  CHECK(link.server->figures().frames_read < 15);
  link.advance(2500);
  CHECK(link.reason() == "stalled");
}

TEST_CASE("so does one that lets many small answers lie") {
  LinkLimits limits;
  limits.unsent_frames = 64;
  limits.open_calls = 1 << 20;
  Link link(limits);
  auto probe = link.probe();
  echo(probe, "x").wait(link.wait);
  link.odd->deaf = true;
  const auto bytes = pattern(8000, 1);
  std::vector<kj::Promise<void>> calls;
  for (int i = 0; i < 5000; ++i) calls.push_back(echo(probe, bytes).ignoreResult());
  link.advance(3500);
  CHECK(link.reason() == "stalled");
  // The batch takes 256 KiB beyond the 64 frames that KJ queues, and so does the write under way.
  CHECK(link.server->figures().frames_read < 64 + 2 * 40 + 20);
}

TEST_CASE("a slow reader that takes a little now and then is kept") {
  LinkLimits limits;
  limits.unsent_bytes = 1 << 20;
  Link link(limits);
  auto probe = link.probe();
  echo(probe, "x").wait(link.wait);
  link.odd->deaf = true;
  std::vector<kj::Promise<capnp::Response<Probe::FetchResults>>> calls;
  for (int i = 0; i < 4; ++i) {
    auto request = probe.fetchRequest();
    request.setSize(1 << 20);
    calls.push_back(request.send());
  }
  link.advance(2000);
  link.odd->deaf = false;
  link.client->close(Ending::revoked, "a reader cannot be woken in this test");
  link.advance(200);
  CHECK(link.reason() != "stalled");
}

TEST_CASE("calls beyond the unanswered bytes are not read") {
  LinkLimits limits;
  limits.unanswered_bytes = 1 << 20;
  Link link(limits);
  struct Stuck final : Probe::Server {
    kj::Promise<void> echo(EchoContext) override { return kj::NEVER_DONE; }
  };
  // The flood comes from a client whose own calls are never answered.
  auto pipe = kj::newTwoWayPipe();
  Session server(kj::mv(pipe.ends[0]), Session::Side::SERVER, link.timer, limits,
                 capnp::Capability::Client(Probe::Client(kj::heap<Stuck>())));
  Session client(kj::mv(pipe.ends[1]), Session::Side::CLIENT, link.timer, limits);
  auto probe = client.peer().castAs<Probe>();
  const auto bytes = pattern(64 << 10, 1);
  std::vector<kj::Promise<void>> calls;
  for (int i = 0; i < 200; ++i) calls.push_back(echo(probe, bytes).ignoreResult());
  link.advance(500);
  CHECK(server.figures().bytes_read > (1u << 20) - (128u << 10));
  CHECK(server.figures().bytes_read < (1u << 20) + (256u << 10));
}

TEST_CASE("a session closed from here fails the calls in flight and says why") {
  Link link;
  auto call = link.probe().hangRequest().send();
  link.advance(10);
  link.server->close(Ending::revoked, "the certificate was revoked");
  link.advance(200);
  CHECK(link.reason() == "revoked");
  CHECK(link.end.text == "the certificate was revoked");
  CHECK(fault_in([&] { call.ignoreResult().wait(link.wait); }) == "gone");
  CHECK(link.client_end.text.find("revoked") != std::string::npos);
}

TEST_CASE("destroying a session fails the calls in flight") {
  Link link;
  auto call = link.probe().hangRequest().send();
  link.advance(10);
  link.watch = nullptr;
  link.server = nullptr;
  CHECK(fault_in([&] { call.ignoreResult().wait(link.wait); }) == "gone");
  link.advance(100);
  CHECK(link.client_end.reason != Ending{});
}

TEST_CASE("a stream of a hundred megabytes keeps order and bounds what waits") {
  Link link;
  auto probe = link.probe();
  const auto bytes = pattern(1 << 20, 3);
  for (int i = 0; i < 100; ++i) {
    auto request = probe.pushRequest();
    request.setBytes(kj::arrayPtr(reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()));
    request.send().wait(link.wait);
    const auto ahead = link.client->figures().bytes_written - link.server->figures().bytes_read;
    CHECK(ahead < 5u << 20);
  }
  CHECK(probe.countRequest().send().wait(link.wait).getBytes() == 100u << 20);
}

}  // namespace troupe::wire
