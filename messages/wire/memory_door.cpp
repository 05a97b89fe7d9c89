#include "messages/wire/memory_door.hpp"

#include <openssl/rand.h>

#include <algorithm>
#include <cstddef>
#include <kj/debug.h>
#include <kj/encoding.h>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace troupe::wire {
namespace {

constexpr std::string_view kPrefix = "troupe-weights-";
constexpr auto kPatience = 5 * kj::SECONDS;  // for a token, or for a descriptor

MemoryToken random_token() {
  MemoryToken token{};
  KJ_REQUIRE(RAND_bytes(token.data(), static_cast<int>(token.size())) == 1, "no random bytes");
  return token;
}

/// Errors: throws kj::Exception if the process at the other end is not of our user.
void require_same_user(kj::AsyncIoStream& stream) {
  ucred peer{};
  kj::uint size = sizeof peer;
  stream.getsockopt(SOL_SOCKET, SO_PEERCRED, &peer, &size);
  KJ_REQUIRE(size == sizeof peer && peer.uid == ::getuid(), "a process of another user");
}

kj::AsyncCapabilityStream& descriptors(kj::AsyncIoStream& stream) {
  return KJ_REQUIRE_NONNULL(kj::dynamicDowncastIfAvailable<kj::AsyncCapabilityStream>(stream),
                            "the socket passes no descriptors");
}

/// A connection with the token on its way out and the descriptor on its way in.
struct Fetching {
  kj::Own<kj::AsyncIoStream> stream;
  MemoryToken token{};
  kj::byte mark = 0;
  kj::AutoCloseFd file;

  kj::Promise<kj::AutoCloseFd> run() {
    require_same_user(*stream);
    return stream->write(token.data(), token.size())
        .then([this] { return descriptors(*stream).tryReadWithFds(&mark, 1, 1, &file, 1); })
        .then([this](kj::AsyncCapabilityStream::ReadResult result) {
          KJ_REQUIRE(result.byteCount == 1 && result.capCount == 1, "the offer is not there");
          return kj::mv(file);
        });
  }
};

}  // namespace

MemoryDoor::MemoryDoor(Loop& loop) : timer_(loop.timer) {
  const MemoryToken name = random_token();
  socket_ = std::string(kPrefix) + kj::encodeHex(kj::arrayPtr(name.data(), name.size())).cStr();
  sockaddr_un own{};
  own.sun_family = AF_UNIX;
  std::copy(socket_.begin(), socket_.end(), own.sun_path + 1);  // the first byte stays 0: abstract
  const auto size = static_cast<kj::uint>(offsetof(sockaddr_un, sun_path) + 1 + socket_.size());
  port_ = loop.io.getNetwork().getSockaddr(&own, size)->listen();
  tasks_.add(serve());
}

MemoryToken MemoryDoor::offer(std::shared_ptr<const SealedMemory> memory) {
  const MemoryToken token = random_token();
  (*offers_)[token] = std::move(memory);
  return token;
}

std::function<void()> MemoryDoor::withdrawal(const MemoryToken& token) const {
  return [offers = std::weak_ptr<Offers>(offers_), token] {
    if (const auto left = offers.lock()) left->erase(token);
  };
}

kj::Promise<void> MemoryDoor::serve() {
  return port_->accept().then([this](kj::Own<kj::AsyncIoStream> stream) {
    tasks_.add(
        timer_.timeoutAfter(kPatience, kj::evalNow([&] { return hand_over(kj::mv(stream)); })));
    return serve();
  });
}

kj::Promise<void> MemoryDoor::hand_over(kj::Own<kj::AsyncIoStream> stream) {
  require_same_user(*stream);
  auto token = kj::heap<MemoryToken>();
  auto& shown = *token;
  auto& visitor = *stream;
  return visitor.read(shown.data(), shown.size())
      .then([this, &shown, &visitor]() -> kj::Promise<void> {
        const auto found = offers_->find(shown);
        KJ_REQUIRE(found != offers_->end(), "an unknown token");
        const auto memory = found->second;
        offers_->erase(found);
        auto file = kj::heap<int>(memory->descriptor());
        auto mark = kj::heap<kj::byte>(kj::byte{1});
        auto written = descriptors(visitor).writeWithFds(kj::arrayPtr(mark.get(), 1), nullptr,
                                                         kj::arrayPtr(file.get(), 1));
        return written.attach(kj::mv(file), kj::mv(mark), std::shared_ptr(memory));
      })
      .attach(kj::mv(token), kj::mv(stream));
}

kj::Promise<kj::AutoCloseFd> fetch_memory(Loop& loop, const std::string& socket,
                                          kj::ArrayPtr<const kj::byte> token) {
  auto fetching = kj::heap<Fetching>();
  KJ_REQUIRE(socket.starts_with(kPrefix), "no socket of weights");
  KJ_REQUIRE(token.size() == fetching->token.size(), "a token of another size");
  std::copy(token.begin(), token.end(), fetching->token.begin());
  auto fetched = loop.io.getNetwork()
                     .parseAddress(kj::str("unix-abstract:", socket.c_str()))
                     .then([](kj::Own<kj::NetworkAddress> address) {
                       auto connected = address->connect();
                       return connected.attach(kj::mv(address));
                     })
                     .then([&to = *fetching](kj::Own<kj::AsyncIoStream> stream) {
                       to.stream = kj::mv(stream);
                       return to.run();
                     });
  return loop.timer.timeoutAfter(kPatience, fetched.attach(kj::mv(fetching)));
}

}  // namespace troupe::wire
