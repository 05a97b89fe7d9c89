// Links beside raw blocking OpenSSL, in one process and over loopback sockets: troupe_wire_bench
// [SECONDS]
#include "messages/wire/kj_thread.hpp"
#include "messages/wire/network.hpp"
#include "messages/wire/session.hpp"
#include "messages/wire/tls.hpp"
#include "tests/support/link.hpp"
#include "tests/support/test_pki.hpp"

#include <openssl/ssl.h>

#include <arpa/inet.h>
#include <capnp/message.h>
#include <capnp/orphan.h>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <future>
#include <kj/async-io.h>
#include <kj/debug.h>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

using namespace troupe;
using namespace troupe::wire;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// --- Raw OpenSSL, blocking, a thread per side.

struct RawPair {
  SslContext server_context, client_context;
  std::unique_ptr<SSL, FreeSsl> server, client;

  static SslContext context(const TlsFiles& files) {
    SslContext made(SSL_CTX_new(TLS_method()));
    SSL_CTX_set_min_proto_version(made.get(), TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(made.get(), "TLS_AES_128_GCM_SHA256");
    SSL_CTX_use_certificate_chain_file(made.get(), files.certificate.c_str());
    SSL_CTX_use_PrivateKey_file(made.get(), files.key.c_str(), SSL_FILETYPE_PEM);
    return made;
  }

  explicit RawPair(support::TestPki& pki)
      : server_context(context(pki.issue())), client_context(context(pki.issue())) {
    const int port = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    KJ_SYSCALL(::bind(port, reinterpret_cast<sockaddr*>(&address), size));
    ::listen(port, 1);
    ::getsockname(port, reinterpret_cast<sockaddr*>(&address), &size);
    const int dialled = ::socket(AF_INET, SOCK_STREAM, 0);
    KJ_SYSCALL(::connect(dialled, reinterpret_cast<sockaddr*>(&address), size));
    const int accepted = ::accept(port, nullptr, nullptr);
    ::close(port);
    const int on = 1;
    for (const int fd : {dialled, accepted})
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    server.reset(SSL_new(server_context.get()));
    client.reset(SSL_new(client_context.get()));
    SSL_set_fd(server.get(), accepted);
    SSL_set_fd(client.get(), dialled);
    std::thread shaking([this] { SSL_accept(server.get()); });
    SSL_connect(client.get());
    shaking.join();
  }
  ~RawPair() {
    ::close(SSL_get_fd(server.get()));
    ::close(SSL_get_fd(client.get()));
  }
};

bool read_all(SSL* ssl, std::vector<char>& into) {
  for (std::size_t done = 0; done < into.size();) {
    const int size = SSL_read(ssl, into.data() + done, static_cast<int>(into.size() - done));
    if (size <= 0) return false;
    done += static_cast<std::size_t>(size);
  }
  return true;
}

double raw_one_way(support::TestPki& pki, std::size_t bytes, double seconds) {
  RawPair pair(pki);
  std::uint64_t received = 0;
  std::thread reader([&] {
    std::vector<char> buffer(bytes);
    while (read_all(pair.server.get(), buffer)) received += bytes;
  });
  const std::vector<char> chunk(bytes, 'x');
  const auto start = Clock::now();
  while (seconds_since(start) < seconds)
    SSL_write(pair.client.get(), chunk.data(), static_cast<int>(bytes));
  ::shutdown(SSL_get_fd(pair.client.get()), SHUT_WR);
  reader.join();
  return static_cast<double>(received) / seconds_since(start) / 1e6;
}

double raw_round_trips(support::TestPki& pki, std::size_t bytes, double seconds) {
  RawPair pair(pki);
  std::thread echo([&] {
    std::vector<char> buffer(bytes);
    while (read_all(pair.server.get(), buffer))
      SSL_write(pair.server.get(), buffer.data(), static_cast<int>(bytes));
  });
  std::vector<char> buffer(bytes, 'x');
  const auto start = Clock::now();
  std::uint64_t done = 0;
  for (; seconds_since(start) < seconds; ++done) {
    SSL_write(pair.client.get(), buffer.data(), static_cast<int>(bytes));
    read_all(pair.client.get(), buffer);
  }
  const auto rate = static_cast<double>(done) / seconds_since(start);
  ::shutdown(SSL_get_fd(pair.client.get()), SHUT_RDWR);
  echo.join();
  return rate;
}

// --- Ours: a KJ thread per side, sessions with all limits.

/// The serving side: one session with a Probe per connection.
class Server final : kj::TaskSet::ErrorHandler {
 public:
  Server(Loop& loop, const TlsFiles& files)
      : timer_(loop.timer),
        tls_(files, loop.timer),
        port_(listen(loop.io.getNetwork(), "127.0.0.1:0")) {
    number = port_->getPort();
    tasks_.add(serve());
  }
  kj::uint number = 0;

 private:
  kj::Promise<void> serve() {
    return port_->accept().then([this](kj::Own<kj::AsyncIoStream> stream) {
      harden(*stream, 3);
      tasks_.add(tls_.accept(kj::mv(stream)).then([this](kj::Own<TlsStream> peer) {
        auto session = kj::heap<Session>(
            kj::mv(peer), Session::Side::SERVER, timer_, LinkLimits{},
            capnp::Capability::Client(Probe::Client(kj::heap<support::ProbeServer>())));
        auto ended = session->ended();
        return ended.ignoreResult().attach(kj::mv(session));
      }));
      return serve();
    });
  }
  void taskFailed(kj::Exception&& exception) override { KJ_LOG(ERROR, exception); }

  kj::Timer& timer_;
  TlsContext tls_;
  kj::Own<kj::ConnectionReceiver> port_;
  kj::TaskSet tasks_{*this};
};

kj::Promise<void> push(Probe::Client probe, kj::ArrayPtr<const kj::byte> chunk,
                       Clock::time_point end, std::uint64_t& sent) {
  if (Clock::now() >= end) return kj::READY_NOW;
  auto request = probe.pushRequest(capnp::MessageSize{16, 0});
  auto params = static_cast<Probe::PushParams::Builder>(request);
  params.adoptBytes(capnp::Orphanage::getForMessageContaining(params).referenceExternalData(chunk));
  sent += chunk.size();
  return request.send().then(
      [probe, chunk, end, &sent]() mutable { return push(kj::mv(probe), chunk, end, sent); });
}

kj::Promise<void> echo(Probe::Client probe, kj::ArrayPtr<const kj::byte> chunk,
                       Clock::time_point end, std::uint64_t& done) {
  if (Clock::now() >= end) return kj::READY_NOW;
  auto request = probe.echoRequest(capnp::MessageSize{chunk.size() / 8 + 16, 0});
  request.setBytes(chunk);
  return request.send().then([probe, chunk, end, &done](auto&&) mutable {
    ++done;
    return echo(kj::mv(probe), chunk, end, done);
  });
}

/// Runs `work(probe)` on a client's loop of its own, against a server's.
double measure(support::TestPki& pki,
               const std::function<kj::Promise<std::uint64_t>(Probe::Client)>& work) {
  const auto files = pki.issue();
  kj::uint port = 0;
  KjThread server(
      [&](Loop& loop) -> kj::Own<void> {
        auto made = kj::heap<Server>(loop, files);
        port = made->number;
        return kj::mv(made);
      },
      {});
  double rate = 0;
  std::thread client([&] {
    auto io = kj::setupAsyncIo();
    auto& timer = io.provider->getTimer();
    TlsContext tls(files, timer);
    auto dial = tls_dial(io.provider->getNetwork(), tls, {}, 3);
    auto stream = dial("127.0.0.1:" + std::to_string(port)).wait(io.waitScope);
    Session session(kj::mv(stream), Session::Side::CLIENT, timer, LinkLimits{});
    auto probe = session.peer().castAs<Probe>();
    probe.countRequest().send().wait(io.waitScope);
    const auto start = Clock::now();
    const auto count = work(probe).wait(io.waitScope);
    rate = static_cast<double>(count) / seconds_since(start);
  });
  client.join();
  return rate;
}

double one_way(support::TestPki& pki, std::size_t bytes, double seconds) {
  const std::vector<capnp::word> words(bytes / sizeof(capnp::word));
  const auto chunk = kj::arrayPtr(words.data(), words.size()).asBytes();
  return measure(pki, [&](Probe::Client probe) {
    auto sent = kj::heap<std::uint64_t>(0);
    auto& count = *sent;
    const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                        std::chrono::duration<double>(seconds));
    return push(probe, chunk, end, count)
        .then([probe]() mutable { return probe.countRequest().send().ignoreResult(); })
        .then([&count] { return count; })
        .attach(kj::mv(sent));
  });
}

double round_trips(support::TestPki& pki, std::size_t bytes, int in_flight, double seconds) {
  const std::vector<kj::byte> chunk(bytes);
  return measure(pki, [&](Probe::Client probe) {
    auto done = kj::heap<std::uint64_t>(0);
    auto& count = *done;
    const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                        std::chrono::duration<double>(seconds));
    auto all = kj::heapArrayBuilder<kj::Promise<void>>(static_cast<std::size_t>(in_flight));
    for (int i = 0; i < in_flight; ++i)
      all.add(echo(probe, kj::arrayPtr(chunk.data(), chunk.size()), end, count));
    return kj::joinPromises(all.finish()).then([&count] { return count; }).attach(kj::mv(done));
  });
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 2;
  support::TestPki pki;
  for (const std::size_t kib : {1024, 64, 16}) {
    const auto raw = raw_one_way(pki, kib << 10, seconds);
    const auto ours = one_way(pki, kib << 10, seconds) / 1e6;
    std::printf("one way %4zu KiB: raw TLS %7.1f MB/s, link %7.1f MB/s (%.2fx, %.0f messages/s)\n",
                kib, raw, ours, ours / raw, ours * 1e6 / static_cast<double>(kib << 10));
  }
  std::printf("1 KiB round trips, 1 in flight: raw TLS %.0f /s\n",
              raw_round_trips(pki, 1024, seconds));
  for (const int in_flight : {1, 16, 256})
    std::printf("1 KiB round trips, %d in flight: link %.0f /s\n", in_flight,
                round_trips(pki, 1024, in_flight, seconds));
}
