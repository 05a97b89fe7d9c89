#pragma once
// A learner of several ranks on a model in a table: the same tasks for ranks that are threads, and for ranks that meet as
// processes do, here each with loops of its own.
#include "actors/link/circle_peers.hpp"
#include "actors/link/rank_circle.hpp"
#include "gpu/training/rank_team.hpp"
#include "tests/support/actor_fixture.hpp"
#include "tests/support/bigram.hpp"
#include "tests/support/test_pki.hpp"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <chrono>
#include <kj/debug.h>
#include <memory>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace troupe::circle {

inline constexpr std::int32_t kVocab = 6;
inline constexpr std::uint64_t kElements = kVocab * kVocab;

/// A port that nobody listens on.
inline std::string free_address() {
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

inline std::vector<float> first_weights() {
  std::vector<float> weights(kElements);
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i] = 0.01f * static_cast<float>(i * 7 % 11);
  return weights;
}

inline gpu::TrainingRollout rollout(std::uint64_t id, std::uint64_t version, float reward) {
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
inline std::vector<RankTask> tasks(const LearnerSetup& setup) {
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

inline LearnerSetup setup_for(Telemetry& telemetry, int ranks, bool sharded) {
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
inline bool operator==(const Trained& a, const Trained& b) {
  return a.weights == b.weights && a.figures == b.figures;
}

/// Rank 0's part, with or without others elsewhere.
inline Trained train(const LearnerSetup& setup, RankPeers* peers) {
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

inline bool has(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

}  // namespace troupe::circle
