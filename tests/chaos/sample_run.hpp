#pragma once
// A small run on disk that kept every promise, to be doctored: one stage with a bound of 1, two updates of two tickets
// with two rollouts each; one ticket was issued again, one rollout was dropped.
#include "tests/chaos/run_files.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace troupe::chaos {

class SampleRun {
 public:
  SampleRun() {
    std::string name = "/tmp/troupe-chaos-XXXXXX";
    folder = mkdtemp(name.data());
    lineage = {
        Json{{"type", "lineage"}, {"troupe_lineage_version", 1}},
        Json{{"type", "rules"},
             {"stage", 2},
             {"staleness_bound", 1},
             {"first_version", 5},
             {"batch", 2},
             {"group_size", 2},
             {"updates", 2}},
        published(5),
        published(6),
        dropped(3, 0, 0, "generator_lost", 4),
        trained(1, 5, {rollout(0, 0, 5), rollout(0, 1, 5), rollout(1, 0, 5), rollout(1, 1, 5)}),
        published(7),
        trained(2, 6, {rollout(2, 0, 5), rollout(2, 1, 6), rollout(3, 0, 6, 1), rollout(3, 1, 6)})};
    held = {Json{{"type", "lineage"}}, holds(5), holds(6)};
    metrics = {Json{{"type", "run"}, {"started_at", "2026-01-31T00:00:00Z"}}, update(1, 5),
               update(2, 6), ledger()};
    faults = {Json{{"time", 1769817603.5}, {"fault", "kill -9"}, {"name", "gen-0"}},
              Json{{"exit", "up"}, {"code", 0}, {"expected", 0}}};
    summary = {{"ended", "done"}, {"peak_memory_bytes", 1000}};
  }
  ~SampleRun() { std::filesystem::remove_all(folder); }
  SampleRun(const SampleRun&) = delete;

  static std::string digest(int version) { return "digest-" + std::to_string(version); }
  static Json published(int version) {
    return {{"type", "published"}, {"version", version}, {"digest", digest(version)}};
  }
  static Json holds(int version) {
    return {{"type", "held"},
            {"generator", "gen-0"},
            {"version", version},
            {"digest", digest(version)}};
  }
  static const char* id(int ticket, int index) {  // rollout_id(42, ticket, index)
    static const char* const ids[4][2] = {{"6310bf04d8207f46", "b682ee25ce24109e"},
                                          {"2ce02c4ee4d2ea09", "5d396f908f79bb0b"},
                                          {"0684a9e565657c2e", "cb3f606839ee90d6"},
                                          {"77b243efcee10967", "f3ca65863a19d02b"}};
    return ids[ticket][index];
  }
  static Json rollout(int ticket, int index, int version, int attempt = 0) {
    return {{"id", id(ticket, index)},
            {"prompt", "000000000000002a"},
            {"generator", "gen-0"},
            {"verifier", "ver-0"},
            {"ticket", ticket},
            {"index", index},
            {"attempt", attempt},
            {"tokens", 10 + ticket},
            {"versions", {{version, 10 + ticket}}}};
  }
  static Json trained(int number, int version, const std::vector<Json>& rollouts) {
    return {{"type", "trained"},  {"stage", 2},       {"update", number},
            {"version", version}, {"refused", false}, {"rollouts", rollouts}};
  }
  static Json dropped(int ticket, int index, int attempt, const std::string& reason, int tokens) {
    return {{"type", "dropped"}, {"stage", 2},      {"id", id(ticket, index)},
            {"ticket", ticket},  {"index", index},  {"attempt", attempt},
            {"reason", reason},  {"tokens", tokens}};
  }
  static Json update(int number, int version) {
    return {{"type", "update"},      {"stage", 2},
            {"update", number},      {"version", version},
            {"seconds", 2 * number}, {"refused", false},
            {"trained_rollouts", 4}, {"weights_digest", digest(version + 1)}};
  }
  static Json ledger() {
    return {{"type", "ledger"},
            {"stage", 2},
            {"seconds", 5},
            {"imbalance_rollouts", 0},
            {"imbalance_tokens", 0},
            {"open_rollouts", 0},
            {"buffered_rollouts", 0},
            {"in_flight_rollouts", 0},
            {"generated_rollouts", 9},
            {"trained_rollouts", 8},
            {"trained_tokens", 2 * (10 + 11 + 12 + 13)},
            {"dropped_rollouts", {{"generator_lost", 1}}},
            {"dropped_tokens", {{"generator_lost", 4}}},
            {"tickets_granted", 4},
            {"tokens_beyond_bound", 0}};
  }

  Run read() {
    write_lineage(folder / "lineage.jsonl", lineage);
    std::filesystem::create_directories(folder / "processes" / "gen-0");
    const Json end = {{"lines", lineage.size()}, {"chain", last_chain_}};
    write_lineage(folder / "processes" / "gen-0" / "lineage.jsonl", held);
    write_lines(folder / "metrics.jsonl", metrics);
    write_lines(folder / "faults.jsonl", faults);
    Json whole = summary;
    whole["lineage"] = end;
    std::ofstream(folder / "summary.json") << whole;
    return read_run(folder);
  }

  std::filesystem::path folder;
  std::vector<Json> lineage, held, metrics, faults;
  Json summary;

 private:
  static void write_lines(const std::filesystem::path& file, const std::vector<Json>& lines) {
    std::ofstream stream(file);
    for (const Json& line : lines) stream << line << "\n";
  }
  void write_lineage(const std::filesystem::path& file, const std::vector<Json>& lines) {
    std::ofstream stream(file);
    last_chain_.clear();
    for (const Json& line : lines) {
      std::string text = line.dump();
      text.pop_back();
      last_chain_ = sha256(last_chain_ + text);
      stream << text << ",\"chain\":\"" << last_chain_ << "\"}\n";
    }
  }

  std::string last_chain_;
};

}  // namespace troupe::chaos
