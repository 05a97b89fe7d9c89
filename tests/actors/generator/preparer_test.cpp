#include "actors/generator/preparer.hpp"

#include "tests/support/small_stage.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <caf/actor_system.hpp>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

TEST_SUITE_BEGIN("actors");

namespace troupe {
namespace {

/// What the two threads of a generator know of each other.
struct Meeting {
  bool wait(const std::function<bool()>& met) {
    constexpr std::chrono::seconds kLongest{60};
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, kLongest, met);
  }
  void tell(std::atomic<int>& count) {
    const std::lock_guard lock(mutex);
    ++count;
    changed.notify_all();
  }
  std::mutex mutex;
  std::condition_variable changed;
  std::atomic<int> forwards = 0, preparing = 0, decoded_beside = 0;
};

constexpr std::int32_t kTokens = 20'000;  // of a completion: there is always something to decode

/// Its second version is not ready before some more forward passes.
class MeetingEngine final : public support::BigramEngine {
 public:
  MeetingEngine(std::int32_t vocab, Meeting& meeting, std::function<void()> publish)
      : BigramEngine(vocab, 16, 2 * kTokens), meeting_(meeting), publish_(std::move(publish)) {}
  void forward(std::span<const gpu::Row> rows, std::span<const std::int32_t> wanted,
               float* logits) override {
    meeting_.tell(meeting_.forwards);
    if (meeting_.forwards == 2) publish_();
    if (meeting_.decoded_beside == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    BigramEngine::forward(rows, wanted, logits);
  }
  gpu::PreparedPtr prepare(gpu::FlatWeights weights) override {
    meeting_.tell(meeting_.preparing);
    const int before = meeting_.forwards;
    if (meeting_.preparing == 2 && meeting_.wait([&] { return meeting_.forwards >= before + 2; }))
      meeting_.tell(meeting_.decoded_beside);
    return BigramEngine::prepare(std::move(weights));
  }

 private:
  Meeting& meeting_;
  std::function<void()> publish_;
};

Weights version_of(const support::SmallStageParts& parts, PolicyVersion version) {
  const std::vector<float> from = parts.initial_weights();
  const auto values = std::shared_ptr<float[]>(new float[from.size()]);
  std::copy(from.begin(), from.end(), values.get());
  return {version, gpu::weights_digest(values.get(), from.size()), values, from.size()};
}

}  // namespace

TEST_CASE("a generator decodes while its next version is got ready") {
  support::TemporaryRun run;
  support::SmallStageOptions options;
  options.bound = 2;
  const support::SmallStageParts parts(options);
  Meeting meeting;
  caf::actor_system_config config;
  caf::actor_system system(config);
  const ReplayBuffer buffer = system.spawn(
      replay_buffer, ReplayBufferPlan{parts.ledger, parts.prompts(), {}, run.telemetry.get()});
  const Broadcaster weights = system.spawn(broadcaster, BroadcasterPlan{{}, run.telemetry.get()});
  GeneratorPlan plan;
  plan.name = "generator-0";
  plan.prepare_thread = [] {};
  plan.engine = [&] {
    return std::make_unique<MeetingEngine>(parts.rules.tokenizer->size(), meeting, [&] {
      caf::anon_send(weights, publish_atom::value, version_of(parts, 1));
    });
  };
  plan.elements = parts.elements();
  plan.sampling = parts.sampling;
  plan.sampling.max_new_tokens = kTokens;
  plan.sampling.stop_tokens.clear();
  plan.group_size = options.group_size;
  plan.tickets_at_once = options.batch;
  plan.telemetry = run.telemetry.get();
  const Generator one = system.spawn<caf::detached>(generator, plan, buffer, weights);
  caf::anon_send(weights, publish_atom::value, version_of(parts, 0));
  CHECK(meeting.wait([&] { return meeting.decoded_beside == 1; }));
  for (const auto& actor : {caf::actor_cast<caf::actor>(one), caf::actor_cast<caf::actor>(buffer),
                            caf::actor_cast<caf::actor>(weights)})
    caf::anon_send_exit(actor, caf::exit_reason::kill);
}

TEST_CASE("a version of another size or digest is not got ready") {
  support::ActorFixture fixture;
  const support::SmallStageParts parts{{}};
  const Preparer hand = fixture.keep(fixture.system.spawn(
      preparer,
      PreparerPlan{"generator-0", parts.engine(), parts.elements(), fixture.telemetry()}));
  const auto ready = [&](const Weights& weights) {
    return fixture.ask<ReadyWeights>(hand, prepare_atom::value, weights)->prepared != nullptr;
  };
  const Weights good = version_of(parts, 7);
  CHECK(ready(good));
  CHECK_FALSE(ready(Weights(7, std::string(32, 'f'), good.values(), good.elements())));
  const std::uint64_t fewer = good.elements() - 1;
  CHECK_FALSE(
      ready(Weights(7, gpu::weights_digest(good.values().get(), fewer), good.values(), fewer)));
}

}  // namespace troupe
