// A version of the weights from a publisher to four receivers, each a process of its own, by stream over mutual TLS on
// loopback: the publisher sends to each, or receivers hand it on along a tree (broadcaster.relay-fan-out).
// usage: troupe_fan_out_bench [MEGABYTES]
#include "actors/broadcaster/relay_tree.hpp"
#include "tests/bench/weights/processes.hpp"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <prometheus/counter.h>
#include <string>
#include <vector>

namespace {

using namespace troupe;
using namespace troupe::bench;

constexpr int kReceivers = 4, kVersions = 4;

void spread(const char* name, std::uint32_t fan_out, std::uint64_t bytes) {
  const std::uint64_t elements = bytes / sizeof(float);
  const WeightTerms terms{{{"w", "float32", {elements}, 0}}, CarrierUse::stream, DeltaUse::never};
  support::TestPki pki;
  RelayTree tree(fan_out, {});
  std::map<std::string, kj::uint> ports;
  std::vector<Receiver> receivers;  // forked while this process has one thread
  for (int i = 0; i < kReceivers; ++i) {
    const std::string who = "gen-" + std::to_string(i);
    tree.join({who, "host-of-" + who});
    receivers.emplace_back(pki.issue(), terms, kVersions);
    ports[who] = receivers.back().port;
  }
  Holder holder;
  wire::KjThread loop(
      [&](wire::Loop& on) -> kj::Own<void> {
        auto made = holder.publisher(on, pki.issue(), terms);
        ports[""] = made->number;
        return kj::mv(made);
      },
      {});
  for (std::size_t i = 0; i < receivers.size(); ++i)
    receivers[i].dial(ports.at(tree.source("gen-" + std::to_string(i))));
  const auto& sent =
      holder.run.telemetry->metrics().counter("troupe_broadcaster_bytes_total", "stream");
  std::shared_ptr<const float[]> values;
  for (std::uint64_t version = 0; version < kVersions; ++version) {
    values = next_values(values, elements, 1);
    const Weights weights(version, std::string(32, 'a'), values, elements);
    const double before = sent.Value();
    const auto start = Clock::now();
    holder.publish(weights);
    for (const Receiver& one : receivers) one.wait_for_version();
    const double seconds = seconds_since(start);
    std::printf("%-15s version %d: all %d have it after %.3f s, the publisher sent %.0f MB\n", name,
                static_cast<int>(version), kReceivers, seconds, (sent.Value() - before) / 1e6);
    std::fflush(stdout);
  }
  for (const Receiver& one : receivers) one.end();
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t bytes = std::strtoull(argc > 1 ? argv[1] : "256", nullptr, 10) * 1'000'000;
  spread("flat", kReceivers, bytes);
  spread("tree, fan-out 2", 2, bytes);
}
