#include "actors/link/rank_circle.hpp"

#include "actors/link/rank_letter.hpp"
#include "actors/link/rank_meeting.hpp"
#include "gpu/transport/nccl_communicator.hpp"
#include "gpu/transport/ring_communicator.hpp"
#include "gpu/transport/staged_communicator.hpp"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <cstdint>
#include <future>
#include <span>
#include <stdexcept>
#include <utility>

namespace troupe {
namespace {

constexpr std::chrono::seconds kAccordPatience{5};

using Tasks = std::vector<std::shared_ptr<gpu::ByteStream>>;

/// Rank 0's: what all do from here on, told to all.
RankAccord conclude(const RankCirclePlan& plan, std::vector<RankOffer> offers, const Tasks& to) {
  RankAccord accord = agree(plan.communicator, offers);
  if (accord.nccl) {
    const int code = plan.nccl->api.unique_id(&*accord.nccl);
    if (code != gpu::nccl_success) {
      offers[0].problem = "no unique id: NCCL returned " + std::to_string(code);
      accord = agree(plan.communicator, offers);
    }
  }
  capnp::MallocMessageBuilder message;
  write(accord, message.initRoot<wire::RankAccord>());
  for (const auto& stream : to)  // who is lost here is missed in the first call
    static_cast<void>(send_letter(*stream, message, after(kAccordPatience)));
  // Who is refused hangs up; this rank does so after all others, or they might not hear why.
  std::byte none{};
  for (const auto& stream : to)
    if (!accord.refusal.empty())
      static_cast<void>(stream->receive(std::span(&none, 1), after(kAccordPatience)));
  return accord;
}

/// Rank 0 may have to wait for others yet.
RankAccord hear(const RankCirclePlan& plan, gpu::ByteStream& from) {
  kj::Array<capnp::word> words;
  const auto patience =
      std::chrono::milliseconds(static_cast<std::int64_t>(plan.join_seconds * 1000));
  const std::string problem = receive_letter(from, words, kGreetingWords * sizeof(capnp::word),
                                             after(patience + kAccordPatience), kAccordPatience);
  if (!problem.empty())
    throw std::runtime_error("the learner's ranks did not agree: rank 0: " + problem);
  capnp::FlatArrayMessageReader reader(words, short_message());
  return read_accord(reader.getRoot<wire::RankAccord>());
}

}  // namespace

int rank_of_name(const std::string& name) {
  constexpr std::size_t kMostDigits = 4;
  const std::size_t dash = name.rfind('-');
  if (dash == std::string::npos || dash + 1 == name.size()) return 0;
  const std::string number = name.substr(dash + 1);
  const bool digits = number.find_first_not_of("0123456789") == std::string::npos;
  return digits && number.size() <= kMostDigits ? std::stoi(number) : 0;
}

RankCircle::RankCircle(const RankCirclePlan& plan) {
  thread_ = std::make_unique<wire::KjThread>(
      [&](wire::Loop& loop) -> kj::Own<void> {
        auto meeting = kj::heap<RankMeeting>(loop, plan);
        meeting_ = meeting.get();
        return meeting;
      },
      plan.log);
  std::promise<std::future<RankMeeting::Met>> begun;
  thread_->post([&](wire::Loop&) { begun.set_value(meeting_->meet(*thread_)); });
  RankMeeting::Met met = begun.get_future().get().get();
  const int ranks = static_cast<int>(plan.addresses.size());
  for (const auto& [who, stream] : met.streams) {
    if (who.first == RankMeeting::Purpose::TASKS) tasks_.push_back(stream);
    if (who.first != RankMeeting::Purpose::RING) continue;
    if (who.second == (plan.rank + 1) % ranks) next_ = stream;
    if (who.second == (plan.rank + ranks - 1) % ranks) previous_ = stream;
  }
  const RankAccord accord =
      plan.rank == 0 ? conclude(plan, met.offers, tasks_) : hear(plan, *tasks_.front());
  if (!accord.refusal.empty()) throw std::runtime_error(accord.refusal);
  if (plan.agreed) plan.agreed(accord.why);
  communicator_ = accord.nccl ? over_nccl(plan, *accord.nccl) : over_ring(plan);
  thread_->post([meeting = meeting_](wire::Loop&) { meeting->settle(); });
}

std::shared_ptr<gpu::Communicator> RankCircle::over_ring(const RankCirclePlan& plan) {
  const int ranks = static_cast<int>(plan.addresses.size());
  return gpu::make_ring_communicator({plan.rank, ranks, next_, previous_}, plan.deadline);
}

/// NCCL may take its time to notice that a rank has gone; the ring's connections notice at once.
std::shared_ptr<gpu::Communicator> RankCircle::over_nccl(const RankCirclePlan& plan,
                                                         const gpu::NcclId& id) {
  if (!plan.nccl) throw std::runtime_error("rank 0 wants NCCL, and there is none here");
  const int ranks = static_cast<int>(plan.addresses.size());
  std::shared_ptr<gpu::Communicator> made = gpu::make_staged_communicator(
      gpu::make_nccl_communicator(plan.nccl->api, {plan.rank, ranks, id},
                                  plan.nccl->device->stream(), plan.deadline),
      plan.nccl->device);
  watch([group = std::weak_ptr(made)](int rank) {
    if (const auto lost = group.lock())
      lost->abort("the connection to rank " + std::to_string(rank) + " ended");
  });
  return made;
}

void RankCircle::watch(std::function<void(int rank)> lost) {
  thread_->post([meeting = meeting_, lost = std::move(lost), peace = peace_](wire::Loop&) {
    meeting->watch([lost, peace](int rank) {
      if (!*peace) lost(rank);
    });
  });
}

RankCircle::~RankCircle() {
  tasks_.clear();         // first: who waits for this rank to hang up leaves its group only then,
  communicator_.reset();  // and a group is left together
  next_.reset();
  previous_.reset();
}

}  // namespace troupe
