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
#include <string>
#include <vector>

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

  /// Tells how much waits to be sent: beyond the limits, reading stops. Used while this is read.
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

  // Reading: frames come out of input_ where they fit, and straight into their own memory
  // otherwise.
  kj::Promise<Incoming> read(capnp::ReaderOptions options);
  kj::Promise<Incoming> fill(capnp::ReaderOptions options);
  kj::Promise<Incoming> finish(kj::Own<Frame> frame);
  kj::Maybe<kj::Own<Frame>> begin_frame(capnp::ReaderOptions options);
  Incoming hand_over(kj::Own<Frame> frame);
  void count(capnp::MessageReader& frame);

  // Writing: one writer at a time, so there is one who waits for room or for silence on the line.
  void append(Segments segments, bool with_body);
  kj::Promise<void> gather(int turns);
  kj::Promise<void> flush();
  kj::Promise<void> idle();
  kj::Promise<void> write_large(Segments segments);
  void written();

  // Watching.
  bool congested();
  kj::Promise<void> until_taken();
  kj::Promise<void> watch_clock();
  void mark(Ending reason, const std::string& text);
  [[noreturn]] void refuse(Ending reason, const std::string& text);

  kj::AsyncIoStream& stream_;
  kj::Timer& timer_;
  const LinkLimits limits_;
  const kj::Duration silence_;
  kj::Maybe<capnp::TwoPartyVatNetwork&> network_;
  Figures figures_;
  std::uint64_t open_calls_ = 0;

  End end_;  // the first reason; none yet while end_.reason is 0
  kj::PromiseFulfillerPair<End> over_ = kj::newPromiseAndFulfiller<End>();

  std::vector<kj::byte> input_;  // read ahead: [begin_, filled_) is not in a frame yet
  std::size_t begin_ = 0, filled_ = 0;
  kj::Maybe<kj::TimePoint> waiting_since_;  // for the peer, who owes a frame or must take answers
  bool for_answers_ = false;
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> taken_;

  std::vector<kj::byte> batch_, sending_;  // small frames that wait for stream_; that it has
  bool flushing_ = false;
  bool broken_ = false;                                    // stream_ takes no more
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> writer_;  // waits for room, or for idle()
  kj::Canceler reads_;
  kj::Promise<void> flush_ = nullptr;
  kj::Promise<void> clock_ = nullptr;
};

}  // namespace troupe::wire
