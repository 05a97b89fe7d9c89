// What watching costs: a scrape of 50 generators with 200 series each, and the memory of a director's telemetry over a
// million rollouts.
#include "actors/telemetry/telemetry.hpp"
#include "tests/actors/telemetry/http_client.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <string>
#include <unistd.h>
#include <vector>

namespace troupe {
namespace {

constexpr int kGenerators = 50, kRounds = 40;
constexpr double kScrapeInterval = 5;  // seconds
constexpr std::uint64_t kRollouts = 1'000'000, kBatch = 256;

struct Folder {
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "troupe-bench-XXXXXX").string();
    path = mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

std::unique_ptr<Telemetry> quiet(const std::filesystem::path& folder,
                                 const std::vector<std::string>& roles) {
  TelemetryOptions options;
  options.run_directory = folder;
  options.quiet = true;
  options.run_name = "bench";
  options.roles = roles;
  options.metrics_port = 0;
  return std::make_unique<Telemetry>(options);
}

/// As busy as one in a run; and more actors than it has, until there are 200 series.
std::unique_ptr<Telemetry> generator(const std::filesystem::path& folder, int number) {
  auto telemetry = quiet(folder / std::to_string(number), {"generator"});
  for (int actor = 0; actor < 10; ++actor) {
    auto& seconds = telemetry->metrics().histogram("troupe_actor_message_seconds",
                                                   "actor-" + std::to_string(actor));
    for (int i = 0; i < 1000; ++i) seconds.Observe(1e-6 * i);
  }
  telemetry->metrics().counter("troupe_generator_generated_tokens_total").Increment(1e9);
  return telemetry;
}

double processor_seconds() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

void scrapes() {
  const Folder folder;
  std::vector<std::unique_ptr<Telemetry>> generators;
  for (int i = 0; i < kGenerators; ++i) generators.push_back(generator(folder.path, i));
  const std::string page = http_get(generators[0]->metrics_port(), "/metrics");
  std::size_t series = 0;
  for (std::size_t at = 0; (at = page.find("\ntroupe_", at)) != std::string::npos; ++at) ++series;
  std::vector<double> rounds;
  const double processor = processor_seconds();
  for (int round = 0; round < kRounds; ++round) {
    const auto begin = Clock::now();
    for (const auto& one : generators) http_get(one->metrics_port(), "/metrics");
    rounds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  const double each = (processor_seconds() - processor) / kRounds;
  std::sort(rounds.begin(), rounds.end());
  std::printf("%d generators, %zu series each, %zu bytes a page\n", kGenerators, series,
              page.size());
  std::printf("one after the other: %.1f ms (median of %d), %.1f ms at best\n",
              1e3 * rounds[kRounds / 2], kRounds, 1e3 * rounds[0]);
  std::printf("processor, both ends: %.1f ms, at every %.0f s %.2f %% of a core\n", 1e3 * each,
              kScrapeInterval, 100 * each / kScrapeInterval);
}

double resident_megabytes() {
  std::ifstream file("/proc/self/statm");
  double pages = 0;
  file >> pages >> pages;
  return pages * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1e6;
}

void memory() {
  const Folder folder;
  const auto telemetry = quiet(folder.path, {"director", "replay-buffer", "broadcaster"});
  telemetry->stage_begins(0, "rl", "reason", kRollouts / kBatch);
  LedgerRecord ledger;
  for (std::uint64_t done = 0, update = 0; done < kRollouts; done += kBatch) {
    ledger.tickets_granted += kBatch / 8;
    ledger.generated_rollouts += kBatch;
    ledger.trained_rollouts += kBatch;
    RolloutUpdateRecord record;
    record.update = static_cast<std::int32_t>(++update);
    record.version = update;
    record.lag_histogram = {100, 100, 56};
    record.weights_digest = std::string(64, 'a');
    telemetry->record(ledger);
    telemetry->record(record, Telemetry::Origin::elsewhere);
    telemetry->activity("replay-buffer").enter("append", true);
    telemetry->activity("replay-buffer").enter("wait", false);
    if (update % 100 == 0) http_get(telemetry->metrics_port(), "/metrics");
    if (update == 400 || update % 1000 == 0 || done + kBatch >= kRollouts)
      std::printf("%8.0f rollouts: %.1f MB resident\n", static_cast<double>(done + kBatch),
                  resident_megabytes());
  }
}

}  // namespace
}  // namespace troupe

int main() {
  troupe::scrapes();
  troupe::memory();
}
