// Tokens per second of a generator and positions per second of a learner, each on its own, with the
// demo's model and task. usage: bench_throughput MODEL [THREADS]      MODEL: a model directory,
// e.g. runs/r1-zero-addition/base
#include "actors/director/materials.hpp"
#include "gpu/device.hpp"
#include "gpu/model/model_directory.hpp"
#include "gpu/sampling/continuous_batch.hpp"
#include "gpu/sampling/cpu_engine.hpp"
#include "gpu/training/training_engine.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

namespace troupe {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr double kSeconds = 2.0;

double since(SteadyClock::time_point begin) {
  return std::chrono::duration<double>(SteadyClock::now() - begin).count();
}

struct Model {
  gpu::DecoderConfig decoder;
  gpu::FlatWeights weights;
  Tokenizer tokenizer;
};

Model load(const char* directory) {
  gpu::LoadedModel loaded = gpu::load_model(directory);
  const auto values = std::shared_ptr<float[]>(new float[loaded.weights.size()]);
  std::copy(loaded.weights.begin(), loaded.weights.end(), values.get());
  return {loaded.config, values, Tokenizer::load(directory)};
}

using EngineMaker = std::unique_ptr<gpu::Engine> (*)(const gpu::DecoderConfig&, std::int32_t slots);

std::unique_ptr<gpu::Engine> torch_engine(const gpu::DecoderConfig& decoder, std::int32_t slots) {
  return gpu::make_torch_engine(decoder, slots, 64, "cpu");
}
std::unique_ptr<gpu::Engine> cpu_engine(const gpu::DecoderConfig& decoder, std::int32_t slots) {
  return gpu::make_cpu_engine(decoder, slots, 64);
}

/// `rollouts` completions of 40 tokens at most through `slots` slots; prompts in groups of `group`.
double generate(EngineMaker make, const Model& model, std::int32_t rollouts, std::int32_t slots,
                std::int32_t group) {
  const auto engine = make(model.decoder, slots);
  gpu::SamplingParams params;
  params.max_new_tokens = 40;
  params.stop_tokens = {model.tokenizer.eos()};
  params.banned = {model.tokenizer.pad(), model.tokenizer.bos()};
  const auto problems = addition_held_out({2, 3}, 512, 12345);
  const auto begin = SteadyClock::now();
  std::uint64_t tokens = 0, id = 0;
  while (since(begin) < kSeconds) {
    gpu::ContinuousBatch batch(*engine, params, 1);
    batch.swap(model.weights, 0);
    for (std::int32_t i = 0; i < rollouts; ++i, ++id)
      batch.submit(
          {id, id / static_cast<std::uint64_t>(group),
           prompt_tokens(model.tokenizer, problems[static_cast<std::size_t>(i / group)].prompt()),
           0});
    while (batch.can_step()) tokens += batch.step();
  }
  return static_cast<double>(tokens) / since(begin);
}

void generate_with_both(const Model& model, std::int32_t rollouts, std::int32_t slots,
                        std::int32_t group) {
  const double torch = generate(torch_engine, model, rollouts, slots, group);
  const double cpu = generate(cpu_engine, model, rollouts, slots, group);
  std::printf(
      "generate %3d rollouts, %3d slots, groups of %d: torch %7.0f, cpu %7.0f tokens/s, ratio "
      "%.1f\n",
      rollouts, slots, group, torch, cpu, cpu / torch);
  std::fflush(stdout);
}

std::map<std::uint64_t, gpu::Completion> completions(EngineMaker make, const Model& model,
                                                     std::int32_t slots) {
  const auto engine = make(model.decoder, slots);
  gpu::SamplingParams params;
  params.max_new_tokens = 40;
  params.stop_tokens = {model.tokenizer.eos()};
  params.banned = {model.tokenizer.pad(), model.tokenizer.bos()};
  gpu::ContinuousBatch batch(*engine, params, 1);
  batch.swap(model.weights, 0);
  std::uint64_t id = 0;
  for (const AdditionProblem& problem : addition_held_out({2, 3}, 512, 12345)) {
    batch.submit({id, id, prompt_tokens(model.tokenizer, problem.prompt()), 0});
    ++id;
  }
  std::map<std::uint64_t, gpu::Completion> all;
  while (batch.can_step()) {
    batch.step();
    for (gpu::Completion& one : batch.take_finished()) all[one.rollout] = std::move(one);
  }
  return all;
}

/// How many of 512 rollouts are the same when sampled through other numbers of slots.
void compare_company(const char* name, EngineMaker make, const Model& model) {
  const auto reference = completions(make, model, 512);
  for (const std::int32_t slots : {256, 64, 8, 1}) {
    std::size_t same_tokens = 0, same_bits = 0;
    for (const auto& [id, completion] : completions(make, model, slots)) {
      const gpu::Completion& other = reference.at(id);
      const bool tokens = completion.tokens == other.tokens;
      same_tokens += tokens ? 1 : 0;
      same_bits += tokens && completion.log_probs == other.log_probs ? 1 : 0;
    }
    std::printf(
        "%s, %3d slots against 512: same tokens %.4f, same log-prob bits %.4f of the rollouts\n",
        name, slots, static_cast<double>(same_tokens) / 512, static_cast<double>(same_bits) / 512);
  }
}

void train(const Model& model, std::size_t documents) {
  const auto engine = gpu::make_torch_training_engine(model.decoder, {}, 512, "cpu");
  engine->load(model.weights.get());
  const auto corpus = addition_corpus({2, 3}, {}, 1);
  std::vector<gpu::Document> tokenized;
  for (std::size_t i = 0; i < documents; ++i)
    tokenized.push_back(tokenize(model.tokenizer, corpus->next()));
  std::vector<gpu::Sequence> sequences;
  std::uint64_t positions = 0;
  for (const gpu::Document& document : tokenized) {
    sequences.push_back({document.tokens, document.first_target});
    positions += document.tokens.size();
  }
  const auto weigh = [](std::size_t, std::span<const gpu::TokenValue>,
                        std::span<gpu::TokenWeight> weights) {
    for (gpu::TokenWeight& weight : weights) weight.log_prob = 1.0f / 1024;
  };
  const auto begin = SteadyClock::now();
  std::uint64_t done = 0;
  while (since(begin) < kSeconds) {
    engine->forward_backward(sequences, weigh);
    engine->zero_gradient();
    done += positions;
  }
  std::printf("forward + backward, %3zu documents: %7.0f positions/s\n", documents,
              static_cast<double>(done) / since(begin));
}

}  // namespace
}  // namespace troupe

int main(int argc, char** argv) {
  using namespace troupe;
  if (argc < 2) {
    std::fprintf(stderr, "usage: bench_throughput MODEL [THREADS]\n");
    return 2;
  }
  gpu::set_compute_threads(argc > 2 ? std::atoi(argv[2]) : 1);
  const Model model = load(argv[1]);
  for (const std::int32_t batch : {1, 8, 32, 64, 128, 256, 512})
    generate_with_both(model, batch, batch, 1);
  generate_with_both(model, 256, 256, 8);
  generate_with_both(model, 256, 64, 8);
  for (const std::size_t documents : {16u, 64u, 256u}) train(model, documents);
  compare_company("torch", torch_engine, model);
  compare_company("cpu", cpu_engine, model);
  return 0;
}
