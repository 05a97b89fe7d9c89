// A version of the weights from a publisher to two receivers, each a process of its own, over mutual TLS on loopback:
// by memfd, by stream and as a delta; then what a swap costs a generator.
// usage: troupe_weights_bench [MEGABYTES]
#include "gpu/device.hpp"
#include "gpu/model/manifest.hpp"
#include "gpu/sampling/continuous_batch.hpp"
#include "gpu/sampling/cpu_engine.hpp"
#include "messages/weight_delta.hpp"
#include "tests/bench/weights/processes.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace troupe;
using namespace troupe::bench;

/// Of this process, in megabytes.
double resident(const char* field) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (word == field) {
      status >> word;
      return std::atof(word.c_str()) / 1024;
    }
  return 0;
}

/// Publishes `versions` versions one after the other, each when all hold the one before.
void publish(const char* name, WeightTerms terms, double share, int versions) {
  constexpr int kReceivers = 2;
  const std::uint64_t elements = bytes_of(terms.manifest) / sizeof(float);
  std::ofstream("/proc/self/clear_refs") << 5;  // VmHWM starts anew
  support::TestPki pki;
  std::vector<Receiver> receivers;  // forked while this process has one thread
  for (int i = 0; i < kReceivers; ++i) receivers.emplace_back(pki.issue(), terms, versions);
  Holder holder;
  kj::uint port = 0;
  {
    wire::KjThread loop(
        [&](wire::Loop& on) -> kj::Own<void> {
          auto made = holder.publisher(on, pki.issue(), terms);
          port = made->number;
          return kj::mv(made);
        },
        {});
    for (const Receiver& one : receivers) one.dial(port);
    std::shared_ptr<const float[]> values;
    for (std::size_t version = 0; version < static_cast<std::size_t>(versions); ++version) {
      values = next_values(values, elements, share);
      const std::string digest = gpu::weights_digest(values.get(), elements);
      const auto start = Clock::now();
      holder.publish(Weights(version, digest, values, elements));
      for (const Receiver& one : receivers) one.wait_for_version();
      const double seconds = seconds_since(start);
      std::printf("%-22s version %zu: %.3f s, %.0f MB/s to both together, resident %.0f MB\n", name,
                  version, seconds,
                  kReceivers * static_cast<double>(elements) * sizeof(float) / 1e6 / seconds,
                  resident("VmRSS:"));
      std::fflush(stdout);
    }
    for (const Receiver& one : receivers) one.end();
    std::printf("%-22s highest resident %.0f MB\n", name, resident("VmHWM:"));
  }
}

/// Size and speed of deltas of bfloat16 and float32 values by share of changed elements.
void deltas(std::uint64_t bytes) {
  for (const std::size_t element : {2u, 4u})
    for (const double share : {0.0001, 0.001, 0.01, 0.05, 0.2, 0.5}) {
      std::mt19937_64 dice(7);
      std::vector<kj::byte> before(bytes), after;
      for (auto& byte : before) byte = static_cast<kj::byte>(dice());
      after = before;
      std::uniform_real_distribution<double> unit;
      for (std::size_t at = 0; at < bytes; at += element)
        if (unit(dice) < share) after[at] ^= 1;
      auto start = Clock::now();
      const auto code = encode_delta({before.data(), bytes}, {after.data(), bytes}, element, ~0ull);
      const double encoding = seconds_since(start);
      start = Clock::now();
      apply_delta({code->data(), code->size()}, element, {before.data(), bytes});
      const double applying = seconds_since(start);
      std::printf(
          "delta of %zu-byte values, %5.2f %% changed: %6.2f %% of the bytes, coded at %.2f GB/s, "
          "applied in %.3f s%s\n",
          element, 100 * share,
          100.0 * static_cast<double>(code->size()) / static_cast<double>(bytes),
          static_cast<double>(bytes) / 1e9 / encoding, applying, before == after ? "" : " WRONG");
      std::fflush(stdout);
    }
}

/// What a generator's decode loop stops for when a version comes.
void stall(const gpu::DecoderConfig& decoder, int slots) {
  gpu::set_compute_threads(1);
  const std::uint64_t elements = gpu::manifest_of(decoder).elements;
  const auto engine = gpu::make_cpu_engine(decoder, slots, 64);
  gpu::SamplingParams params;
  params.max_new_tokens = 60;
  gpu::ContinuousBatch batch(*engine, params, 1);
  const auto values = next_values(nullptr, elements, 0);
  batch.swap(values, 0);
  for (int i = 0; i < slots; ++i) {
    const auto id = static_cast<std::uint64_t>(i);
    batch.submit({id, id, {1, 2, 3}, 0});
  }
  batch.step();
  constexpr int kSteps = 5;
  auto start = Clock::now();
  for (int i = 0; i < kSteps; ++i) batch.step();
  const double step = seconds_since(start) / kSteps;
  std::atomic<bool> ready = false;
  gpu::PreparedPtr prepared;
  double preparing = 0;
  std::thread beside([&] {
    const auto begin = Clock::now();
    gpu::weights_digest(values.get(), elements);
    prepared = engine->prepare(values);
    preparing = seconds_since(begin);
    ready = true;
  });
  start = Clock::now();
  int meanwhile = 0;
  for (; !ready; ++meanwhile) batch.step();
  const double slowed = seconds_since(start) / meanwhile;
  beside.join();
  start = Clock::now();
  batch.swap(prepared, 1);
  const double swap = seconds_since(start);
  start = Clock::now();
  batch.step();
  const double first = seconds_since(start);
  std::printf(
      "%d slots, %.0f MB: decode step %.4f s; prepared in %.4f s beside %d steps of %.4f s; swap "
      "%.6f s, first step "
      "after it %.4f s: a stall of %.2f decode steps\n",
      slots, static_cast<double>(elements) * sizeof(float) / 1e6, step, preparing, meanwhile,
      slowed, swap, first, (swap + first - step) / step);
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t bytes = std::strtoull(argc > 1 ? argv[1] : "256", nullptr, 10) * 1'000'000;
  const WeightManifest manifest{{"w", "float32", {bytes / sizeof(float)}, 0}};
  std::printf("resident before %.0f MB\n", resident("VmRSS:"));
  publish("memfd", {manifest, CarrierUse::automatic, DeltaUse::never}, 1, 4);
  publish("stream", {manifest, CarrierUse::stream, DeltaUse::never}, 1, 4);
  for (const double share : {0.001, 0.01, 0.1, 1.0}) {
    char name[32];
    std::snprintf(name, sizeof name, "delta, %.1f %% changed", 100 * share);
    publish(name, {manifest, CarrierUse::stream, DeltaUse::automatic}, share, 4);
  }
  deltas(bytes / 4);
  gpu::DecoderConfig decoder;
  decoder.vocab_size = 8192;
  decoder.hidden_size = 768;
  decoder.intermediate_size = 2048;
  decoder.num_layers = 8;
  decoder.num_heads = 12;
  decoder.num_kv_heads = 12;
  decoder.head_dim = 64;
  decoder.max_positions = 64;
  for (const int slots : {1, 16, 64}) stall(decoder, slots);
}
