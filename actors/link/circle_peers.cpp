#include "actors/link/circle_peers.hpp"

#include "actors/link/rank_codec.hpp"
#include "actors/link/rank_letter.hpp"

#include <algorithm>
#include <capnp/message.h>
#include <capnp/serialize.h>
#include <chrono>
#include <cstring>
#include <exception>
#include <kj/exception.h>
#include <utility>

namespace troupe {
namespace {

using Time = gpu::ByteStream::Time;

constexpr std::chrono::seconds kFarewell{5}, kLastWords{1};
constexpr std::uint32_t kLongestText = 2048;
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 36;  // of a task; more is no task

/// A rank waits as long as the run lasts: its connection ends with rank 0's process or host.
Time some_day() {
  return after(std::chrono::hours(24 * 365));
}

/// All that a rank has to say to rank 0.
struct Word {
  enum class Kind : std::uint32_t {
    heard = 1,
    failed = 2
  } kind;  // the run is over; a text follows
  std::uint32_t size;
};
std::span<std::byte> bytes_of(Word& word) {
  return std::as_writable_bytes(std::span(&word, 1));
}

class CirclePeers final : public RankPeers {
 public:
  explicit CirclePeers(const RankCirclePlan& plan) : deadline_(plan.deadline), circle_(plan) {}
  ~CirclePeers() override {
    circle_.at_peace();
    capnp::MallocMessageBuilder message;
    message.initRoot<wire::RankTask>().setOver("the run is over");
    const Time until = after(kFarewell);
    for (const auto& stream : circle_.tasks())
      static_cast<void>(send_letter(*stream, message, until));  // who is lost needs no farewell
    Word word{};  // of who is through with all tasks; until all are, nobody hangs up
    for (const auto& stream : circle_.tasks())
      static_cast<void>(stream->receive(bytes_of(word), until));
  }
  std::shared_ptr<gpu::Communicator> communicator() override { return circle_.communicator(); }
  void watch(std::function<void(int rank)> lost) override { circle_.watch(std::move(lost)); }
  std::string tell(const RankTask& task) override {
    capnp::MallocMessageBuilder message;
    write(task, message.initRoot<wire::RankTask>());
    int rank = 0;
    for (const auto& stream : circle_.tasks()) {
      ++rank;
      const std::string problem = send_letter(*stream, message, after(deadline_));
      if (!problem.empty()) return "learner rank " + std::to_string(rank) + ": " + problem;
    }
    return "";
  }
  std::string last_words() override {
    std::string all;
    const Time until = after(kLastWords);
    int rank = 0;
    for (const auto& stream : circle_.tasks()) {
      std::string text = "learner rank " + std::to_string(++rank) + " says nothing";
      Word word{};
      if (stream->receive(bytes_of(word), until).empty() && word.kind == Word::Kind::failed) {
        std::string said(std::min(word.size, kLongestText), ' ');
        if (stream->receive(std::as_writable_bytes(std::span(said)), until).empty()) text = said;
      }
      all += (all.empty() ? "" : "; ") + text;
    }
    return all;
  }

 private:
  const std::chrono::milliseconds deadline_;
  RankCircle circle_;
};

}  // namespace

std::shared_ptr<RankPeers> circle_peers(const RankCirclePlan& plan) {
  return std::make_shared<CirclePeers>(plan);
}

RankService::RankService(const RankCirclePlan& plan, LearnerSetup setup, std::string name)
    : setup_(std::move(setup)), name_(std::move(name)), circle_(plan) {}

std::string RankService::run() {
  ActivityLog& activity = setup_.telemetry->activity(name_);
  std::string why;
  try {
    activity.enter("start", true);
    setup_.ranks.prepare_thread();
    engine_ = gpu::make_data_parallel_engine(setup_.ranks.engine(), circle_.communicator(),
                                             setup_.ranks.optimizer);
    engine_->load(setup_.weights.data());
    activity.enter("wait for task", false);
    while (next(why)) activity.enter("wait for task", false);
  } catch (const kj::Exception& error) {
    why = error.getDescription().cStr();
  } catch (const std::exception& error) {
    why = error.what();
  }
  if (!why.empty() && !leaving_) {
    const std::string text = name_ + ": " + why.substr(0, kLongestText / 2);
    Word word{Word::Kind::failed, static_cast<std::uint32_t>(text.size())};
    gpu::ByteStream& stream = *circle_.tasks().front();
    static_cast<void>(stream.send(bytes_of(word), after(kFarewell)));
    static_cast<void>(stream.send(std::as_bytes(std::span(text)), after(kFarewell)));
    circle_.communicator()->abort(text);
    static_cast<void>(stream.receive(bytes_of(word), after(kFarewell)));  // until rank 0 hangs up
  }
  return leaving_ ? std::string() : why;
}

void RankService::leave() {
  leaving_ = true;
  for (const auto& stream : circle_.tasks()) stream->close("the rank was asked to leave");
  circle_.communicator()->abort("the rank was asked to leave");
}

/// False once there is nothing left to do.
bool RankService::next(std::string& why) {
  kj::Array<capnp::word> words;
  why = receive_letter(*circle_.tasks().front(), words, kMostBytes, some_day(),
                       setup_.ranks.deadline);
  if (!why.empty()) {
    why = "rank 0: " + why;
    return false;
  }
  setup_.telemetry->activity(name_).enter("train", true);
  capnp::ReaderOptions options;
  options.traversalLimitInWords =
      words.asBytes().size();  // rank 0 is ourselves, and a task of any size
  capnp::FlatArrayMessageReader reader(words, options);
  auto read = read_task(reader.getRoot<wire::RankTask>(), setup_.update);
  if (std::holds_alternative<RankFarewell>(read)) {
    circle_.at_peace();
    Word word{Word::Kind::heard, 0};
    gpu::ByteStream& stream = *circle_.tasks().front();
    static_cast<void>(stream.send(bytes_of(word), after(kFarewell)));
    static_cast<void>(stream.receive(bytes_of(word), after(kFarewell)));  // until it hangs up
    return false;
  }
  auto& task = std::get<RankTask>(read);
  if (std::holds_alternative<BeginTask>(task)) setup_.telemetry->meets("stage", true);
  memory_.complete(task, *engine_);
  perform(*engine_, task);
  setup_.telemetry->progress(name_);
  return true;
}

}  // namespace troupe
