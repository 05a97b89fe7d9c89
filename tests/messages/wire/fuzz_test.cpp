// Hostile frames against a session of either side: recorded conversations, mutated. In process, in
// virtual time.
#include "messages/wire/gate.hpp"
#include "messages/wire/session.hpp"
#include "tests/support/link.hpp"
#include "tests/support/sanitized.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <kj/async-io.h>
#include <malloc.h>
#include <random>
#include <string>
#include <utility>
#include <vector>

TEST_SUITE_BEGIN("messages/wire");

namespace troupe::wire {
namespace {

using support::ProbeServer;
using support::VirtualLoop;
using Bytes = std::string;
using Stream = kj::Own<kj::AsyncIoStream>;

/// Keeps a copy of each frame written.
class Recorder final : public kj::AsyncIoStream {
 public:
  Recorder(Stream inner, std::vector<Bytes>& frames) : inner_(kj::mv(inner)), frames_(frames) {}
  kj::Promise<std::size_t> tryRead(void* to, std::size_t least, std::size_t most) override {
    return inner_->tryRead(to, least, most);
  }
  kj::Promise<void> write(const void* from, std::size_t size) override {
    const auto* at = static_cast<const char*>(from);
    for (std::size_t i = 0; i + 8 <= size;) {  // a batch of frames
      std::uint32_t head[2];
      std::memcpy(head, at + i, sizeof(head));
      std::size_t words = head[1];
      for (std::uint32_t s = 1; s <= head[0]; ++s) {
        std::uint32_t more = 0;
        std::memcpy(&more, at + i + 4 + 4 * s, sizeof(more));
        words += more;
      }
      const auto length = (head[0] + 1) / 2 * 8 + 8 + words * 8;
      frames_.emplace_back(at + i, std::min(length, size - i));
      i += length;
    }
    return inner_->write(from, size);
  }
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) override {
    return inner_->write(pieces);
  }
  kj::Promise<void> whenWriteDisconnected() override { return inner_->whenWriteDisconnected(); }
  void shutdownWrite() override { inner_->shutdownWrite(); }

 private:
  Stream inner_;
  std::vector<Bytes>& frames_;
};

Gate::Client gate() {
  return make_gate({"r", "", 1}, {},
                   [](const PeerIdentity&, Hello::Reader) -> kj::Promise<Granted> {
                     return Granted{1, Probe::Client(kj::heap<ProbeServer>())};
                   });
}

/// What a client may want of a server, one after the other; each wait ends with the session.
kj::Promise<void> converse(Session& client) {
  auto door = client.peer().castAs<Gate>();
  auto join = door.joinRequest();
  auto hello = join.initHello();
  hello.setName("g");
  hello.setRole("generator");
  hello.setProtocol(PROTOCOL_VERSION);
  return join.send().then([door](capnp::Response<Gate::JoinResults>&& answer) mutable {
    auto probe = answer.getWelcome().getRole().castAs<Probe>();
    auto echo = probe.echoRequest();
    echo.initBytes(100);
    auto push = probe.pushRequest();
    push.initBytes(64);
    auto call = probe.callRequest();
    call.setProbe(kj::heap<ProbeServer>());
    auto fetch = probe.fetchRequest();
    fetch.setSize(200);
    auto all = kj::heapArrayBuilder<kj::Promise<void>>(5);
    all.add(door.pingRequest().send().ignoreResult());
    all.add(echo.send().ignoreResult());
    all.add(push.send());
    all.add(call.send().ignoreResult());
    all.add(fetch.send().ignoreResult());
    return kj::joinPromises(all.finish()).attach(kj::mv(probe));
  });
}

/// The frames of one side of a good conversation.
std::vector<Bytes> record(Session::Side side) {
  std::vector<Bytes> frames;
  VirtualLoop world;
  auto pipe = kj::newTwoWayPipe();
  auto& end = pipe.ends[side == Session::Side::SERVER ? 0 : 1];
  end = kj::heap<Recorder>(kj::mv(end), frames);
  Session server(kj::mv(pipe.ends[0]), Session::Side::SERVER, world.timer, {},
                 capnp::Capability::Client(gate()));
  Session client(kj::mv(pipe.ends[1]), Session::Side::CLIENT, world.timer, {});
  converse(client).wait(world.wait);
  world.advance(10);
  return frames;
}

/// Makes conversations that begin well and end badly.
class Mutator {
 public:
  Mutator(std::uint64_t seed, std::vector<Bytes> corpus)
      : dice_(seed), corpus_(std::move(corpus)) {}

  std::vector<Bytes> conversation() {
    std::vector<Bytes> frames(corpus_.begin(), corpus_.begin() + below(corpus_.size() + 1));
    for (auto more = 1 + below(14); more-- > 0;) frames.push_back(frame());
    return frames;
  }

  std::uint64_t below(std::uint64_t bound) { return dice_() % bound; }

 private:
  Bytes frame() {
    const auto kind = below(10);
    if (kind == 0) return garbage();
    auto bytes = corpus_[below(corpus_.size())];
    if (kind > 2)
      for (auto times = 1 + below(4); times-- > 0;) mutate(bytes);
    return bytes;
  }

  Bytes garbage() {
    Bytes bytes(8 + 8 * below(40), '\0');
    for (auto& byte : bytes) byte = static_cast<char>(dice_());
    if (below(2) == 0) {  // with a good header
      put(bytes, 0, 0);
      put(bytes, 4, bytes.size() / 8 - 1);
    }
    return bytes;
  }

  void put(Bytes& bytes, std::size_t at, std::uint64_t value, std::size_t size = 4) {
    if (at + size <= bytes.size()) std::memcpy(bytes.data() + at, &value, size);
  }

  void mutate(Bytes& bytes) {
    static constexpr std::uint32_t kOdd[] = {
        0,   1,      2,       7,      8,      0x7f,       0xff,       0x100,      511,
        512, 0xffff, 0x10000, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
    if (bytes.size() < 16) bytes = corpus_[below(corpus_.size())];
    const auto odd = kOdd[below(std::size(kOdd))];
    const auto words = bytes.size() / 8;
    switch (below(8)) {
      case 0:
        bytes[below(bytes.size())] ^= static_cast<char>(1 << below(8));
        break;
      case 1:
        bytes[below(bytes.size())] = static_cast<char>(dice_());
        break;
      case 2:
        put(bytes, 4 * below(bytes.size() / 4), odd);
        break;
      case 3:  // a small id or tag near the front
        put(bytes, 8 + 4 * below(8), below(6));
        break;
      case 4:  // a wild pointer
        put(bytes, 8 + 8 * below(words),
            below(4) | (dice_() & 0xfffffffc) | std::uint64_t{odd} << 32, 8);
        break;
      case 5: {  // two words change places
        const auto a = 8 * below(words), b = 8 * below(words);
        std::swap_ranges(bytes.begin() + a, bytes.begin() + a + 8, bytes.begin() + b);
        break;
      }
      case 6: {  // a piece of another frame
        const auto& other = corpus_[below(corpus_.size())];
        const auto from = below(other.size()), to = below(bytes.size());
        const auto size = std::min({other.size() - from, bytes.size() - to, 8 + 8 * below(8)});
        std::copy_n(other.begin() + from, size, bytes.begin() + to);
        break;
      }
      default:
        if (below(20) == 0) bytes.resize(1 + below(bytes.size()));
    }
  }

  std::mt19937_64 dice_;
  const std::vector<Bytes> corpus_;
};

kj::Promise<void> drain(kj::AsyncIoStream& stream, kj::ArrayPtr<kj::byte> space) {
  return stream.tryRead(space.begin(), 1, space.size())
      .then([&stream, space](std::size_t size) -> kj::Promise<void> {
        if (size == 0) return kj::READY_NOW;
        return drain(stream, space);
      });
}

/// One conversation against a session of `side`. Returns whether the session is over in the end.
bool attack(Session::Side side, Mutator& mutator, std::uint64_t& frames) {
  VirtualLoop world;
  LinkLimits limits;
  limits.frame_bytes = 1 << 20;
  auto pipe = kj::newTwoWayPipe();
  auto& line = *pipe.ends[1];
  auto victim = kj::heap<Session>(
      kj::mv(pipe.ends[0]), side, world.timer, limits,
      side == Session::Side::SERVER ? kj::Maybe<capnp::Capability::Client>(gate()) : nullptr);
  bool over = false;
  auto watch = victim->ended().then([&](End) { over = true; }).eagerlyEvaluate(nullptr);
  kj::Promise<void> talk = kj::READY_NOW;
  if (side == Session::Side::CLIENT)
    talk = converse(*victim).eagerlyEvaluate([](kj::Exception&&) {});
  kj::byte space[4096];
  auto draining = drain(line, space).eagerlyEvaluate([](kj::Exception&&) {});
  const auto conversation = mutator.conversation();
  kj::Promise<void> writing = kj::READY_NOW;
  for (const auto& frame : conversation)
    writing = writing.then([&line, &frame] { return line.write(frame.data(), frame.size()); });
  writing = writing.eagerlyEvaluate([](kj::Exception&&) {});
  frames += conversation.size();
  world.wait.poll();
  if (mutator.below(2) == 0 && !over) {
    writing = nullptr;
    kj::runCatchingExceptions([&] { line.shutdownWrite(); });
    world.wait.poll();
  }
  world.advance(3200, 1600);
  world.advance(200, 100);
  return over;
}

/// Plays until `wanted` frames were sent; the heap must not grow after the first tenth.
void fuzz(Session::Side side, std::uint64_t wanted, std::uint64_t seed) {
  CAPTURE(seed);
  Mutator mutator(
      seed, record(side == Session::Side::SERVER ? Session::Side::CLIENT : Session::Side::SERVER));
  std::uint64_t frames = 0, sessions = 0, over = 0;
  while (frames < wanted / 10) over += attack(side, mutator, frames), ++sessions;
  const auto before = ::mallinfo2().uordblks;
  while (frames < wanted) over += attack(side, mutator, frames), ++sessions;
  const auto after = ::mallinfo2().uordblks;
  CHECK(over == sessions);  // all fall silent, so none may linger
  CHECK(after < before + (1 << 20));
  MESSAGE(sessions << " sessions, heap " << before << " -> " << after << " bytes");
}

/// TROUPE_FUZZ_TIMES: that many times as many, for a night.
std::uint64_t scaled(std::uint64_t frames) {
  if (const char* times = std::getenv("TROUPE_FUZZ_TIMES")) return frames * std::stoull(times);
  return kSanitized ? frames / 25 : frames;
}

}  // namespace

TEST_CASE("a million hostile frames neither crash a serving session nor grow its memory") {
  fuzz(Session::Side::SERVER, scaled(1'000'000), 1);
}

TEST_CASE("hostile frames of a server neither crash its client nor grow its memory") {
  fuzz(Session::Side::CLIENT, scaled(250'000), 2);
}

}  // namespace troupe::wire
