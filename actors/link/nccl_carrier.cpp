#include "actors/link/nccl_carrier.hpp"

#include <algorithm>
#include <functional>
#include <kj/debug.h>
#include <span>
#include <thread>
#include <utility>

namespace troupe {
namespace {

constexpr auto kPause = 30 * kj::SECONDS;  // before a pair that failed is tried again

/// Starts one version and answers on the loop with its problem. `start` may be called by this thread only.
kj::Promise<std::string> by_pipe(const std::function<void(gpu::WeightPipe::Done)>& start) {
  auto pair = kj::newPromiseAndCrossThreadFulfiller<std::string>();
  auto fulfiller =
      std::make_shared<kj::Own<kj::PromiseFulfiller<std::string>>>(kj::mv(pair.fulfiller));
  start([fulfiller](const std::string& problem) { (*fulfiller)->fulfill(std::string(problem)); });
  return kj::mv(pair.promise);
}

/// Its end waits for its thread, so that is left to another one: the loop waits for nobody.
void end_elsewhere(gpu::WeightPipe* pipe) {
  pipe->abort("the pipe ends");
  std::thread([pipe] { delete pipe; }).detach();
}

std::shared_ptr<gpu::WeightPipe> make_pipe(const NcclTerms& terms, const gpu::NcclId& id,
                                           int rank) {
  auto* const pipe =
      new gpu::WeightPipe(terms.library, gpu::NcclPlace{rank, 2, id}, terms.deadline);
  return {pipe, end_elsewhere};
}

}  // namespace

void say_problem(const NcclTerms& terms, Telemetry& telemetry) {
  if (!terms.problem.empty() && !terms.said->exchange(true))
    telemetry.event("carrier", "nccl: " + terms.problem);
}

bool NcclCarrier::wanted(wire::WeightReceiver::Reader receiver) const {
  return terms_.library && receiver.getNccl().size() > 0 && timer_.now() >= again_ &&
         receiver.getNccl() != terms_.library->device->identity().c_str();
}

kj::Promise<Carried> NcclCarrier::carry(const Shipment& shipment, wire::WeightSink::Client sink) {
  if (!pipe_) {
    if (const int code = terms_.library->api.unique_id(&id_); code != gpu::nccl_success) {
      again_ = timer_.now() + kPause;
      return Carried{"no unique id: NCCL returned " + std::to_string(code), 0};
    }
    pipe_ = make_pipe(terms_, id_, 0);
  }
  const std::shared_ptr<gpu::WeightPipe> pipe = pipe_;
  const std::span<const float> values(shipment.weights.values().get(), shipment.weights.elements());
  auto request = sink.ncclRequest();
  request.setId(
      kj::arrayPtr(reinterpret_cast<const kj::byte*>(id_.bytes.data()), id_.bytes.size()));
  // Whoever gives up first tells the other end, over the link or by ending the group.
  auto told = request.send().then(
      [pipe](auto&& results) {
        std::string refusal = results.getRefusal();
        if (!refusal.empty()) pipe->abort("the receiver: " + refusal);
        return refusal;
      },
      [pipe](kj::Exception&& exception) {
        pipe->abort("the link is away");
        return std::string(exception.getDescription().cStr());
      });
  auto sent = by_pipe([&](gpu::WeightPipe::Done done) {
    pipe->send(values, [kept = Weights(shipment.weights),
                        done = std::move(done)](const std::string& problem) { done(problem); });
  });
  return told.then([this, pipe, sent = kj::mv(sent),
                    bytes = values.size_bytes()](const std::string& refusal) mutable {
    return sent.then([this, pipe, refusal, bytes](const std::string& problem) {
      const std::string why = refusal.empty() ? problem : refusal;
      if (!why.empty()) {
        if (pipe_ == pipe) pipe_ = nullptr;
        again_ = timer_.now() + kPause;
      }
      return Carried{why, bytes};
    });
  });
}

std::string NcclReceiver::identity() const {
  return terms_.library ? terms_.library->device->identity() : "";
}

kj::Promise<std::string> NcclReceiver::receive(kj::ArrayPtr<const kj::byte> id,
                                               const std::shared_ptr<WeightInbox>& inbox) {
  if (!terms_.library) return std::string("this process has no NCCL");
  gpu::NcclId wanted;
  if (id.size() != wanted.bytes.size()) return std::string("a unique id of another size");
  std::copy(id.begin(), id.end(), reinterpret_cast<kj::byte*>(wanted.bytes.data()));
  if (!pipe_ || wanted.bytes != id_.bytes) {
    if (pipe_) pipe_->abort("another group takes its place");
    id_ = wanted;
    pipe_ = make_pipe(terms_, id_, 1);
  }
  const std::shared_ptr<gpu::WeightPipe> pipe = pipe_;
  const std::size_t elements = inbox->bytes() / sizeof(float);
  const auto values = std::shared_ptr<float[]>(new float[elements]);
  inbox->moves([pipe, before = pipe->moved()] { return pipe->moved() - before; });
  return by_pipe([&](gpu::WeightPipe::Done done) {
           pipe->receive(
               {values.get(), elements},
               [values, done = std::move(done)](const std::string& problem) { done(problem); });
         })
      .then([this, pipe, inbox, values](std::string problem) {
        if (problem.empty())
          inbox->map(values);
        else if (pipe_ == pipe)
          pipe_ = nullptr;
        return problem;
      });
}

}  // namespace troupe
