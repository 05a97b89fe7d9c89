#pragma once
// How sealed memory gets from one process to another: by descriptor, over a local socket (unix(7), SCM_RIGHTS).
#include "messages/wire/kj_thread.hpp"
#include "messages/wire/sealed_memory.hpp"

#include <array>
#include <functional>
#include <kj/array.h>
#include <kj/async-io.h>
#include <kj/async.h>
#include <kj/io.h>
#include <map>
#include <memory>
#include <string>

namespace troupe::wire {

/// Shows that the bearer was told of an offer over its verified link. Cannot be guessed.
using MemoryToken = std::array<kj::byte, 32>;

/// Hands sealed memory to processes of the same user on this machine that show its token. Lives on the loop.
class MemoryDoor final : private kj::TaskSet::ErrorHandler {
 public:
  /// Listens on an abstract socket, of a name that no file system keeps. Errors: throws kj::Exception.
  explicit MemoryDoor(Loop& loop);

  /// Name of the socket.
  const std::string& socket() const { return socket_; }
  /// From now on whoever shows the answer gets the memory, once.
  MemoryToken offer(std::shared_ptr<const SealedMemory> memory);
  /// Takes the offer back. What is returned may be called after the door is gone.
  std::function<void()> withdrawal(const MemoryToken& token) const;

 private:
  kj::Promise<void> serve();
  kj::Promise<void> hand_over(kj::Own<kj::AsyncIoStream> stream);
  void taskFailed(kj::Exception&&) override {}  // the visitor sees the end of its connection

  kj::Timer& timer_;
  std::string socket_;
  kj::Own<kj::ConnectionReceiver> port_;
  using Offers = std::map<MemoryToken, std::shared_ptr<const SealedMemory>>;
  const std::shared_ptr<Offers> offers_ = std::make_shared<Offers>();
  kj::TaskSet tasks_{*this};
};

/// Fetches what a door of that name offers for the token. Errors: rejects if there is none, if its process is another
/// user's, if it does not know the token.
kj::Promise<kj::AutoCloseFd> fetch_memory(Loop& loop, const std::string& socket,
                                          kj::ArrayPtr<const kj::byte> token);

}  // namespace troupe::wire
