#include "actors/link/rank_stream.hpp"

#include "gpu/transport/ring_communicator.hpp"
#include "messages/wire/network.hpp"
#include "messages/wire/tls.hpp"
#include "tests/support/communicator_checks.hpp"
#include "tests/support/test_pki.hpp"

#include <doctest/doctest.h>

#include <future>
#include <kj/debug.h>
#include <vector>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {
namespace {

/// One process's side of a connection, on its loop.
struct Side final : kj::TaskSet::ErrorHandler {
  Side(wire::Loop& its_loop, wire::TlsFiles files)
      : loop(its_loop), tls(std::move(files), its_loop.timer) {}
  void taskFailed(kj::Exception&& problem) override {
    stream.set_exception(
        std::make_exception_ptr(std::runtime_error(problem.getDescription().cStr())));
  }
  /// Listens; the number of its port.
  kj::uint listen(wire::Courier& courier) {
    port = wire::listen(loop.io.getNetwork(), "127.0.0.1:0");
    tasks.add(port->accept()
                  .then([this](kj::Own<kj::AsyncIoStream> socket) {
                    return tls.accept(kj::mv(socket), {"learner"});
                  })
                  .then([this, &courier](kj::Own<wire::TlsStream> secure) {
                    begin(courier, kj::mv(secure));
                  }));
    return port->getPort();
  }
  void dial(wire::Courier& courier, kj::uint number) {
    tasks.add(loop.io.getNetwork()
                  .parseAddress("127.0.0.1", number)
                  .then([](kj::Own<kj::NetworkAddress> address) {
                    auto socket = address->connect();
                    return socket.attach(kj::mv(address));
                  })
                  .then([this](kj::Own<kj::AsyncIoStream> socket) {
                    return tls.connect(kj::mv(socket), "127.0.0.1", {"learner"});
                  })
                  .then([this, &courier](kj::Own<wire::TlsStream> secure) {
                    begin(courier, kj::mv(secure));
                  }));
  }
  void begin(wire::Courier& courier, kj::Own<wire::TlsStream> secure) {
    RankStream made = rank_stream(courier, kj::mv(secure));
    running = kj::mv(made.running);
    stream.set_value(made.stream);
  }

  wire::Loop loop;
  wire::TlsContext tls;
  kj::Own<kj::ConnectionReceiver> port;
  std::promise<std::shared_ptr<gpu::ByteStream>> stream;
  kj::Promise<void> running = kj::READY_NOW;
  kj::TaskSet tasks{*this};
};

/// A loop on a thread of its own, as a process has one.
struct Process {
  explicit Process(const wire::TlsFiles& files)
      : thread(
            [this, files](wire::Loop& loop) -> kj::Own<void> {
              auto made = kj::heap<Side>(loop, files);
              side = made.get();
              return made;
            },
            [](kj::LogSeverity, const std::string&) {}) {}
  template <class Work>
  void on_loop(Work work) {
    std::promise<void> done;
    thread.post([&](wire::Loop&) {
      work(*side);
      done.set_value();
    });
    done.get_future().get();
  }
  Side* side = nullptr;
  wire::KjThread thread;
};

/// Two ranks, each with a loop of its own, over mutual TLS 1.3 on the loopback interface.
struct TwoRanks {
  explicit TwoRanks(std::chrono::milliseconds deadline) {
    kj::uint number = 0;
    zero.on_loop([&](Side& side) { number = side.listen(zero.thread); });
    one.on_loop([&](Side& side) { side.dial(one.thread, number); });
    const auto at_zero = zero.side->stream.get_future().get();
    const auto at_one = one.side->stream.get_future().get();
    ends.push_back(gpu::make_ring_communicator({0, 2, at_zero, at_zero}, deadline));
    ends.push_back(gpu::make_ring_communicator({1, 2, at_one, at_one}, deadline));
  }
  support::TestPki pki;
  Process zero{pki.issue({.uri = "troupe://learner/learner-0"})};
  Process one{pki.issue({.uri = "troupe://learner/learner-1"})};
  support::Ends ends;  // before the loops
};

constexpr std::chrono::milliseconds kPatience{30000};

TEST_CASE("two ranks over TLS sum floats as threads do") {
  TwoRanks ranks(kPatience);
  for (const std::size_t count : {1, 1000, 3'000'000}) support::check_sums(ranks.ends, count);
}

TEST_CASE("two ranks over TLS gather and broadcast") {
  TwoRanks ranks(kPatience);
  support::check_copies(ranks.ends, 20'000'001);  // more than a stream holds
}

TEST_CASE("a rank whose peer is gone learns it from the connection") {
  TwoRanks ranks(kPatience);
  support::check_sums(ranks.ends, 100);
  ranks.one.on_loop([](Side& side) { side.running = kj::READY_NOW; });
  CHECK_THROWS_WITH(ranks.ends[0]->barrier(),
                    "rank 0 of 2: barrier: rank 1: the other side closed the connection");
  CHECK_THROWS(ranks.ends[1]->barrier());
}

TEST_CASE("a rank over TLS that does not come is noticed after the deadline") {
  TwoRanks ranks(std::chrono::milliseconds(100));
  support::check_absence(ranks.ends);
}

TEST_CASE("a rank over TLS that waits is released by an abort") {
  TwoRanks ranks(kPatience);
  support::check_abort(ranks.ends);
}

}  // namespace
}  // namespace troupe
