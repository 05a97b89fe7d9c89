#pragma once
// The guard of a session: a message stream whose peer must behave.
#include "messages/wire/limits.hpp"

#include <capnp/message.h>
#include <capnp/rpc-twoparty.h>
#include <capnp/serialize-async.h>
#include <cstddef>
#include <cstdint>
#include <kj/array.h>
#include <kj/async-io.h>
#include <kj/async.h>
#include <kj/common.h>
#include <kj/timer.h>
#include <kj/vector.h>
#include <string>

namespace troupe::wire {

/// Why a session is over.
enum class Ending : std::uint8_t {
  closed = 1,       ///< The peer hung up between two frames.
  disconnected,     ///< The link broke; the text says how.
  silent,           ///< The peer completed no frame in time: dead, stopped, cut off or too slow.
  stalled,          ///< The peer did not take its answers in time.
  frame_too_large,  ///< A frame beyond the limit.
  malformed,        ///< Bytes that are no frame, or a frame that breaks the protocol.
  too_many_calls,   ///< More calls than allowed that their caller has not finished.
  aborted,          ///< The peer ended the session and said why.
  revoked,          ///< We ended it: the peer's right to be here is gone.
};

/// The enumerator's name: a stable word for metrics and logs.
const char* to_string(Ending ending);

/// A reason with its detail.
struct End {
  Ending reason{};
  std::string text;
};

/// Frames of Cap'n Proto over a byte stream, under the limits of LinkLimits. Lives on the loop.
///
/// Sizes are checked before memory is taken: 1 to 64 segments, not empty, at most frame_bytes. Each
/// frame must be complete silence_seconds after its reader began to wait. Small frames written in
/// one turn of the loop leave in one write.
class WatchedStream final : public capnp::MessageStream {
 public:
  using capnp::MessageStream::tryReadMessage;
  using capnp::MessageStream::writeMessage;
  using capnp::MessageStream::writeMessages;

  /// Frames and bytes since the beginning.
  struct Figures {
    std::uint64_t frames_read = 0, bytes_read = 0, frames_written = 0, bytes_written = 0;
  };

  WatchedStream(kj::AsyncIoStream& stream, kj::Timer& timer, const LinkLimits& limits);

  /// Tells how much waits to be sent: beyond the limits, reading stops. Must outlive this.
  void watch(capnp::TwoPartyVatNetwork& network) { network_ = network; }

  /// Resolves with the first reason to end. Call once.
  kj::Promise<End> over();

  /// Ends the stream from here: readers and writers reject with DISCONNECTED.
  void fail(Ending reason, const std::string& text);

  const Figures& figures() const { return figures_; }

  kj::Promise<kj::Maybe<capnp::MessageReaderAndFds>> tryReadMessage(
      kj::ArrayPtr<kj::AutoCloseFd> fds, capnp::ReaderOptions options,
      kj::ArrayPtr<capnp::word> scratch) override;
  kj::Promise<void> writeMessage(
      kj::ArrayPtr<const int> fds,
      kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>> segments) override;
  kj::Promise<void> writeMessages(
      kj::ArrayPtr<kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>>> messages) override;
  kj::Maybe<int> getSendBufferSize() override;
  kj::Promise<void> end() override;

 private:
  class Frame;
  using Incoming = kj::Maybe<capnp::MessageReaderAndFds>;
  using Segments = kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>>;

  kj::Promise<Incoming> next_frame(capnp::ReaderOptions options);
  kj::Promise<Incoming> fill(capnp::ReaderOptions options);
  kj::Promise<Incoming> finish(kj::Own<Frame> frame, std::size_t done);
  Incoming hand_over(kj::Own<Frame> frame);
  void count(capnp::MessageReader& frame);
  bool congested();
  kj::Promise<void> until_taken();
  kj::Promise<void> watch_clock();
  [[noreturn]] void refuse(Ending reason, const std::string& text);

  void append(Segments segments);
  kj::Promise<void> flush();
  kj::Promise<void> write_large(Segments segments);
  void written();

  kj::AsyncIoStream& stream_;
  kj::Timer& timer_;
  const LinkLimits limits_;
  const kj::Duration silence_;
  kj::Maybe<capnp::TwoPartyVatNetwork&> network_;
  Figures figures_;
  std::uint64_t open_calls_ = 0;

  End end_;
  bool over_ = false;
  kj::PromiseFulfillerPair<End> ended_ = kj::newPromiseAndFulfiller<End>();

  kj::Array<kj::byte> input_;  // read ahead: input_[begin_, filled_) is not yet a frame
  std::size_t begin_ = 0, filled_ = 0;
  kj::Maybe<kj::TimePoint> waiting_since_;  // for the peer: its frame, or to take our answers
  bool for_answers_ = false;
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> taken_;

  kj::Vector<kj::byte> batch_, sending_;  // small frames not yet given to stream_; given to it
  bool flushing_ = false;
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> room_;
  kj::Canceler canceler_;
  kj::Promise<void> flush_ = nullptr;
  kj::Promise<void> clock_ = nullptr;
};

}  // namespace troupe::wire
