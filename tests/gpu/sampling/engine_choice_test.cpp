#include "gpu/sampling/engine_choice.hpp"

#include "gpu/error.hpp"
#include "tests/support/tiny_models.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("gpu/sampling");

namespace {

using namespace troupe::gpu;

/// About 270 million parameters.
DecoderConfig large() {
  DecoderConfig config = tiny_qwen2();
  config.vocab_size = 150000;
  config.hidden_size = 900;
  return config;
}

}  // namespace

TEST_CASE("auto takes the own kernels on the CPU and LibTorch on a GPU") {
  for (const DecoderConfig& config : {tiny_llama(), tiny_qwen2(), tiny_qwen3()})
    CHECK(choose_engine("auto", "cpu", config).kind == EngineKind::cpu);
  const EngineChoice gpu = choose_engine("auto", "cuda:1", tiny_llama());
  CHECK(gpu.kind == EngineKind::torch);
  CHECK(gpu.why == "LibTorch, because the device is cuda:1");
}

TEST_CASE("auto leaves a model to LibTorch whose packed copy would be a burden and says so") {
  const EngineChoice choice = choose_engine("auto", "cpu", large());
  CHECK(choice.kind == EngineKind::torch);
  CHECK(choice.why.find("270 million parameters") != std::string::npos);
  CHECK(choose_engine("cpu", "cpu", large()).kind == EngineKind::cpu);
}

TEST_CASE("an engine that is asked for by name is taken and one that is not there is refused") {
  CHECK(choose_engine("torch", "cpu", tiny_llama()).kind == EngineKind::torch);
  CHECK(choose_engine("cpu", "cuda:0", tiny_llama()).kind == EngineKind::cpu);
  CHECK_THROWS_AS(choose_engine("gpu", "cpu", tiny_llama()), Error);
}

TEST_SUITE_END();
