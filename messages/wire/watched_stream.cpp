#include "messages/wire/watched_stream.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <capnp/rpc.capnp.h>
#include <cstring>
#include <kj/debug.h>
#include <kj/exception.h>
#include <kj/string.h>
#include <utility>

namespace troupe::wire {

namespace {

static_assert(std::endian::native == std::endian::little, "frames are little endian");

constexpr std::uint64_t kMostSegments = 64;
constexpr std::size_t kWord = sizeof(capnp::word);
constexpr std::size_t kReadAhead = 32 << 10;
constexpr std::size_t kSmall = 32 << 10;   // frames up to this many bytes are copied and batched
constexpr std::size_t kBatch = 256 << 10;  // and their writer waits beyond this many
constexpr int kTurns = 16;                 // that what is ready gets before a batch leaves
constexpr int kWindow = 2 << 20;           // bytes of one streaming call chain under way

kj::Exception exception_of(const End& end) {
  return kj::Exception(kj::Exception::Type::DISCONNECTED, "troupe", 0,
                       kj::str(to_string(end.reason), ": ", end.text.c_str()));
}

std::size_t header_bytes(std::uint64_t segments) {
  return (segments / 2 + 1) * kWord;
}

}  // namespace

const char* to_string(Ending ending) {
  switch (ending) {
    case Ending::closed:
      return "closed";
    case Ending::disconnected:
      return "disconnected";
    case Ending::silent:
      return "silent";
    case Ending::stalled:
      return "stalled";
    case Ending::frame_too_large:
      return "frame_too_large";
    case Ending::malformed:
      return "malformed";
    case Ending::too_many_calls:
      return "too_many_calls";
    case Ending::aborted:
      return "aborted";
    case Ending::revoked:
      return "revoked";
  }
  return "unknown";
}

/// A received message and its memory.
class WatchedStream::Frame final : public capnp::MessageReader {
 public:
  Frame(capnp::ReaderOptions bounds, kj::ArrayPtr<const std::uint32_t> sizes, std::size_t words)
      : MessageReader(bounds), words_(kj::heapArray<capnp::word>(words)), count_(sizes.size()) {
    auto* at = words_.begin();
    for (std::size_t i = 0; i < count_; ++i) {
      segments_[i] = kj::arrayPtr(at, sizes[i]);
      at += sizes[i];
    }
  }

  kj::ArrayPtr<const capnp::word> getSegment(kj::uint id) override {
    return id < count_ ? segments_[id] : nullptr;
  }

  /// What has not arrived yet.
  kj::ArrayPtr<kj::byte> missing() {
    return words_.asBytes().slice(done_, words_.asBytes().size());
  }
  void arrived(std::size_t bytes) { done_ += bytes; }
  std::size_t bytes() const { return words_.size() * kWord; }

 private:
  kj::Array<capnp::word> words_;
  std::array<kj::ArrayPtr<const capnp::word>, kMostSegments> segments_;
  std::size_t count_;
  std::size_t done_ = 0;
};

WatchedStream::WatchedStream(kj::AsyncIoStream& stream, kj::Timer& timer, const LinkLimits& limits)
    : stream_(stream),
      timer_(timer),
      limits_(limits),
      silence_(duration(limits.silence_seconds)),
      clock_(watch_clock().eagerlyEvaluate(nullptr)) {}

kj::Promise<End> WatchedStream::over() {
  return kj::mv(over_.promise);
}

void WatchedStream::mark(Ending reason, const std::string& text) {
  if (end_.reason != Ending{}) return;
  end_ = {reason, text};
  over_.fulfiller->fulfill(End(end_));
}

void WatchedStream::fail(Ending reason, const std::string& text) {
  mark(reason, text);
  reads_.cancel(exception_of(end_));
  KJ_IF_MAYBE (writer, writer_) {
    (*writer)->reject(exception_of(end_));
  }
  writer_ = nullptr;
}

void WatchedStream::refuse(Ending reason, const std::string& text) {
  mark(reason, text);
  kj::throwFatalException(exception_of(end_));
}

kj::Promise<void> WatchedStream::watch_clock() {
  auto from = timer_.now();
  KJ_IF_MAYBE (since, waiting_since_) {
    from = *since;
  }
  return timer_.atTime(from + silence_).then([this]() -> kj::Promise<void> {
    KJ_IF_MAYBE (since, waiting_since_) {
      if (timer_.now() - *since >= silence_) {
        const auto seconds = std::to_string(limits_.silence_seconds) + " s";
        for_answers_ ? fail(Ending::stalled, "the peer took no answer for " + seconds)
                     : fail(Ending::silent, "the peer completed no frame for " + seconds);
        return kj::READY_NOW;
      }
    }
    return watch_clock();
  });
}

bool WatchedStream::congested() {
  KJ_IF_MAYBE (network, network_) {
    return network->getCurrentQueueSize() > limits_.unsent_bytes ||
           network->getCurrentQueueCount() > limits_.unsent_frames;
  }
  return false;
}

kj::Promise<void> WatchedStream::until_taken() {
  waiting_since_ = timer_.now();
  for_answers_ = true;
  auto pair = kj::newPromiseAndFulfiller<void>();
  taken_ = kj::mv(pair.fulfiller);
  return kj::mv(pair.promise);
}

void WatchedStream::written() {
  if (for_answers_) waiting_since_ = timer_.now();
  if (congested()) return;
  KJ_IF_MAYBE (reader, taken_) {
    (*reader)->fulfill();
  }
  taken_ = nullptr;
}

kj::Promise<WatchedStream::Incoming> WatchedStream::tryReadMessage(kj::ArrayPtr<kj::AutoCloseFd>,
                                                                   capnp::ReaderOptions options,
                                                                   kj::ArrayPtr<capnp::word>) {
  return kj::evalNow([&]() -> kj::Promise<Incoming> {
    if (end_.reason != Ending{}) return exception_of(end_);
    if (!congested()) return read(options);
    return reads_.wrap(until_taken().then([this, options] { return read(options); }));
  });
}

kj::Promise<WatchedStream::Incoming> WatchedStream::read(capnp::ReaderOptions options) {
  for_answers_ = false;
  waiting_since_ = nullptr;
  KJ_IF_MAYBE (frame, begin_frame(options)) {
    if ((*frame)->missing().size() == 0) return hand_over(kj::mv(*frame));
    waiting_since_ = timer_.now();
    return reads_.wrap(finish(kj::mv(*frame)));
  }
  waiting_since_ = timer_.now();
  return reads_.wrap(fill(options));
}

kj::Promise<WatchedStream::Incoming> WatchedStream::fill(capnp::ReaderOptions options) {
  input_.resize(kReadAhead);
  std::copy(input_.begin() + begin_, input_.begin() + filled_, input_.begin());
  filled_ -= std::exchange(begin_, 0);
  return stream_.tryRead(input_.data() + filled_, 1, input_.size() - filled_)
      .then(
          [this, options](std::size_t size) -> kj::Promise<Incoming> {
            if (size == 0 && filled_ > 0) refuse(Ending::disconnected, "the end came in a frame");
            if (size == 0) {
              mark(Ending::closed, "the peer hung up");
              return Incoming(nullptr);
            }
            filled_ += size;
            KJ_IF_MAYBE (frame, begin_frame(options)) {
              return finish(kj::mv(*frame));
            }
            return fill(options);
          },
          [this](kj::Exception&& exception) -> kj::Promise<Incoming> {
            mark(Ending::disconnected, exception.getDescription().cStr());
            return kj::mv(exception);
          });
}

kj::Promise<WatchedStream::Incoming> WatchedStream::finish(kj::Own<Frame> frame) {
  auto rest = frame->missing();
  if (rest.size() == 0) return hand_over(kj::mv(frame));
  return stream_.tryRead(rest.begin(), rest.size(), rest.size())
      .then(
          [this, size = rest.size(), frame = kj::mv(frame)](std::size_t got) mutable {
            if (got < size) refuse(Ending::disconnected, "the end came in a frame");
            return hand_over(kj::mv(frame));
          },
          [this](kj::Exception&& exception) -> Incoming {
            mark(Ending::disconnected, exception.getDescription().cStr());
            kj::throwFatalException(kj::mv(exception));
          });
}

kj::Maybe<kj::Own<WatchedStream::Frame>> WatchedStream::begin_frame(capnp::ReaderOptions options) {
  const auto available = filled_ - begin_;
  if (available < kWord) return nullptr;
  std::array<std::uint32_t, kMostSegments + 1> head{};
  std::memcpy(head.data(), input_.data() + begin_, kWord);
  const auto segments = std::uint64_t{head[0]} + 1;  // KJ 0.9 lets this wrap to no segments
  if (segments > kMostSegments)
    refuse(Ending::malformed, "a frame of " + std::to_string(segments) + " segments");
  const auto header = header_bytes(segments);
  if (available < header) return nullptr;
  std::memcpy(head.data(), input_.data() + begin_, (segments + 1) * sizeof(std::uint32_t));
  std::uint64_t words = 0;
  for (std::uint64_t i = 1; i <= segments; ++i) words += head[i];
  if (words == 0) refuse(Ending::malformed, "an empty frame");
  if (words * kWord > limits_.frame_bytes)
    refuse(Ending::frame_too_large, "a frame of " + std::to_string(words * kWord) + " bytes, and " +
                                        std::to_string(limits_.frame_bytes) + " are allowed");
  auto frame = kj::heap<Frame>(options, kj::arrayPtr(head.data() + 1, segments), words);
  const auto here = std::min<std::size_t>(available - header, words * kWord);
  std::copy_n(input_.data() + begin_ + header, here, frame->missing().begin());
  frame->arrived(here);
  begin_ += header + here;
  return kj::mv(frame);
}

WatchedStream::Incoming WatchedStream::hand_over(kj::Own<Frame> frame) {
  waiting_since_ = nullptr;
  ++figures_.frames_read;
  figures_.bytes_read += frame->bytes();
  auto problem = kj::runCatchingExceptions([&] { count(*frame); });
  KJ_IF_MAYBE (exception, problem) {
    refuse(Ending::malformed, exception->getDescription().cStr());  // unless count() marked it
  }
  return capnp::MessageReaderAndFds{kj::mv(frame), nullptr};
}

void WatchedStream::count(capnp::MessageReader& frame) {
  // KJ keeps each answer until its caller sends Finish, and has no limit of its own.
  const auto message = frame.getRoot<capnp::rpc::Message>();
  switch (message.which()) {
    case capnp::rpc::Message::BOOTSTRAP:
    case capnp::rpc::Message::CALL:
      if (++open_calls_ > limits_.open_calls)
        refuse(Ending::too_many_calls,
               "more than " + std::to_string(limits_.open_calls) + " calls that are not finished");
      break;
    case capnp::rpc::Message::FINISH:
      if (open_calls_ == 0) refuse(Ending::malformed, "a call is finished that never was");
      --open_calls_;
      break;
    case capnp::rpc::Message::ABORT:
      mark(Ending::aborted, message.getAbort().getReason().cStr());
      break;
    default:
      break;
  }
}

kj::Promise<void> WatchedStream::writeMessage(kj::ArrayPtr<const int>, Segments segments) {
  if (broken_) return exception_of(end_);
  std::size_t size = header_bytes(segments.size());
  for (const auto& segment : segments) size += segment.size() * kWord;
  ++figures_.frames_written;
  figures_.bytes_written += size;
  append(segments, size <= kSmall);
  if (size > kSmall) return write_large(segments);
  if (!std::exchange(flushing_, true))
    flush_ = gather(kTurns).eagerlyEvaluate([this](kj::Exception&& e) {
      broken_ = true;
      fail(Ending::disconnected, e.getDescription().cStr());
    });
  if (batch_.size() < kBatch) return kj::READY_NOW;
  auto pair = kj::newPromiseAndFulfiller<void>();
  writer_ = kj::mv(pair.fulfiller);
  return kj::mv(pair.promise);
}

kj::Promise<void> WatchedStream::writeMessages(kj::ArrayPtr<Segments> messages) {
  if (messages.size() == 0) return kj::READY_NOW;
  auto rest = messages.slice(1, messages.size());
  return writeMessage(nullptr, messages[0]).then([this, rest] { return writeMessages(rest); });
}

void WatchedStream::append(Segments segments, bool with_body) {
  const auto add = [this](const void* from, std::size_t size) {
    const auto* bytes = static_cast<const kj::byte*>(from);
    batch_.insert(batch_.end(), bytes, bytes + size);
  };
  const auto put = [&add](std::size_t value) {
    const auto number = static_cast<std::uint32_t>(value);
    add(&number, sizeof(number));
  };
  put(segments.size() - 1);
  for (const auto& segment : segments) put(segment.size());
  if (segments.size() % 2 == 0) put(0);
  if (!with_body) return;
  for (const auto& segment : segments) add(segment.begin(), segment.size() * kWord);
}

kj::Promise<void> WatchedStream::gather(int turns) {
  if (turns == 0 || batch_.size() >= kBatch) return flush();
  return kj::evalLater([this, turns] { return gather(turns - 1); });
}

kj::Promise<void> WatchedStream::flush() {
  KJ_IF_MAYBE (writer, writer_) {
    (*writer)->fulfill();
  }
  writer_ = nullptr;
  if (batch_.empty()) {
    flushing_ = false;
    return kj::READY_NOW;
  }
  std::swap(batch_, sending_);
  batch_.clear();
  return stream_.write(sending_.data(), sending_.size()).then([this] {
    written();
    return flush();
  });
}

kj::Promise<void> WatchedStream::idle() {
  if (!flushing_) return kj::READY_NOW;
  auto pair = kj::newPromiseAndFulfiller<void>();
  writer_ = kj::mv(pair.fulfiller);
  return pair.promise.then([this] { return idle(); });
}

kj::Promise<void> WatchedStream::write_large(Segments segments) {
  return idle().then([this, segments] {
    flushing_ = true;
    std::swap(batch_, sending_);  // its header, and small frames before it
    batch_.clear();
    auto pieces = kj::heapArray<kj::ArrayPtr<const kj::byte>>(segments.size() + 1);
    pieces[0] = kj::arrayPtr(sending_.data(), sending_.size());
    for (std::size_t i = 0; i < segments.size(); ++i) pieces[i + 1] = segments[i].asBytes();
    auto sent = stream_.write(pieces);
    return sent.attach(kj::mv(pieces))
        .then(
            [this] {
              flushing_ = false;
              written();
            },
            [this](kj::Exception&& exception) {
              broken_ = true;
              mark(Ending::disconnected, exception.getDescription().cStr());
              kj::throwFatalException(kj::mv(exception));
            });
  });
}

kj::Maybe<int> WatchedStream::getSendBufferSize() {
  return kWindow;
}

kj::Promise<void> WatchedStream::end() {
  return idle().then([this] { stream_.shutdownWrite(); });
}

}  // namespace troupe::wire
