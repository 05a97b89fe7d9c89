#pragma once
// Two ranks in one process, joined as ranks of two processes are.
#include "actors/link/rank_stream.hpp"
#include "gpu/transport/ring_communicator.hpp"
#include "messages/wire/network.hpp"
#include "messages/wire/tls.hpp"
#include "tests/support/ranks.hpp"
#include "tests/support/test_pki.hpp"

#include <future>
#include <kj/async.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace troupe::support {

/// One process's side of a connection, on its loop.
struct RankSide final : kj::TaskSet::ErrorHandler {
  RankSide(wire::Loop& its_loop, wire::TlsFiles files)
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
struct RankProcess {
  explicit RankProcess(const wire::TlsFiles& files)
      : thread(
            [this, files](wire::Loop& loop) -> kj::Own<void> {
              auto made = kj::heap<RankSide>(loop, files);
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
  RankSide* side = nullptr;
  wire::KjThread thread;
};

/// Two ranks, each with a loop of its own, over mutual TLS 1.3 on the loopback interface.
struct TlsRanks {
  explicit TlsRanks(std::chrono::milliseconds deadline) {
    kj::uint number = 0;
    zero.on_loop([&](RankSide& side) { number = side.listen(zero.thread); });
    one.on_loop([&](RankSide& side) { side.dial(one.thread, number); });
    for (RankProcess* process : {&zero, &one}) {
      const int rank = process == &one ? 1 : 0;
      streams.push_back(process->side->stream.get_future().get());
      ends.push_back(
          gpu::make_ring_communicator({rank, 2, streams.back(), streams.back()}, deadline));
    }
  }
  TestPki pki;
  RankProcess zero{pki.issue({.uri = "troupe://learner/learner-0"})};
  RankProcess one{pki.issue({.uri = "troupe://learner/learner-1"})};
  std::vector<std::shared_ptr<gpu::ByteStream>> streams;  // these two end before the loops
  Ends ends;
};

}  // namespace troupe::support
