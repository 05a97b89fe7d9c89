// Ranks of a learner that are processes, here each with loops of its own, beside ranks that are threads.
#include "actors/link/rank_circle.hpp"

#include "actors/link/circle_peers.hpp"
#include "actors/link/rank_codec.hpp"
#include "gpu/error.hpp"
#include "gpu/training/rank_team.hpp"
#include "tests/support/actor_fixture.hpp"
#include "tests/support/bigram.hpp"
#include "tests/support/test_pki.hpp"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <capnp/message.h>
#include <future>
#include <kj/debug.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {
namespace {

constexpr std::int32_t kVocab = 6;
constexpr std::uint64_t kElements = kVocab * kVocab;

/// A port that nobody listens on.
std::string free_address() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  KJ_SYSCALL(::bind(socket, reinterpret_cast<sockaddr*>(&address), size));
  KJ_SYSCALL(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size));
  ::close(socket);
  return "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
}

std::vector<float> first_weights() {
  std::vector<float> weights(kElements);
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i] = 0.01f * static_cast<float>(i * 7 % 11);
  return weights;
}

gpu::TrainingRollout rollout(std::uint64_t id, std::uint64_t version, float reward) {
  gpu::TrainingRollout made;
  made.id = id;
  for (std::uint64_t i = 0; i < 4 + id % 5; ++i)
    made.tokens.push_back(static_cast<std::int32_t>((id * 3 + i * i) % kVocab));
  made.prompt_length = 2;
  made.log_probs.assign(made.tokens.size() - 2, -1.75f);
  made.versions = {{version, static_cast<std::uint32_t>(made.log_probs.size())}};
  made.reward = reward;
  return made;
}

/// A supervised stage, then two updates of an rl stage with what it measures and refers to.
std::vector<RankTask> tasks(const LearnerSetup& setup) {
  std::vector<RankTask> all{BeginTask{false}};
  for (int i = 0; i < 3; ++i) {
    SupervisedTask task{{}, setup.update.adamw, setup.update.max_gradient_norm, 0.05f};
    task.adamw.weight_decay = 0.01f;
    for (std::int32_t d = 0; d < 5; ++d)
      task.documents.push_back({{d % kVocab, (d + i) % kVocab, 1, 2, 3}, 1});
    all.emplace_back(std::move(task));
  }
  all.emplace_back(BeginTask{true});
  for (std::uint64_t version = 7; version < 9; ++version) {
    PolicyTask task;
    task.config = setup.update;
    task.config.adamw.weight_decay = 0.02f;
    task.learning_rate = 0.03f;
    task.version = version;
    task.staleness_bound = 1;
    task.reference_version = 7;
    for (std::uint64_t group = 0; group < 3; ++group) {
      task.groups.emplace_back();
      for (std::uint64_t i = 0; i < 4; ++i)
        task.groups.back().push_back(
            rollout(version * 100 + group * 10 + i, 7, static_cast<float>((group + i) % 2)));
    }
    task.gap_parts.push_back({7, nullptr, {task.groups[0][0], task.groups[1][1]}});
    all.emplace_back(std::move(task));
  }
  return all;
}

LearnerSetup setup_for(Telemetry& telemetry, int ranks, bool sharded) {
  LearnerSetup setup;
  setup.ranks.ranks = ranks;
  setup.ranks.optimizer = sharded ? gpu::OptimizerState::sharded : gpu::OptimizerState::whole;
  setup.ranks.prepare_thread = [] {};
  setup.ranks.engine = [] {
    return std::make_unique<support::BigramTrainingEngine>(kVocab, kElements, gpu::SamplingView{});
  };
  setup.weights = first_weights();
  setup.update.objective.kl_weight = 0.1f;
  setup.telemetry = &telemetry;
  return setup;
}

struct Trained {
  std::vector<float> weights = std::vector<float>(kElements);
  std::vector<double> figures;
};
bool operator==(const Trained& a, const Trained& b) {
  return a.weights == b.weights && a.figures == b.figures;
}

/// Rank 0's part, with or without others elsewhere.
Trained train(const LearnerSetup& setup, RankPeers* peers) {
  gpu::RankTeamSetup ranks = setup.ranks;
  if (peers != nullptr) ranks.meet = [peers] { return peers->communicator(); };
  gpu::RankTeam team(ranks);
  const auto first = std::make_shared<const std::vector<float>>(setup.weights);
  CHECK(team.run([first](int, gpu::TrainingEngine& engine) { engine.load(first->data()); }) == "");
  Trained trained;
  const auto memory = std::make_shared<RankMemory>();  // of rank 0, as the learner has its versions
  for (RankTask task : tasks(setup)) {
    memory->complete(task, team.own());
    if (peers != nullptr) CHECK(peers->tell(task) == "");
    const auto result = std::make_shared<RankResult>();
    CHECK(team.run([task, result](int rank, gpu::TrainingEngine& engine) {
      const RankResult own = perform(engine, task);
      if (rank == 0) *result = own;
    }) == "");
    const gpu::UpdateStats& stats = result->policy.stats;
    trained.figures.insert(trained.figures.end(),
                           {result->supervised.loss, stats.objective, stats.kl_reference,
                            stats.gradient_norm, result->policy.gap.max});
  }
  team.own().copy_weights(trained.weights.data());
  return trained;
}

struct Ranks {
  explicit Ranks(int count, bool with_tls = false) {
    for (int rank = 0; rank < count; ++rank) addresses.push_back(free_address());
    for (int rank = 0; with_tls && rank < count; ++rank)
      files.push_back(pki.issue({.uri = "troupe://learner/learner-" + std::to_string(rank)}));
  }
  RankCirclePlan plan(int rank) const {
    RankCirclePlan made;
    made.rank = rank;
    made.addresses = addresses;
    if (!files.empty()) made.tls = files[static_cast<std::size_t>(rank)];
    made.config_digest = "a config";
    made.weights_digest = "weights";
    made.join_seconds = 60;
    made.silence_seconds = 60;
    made.deadline = std::chrono::seconds(60);
    return made;
  }
  support::TestPki pki;
  std::vector<std::string> addresses;
  std::vector<wire::TlsFiles> files;
  support::TemporaryRun run;
};

/// Why a rank that meets rank 0 of two is not let in.
std::string refusal(const std::function<void(RankCirclePlan&)>& spoil, bool with_tls = false) {
  const Ranks ranks(2, with_tls);
  const RankCirclePlan zero = ranks.plan(0);
  RankCirclePlan one = ranks.plan(1);
  spoil(one);
  auto there = std::async(std::launch::async, [&] { CHECK_NOTHROW(RankCircle{zero}); });
  std::string why;
  try {
    const RankCircle circle(one);
  } catch (const std::runtime_error& error) {
    why = error.what();
  }
  const RankCircle good(ranks.plan(1));  // whoever was refused did no harm
  there.get();
  return why;
}

bool has(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("ranks that are processes train the bits of ranks that are threads") {
  for (const int count : {2, 3})
    for (const bool sharded : {false, true}) {
      CAPTURE(count);
      CAPTURE(sharded);
      Ranks ranks(count, count == 2);
      const LearnerSetup setup = setup_for(*ranks.run.telemetry, count, sharded);
      const Trained by_threads = train(setup, nullptr);
      std::vector<std::future<std::string>> others;
      for (int rank = 1; rank < count; ++rank)
        others.push_back(std::async(std::launch::async, [&, rank] {
          RankService service(ranks.plan(rank), setup, "learner-" + std::to_string(rank));
          return service.run();
        }));
      auto peers = circle_peers(ranks.plan(0));
      const Trained by_processes = train(setup, peers.get());
      peers.reset();
      for (auto& other : others) CHECK(other.get() == "");
      CHECK(by_processes == by_threads);
      CHECK(by_processes.weights != first_weights());
    }
}

TEST_CASE("a rank that leaves is lost to the others and named") {
  Ranks ranks(2);
  const LearnerSetup setup = setup_for(*ranks.run.telemetry, 2, false);
  std::promise<std::shared_ptr<RankService>> met;
  auto other = std::async(std::launch::async, [&] {
    const auto service = std::make_shared<RankService>(ranks.plan(1), setup, "learner-1");
    met.set_value(service);
    return service->run();
  });
  const auto peers = circle_peers(ranks.plan(0));
  gpu::RankTeamSetup here = setup.ranks;
  here.meet = [&] { return peers->communicator(); };
  gpu::RankTeam team(here);
  const std::shared_ptr<RankService> leaving = met.get_future().get();
  leaving->leave();
  CHECK(other.get() == "");
  std::string lost;
  for (const RankTask& task : tasks(setup)) {
    lost = peers->tell(task);
    if (lost.empty())
      lost = team.run([task](int, gpu::TrainingEngine& engine) { perform(engine, task); });
    if (!lost.empty()) break;
  }
  CHECK(has(lost, "rank 1"));
}

TEST_CASE(
    "a rank with another config or model or number or certificate is refused with the reason") {
  CHECK(has(refusal([](RankCirclePlan& plan) { plan.config_digest = "another"; }),
            "refused: its config is another one"));
  CHECK(has(refusal([](RankCirclePlan& plan) { plan.weights_digest = "others"; }),
            "refused: it begins with other weights"));
  CHECK(has(refusal([](RankCirclePlan& plan) {
              plan.rank = 2;
              plan.addresses.push_back(free_address());
            }),
            "refused: it knows of 3 ranks"));
  CHECK(has(refusal(
                [](RankCirclePlan& plan) {
                  plan.rank = 1;
                  plan.tls->certificate.replace(plan.tls->certificate.rfind("-2"), 2, "-1");
                  plan.tls->key.replace(plan.tls->key.rfind("-2"), 2, "-1");
                },
                true),
            "refused: its certificate is that of learner-0"));
}

TEST_CASE("rank 0 hears why another failed") {
  Ranks ranks(2);
  const LearnerSetup setup = setup_for(*ranks.run.telemetry, 2, false);
  LearnerSetup broken = setup;
  broken.ranks.engine = []() -> std::unique_ptr<gpu::TrainingEngine> {
    throw gpu::Error("no memory for an engine");
  };
  auto other = std::async(std::launch::async, [&] {
    RankService service(ranks.plan(1), broken, "learner-1");
    return service.run();
  });
  auto peers = circle_peers(ranks.plan(0));
  gpu::RankTeamSetup here = setup.ranks;
  here.meet = [&] { return peers->communicator(); };
  {
    gpu::RankTeam team(here);
    CHECK(team.run([](int, gpu::TrainingEngine& engine) { engine.gather({1.0}); }) != "");
    CHECK(peers->last_words() == "learner-1: no memory for an engine");
  }
  peers.reset();
  CHECK(other.get() == "no memory for an engine");
}

TEST_CASE("a rank that does not come is named with its address") {
  const Ranks ranks(2);
  RankCirclePlan plan = ranks.plan(0);
  plan.join_seconds = 0.05;
  std::string why;
  try {
    const RankCircle circle(plan);
  } catch (const std::runtime_error& error) {
    why = error.what();
  }
  CHECK(has(why, ("rank 1 at " + ranks.addresses[1] +
                  " has not come within 0 s (network.join-deadline-seconds)")
                     .c_str()));
}

TEST_CASE("the rank is the number at the end of a name") {
  CHECK(rank_of_name("learner") == 0);
  CHECK(rank_of_name("learner-0") == 0);
  CHECK(rank_of_name("learner-12") == 12);
  CHECK(rank_of_name("learner-x7") == 0);
  CHECK(rank_of_name("learner-99999999999") == 0);
}

TEST_CASE("a task that breaks its schema is not read") {
  const auto read = [](const std::function<void(wire::RankTask::Builder)>& fill) {
    capnp::MallocMessageBuilder message;
    auto task = message.initRoot<wire::RankTask>();
    fill(task);
    return read_task(task.asReader(), gpu::UpdateConfig{});
  };
  const auto one_rollout = [](wire::RankTask::Builder task) {
    auto made = task.initPolicy().initGroups(1).init(0, 1)[0];
    made.initTokens(3).set(0, 1);
    made.setPromptLength(1);
    made.initLogProbs(2);
    made.initVersions(1)[0].setCount(2);
    return made;
  };
  CHECK_NOTHROW(read([&](auto task) { one_rollout(task); }));
  CHECK_THROWS(read([&](auto task) { one_rollout(task).getTokens().set(0, -1); }));
  CHECK_THROWS(read([&](auto task) { one_rollout(task).setPromptLength(0); }));
  CHECK_THROWS(read([&](auto task) { one_rollout(task).setPromptLength(2); }));
  CHECK_THROWS(read([&](auto task) { one_rollout(task).getVersions()[0].setCount(1); }));
  CHECK_THROWS(read([&](auto task) { one_rollout(task).getLogProbs().set(0, NAN); }));
  CHECK_THROWS(
      read([](auto task) { task.initSupervised().initDocuments(1)[0].setFirstTarget(0); }));
}

}  // namespace troupe
