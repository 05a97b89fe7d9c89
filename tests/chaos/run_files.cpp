#include "tests/chaos/run_files.hpp"

#include <openssl/sha.h>

#include <algorithm>
#include <fstream>
#include <iterator>

namespace troupe::chaos {
namespace {

namespace fs = std::filesystem;

/// The lines of a file; the last one without its line break is not whole, and left out.
std::vector<std::string> whole_lines(const fs::path& file, bool& torn) {
  std::ifstream stream(file, std::ios::binary);
  std::vector<std::string> lines;
  torn = false;
  for (std::string line; std::getline(stream, line);) {
    if (stream.eof())
      torn = true;
    else
      lines.push_back(line);
  }
  return lines;
}

Rollout rollout_of(const Json& line) {
  Rollout rollout;
  rollout.id = line.at("id");
  rollout.prompt = line.at("prompt");
  rollout.generator = line.at("generator");
  rollout.verifier = line.at("verifier");
  rollout.ticket = line.at("ticket");
  rollout.index = line.at("index");
  rollout.attempt = line.at("attempt");
  rollout.tokens = line.at("tokens");
  for (const Json& run : line.at("versions")) rollout.versions.emplace_back(run.at(0), run.at(1));
  return rollout;
}

Dropped dropped_of(const Json& line) {
  Dropped dropped{line.at("stage"), line.at("id"),      line.at("reason"), line.at("ticket"),
                  line.at("index"), line.at("attempt"), std::nullopt};
  dropped.part = line.value("part", false);
  if (line.contains("tokens")) dropped.tokens = line["tokens"].get<std::uint64_t>();
  return dropped;
}

/// `first_hand`: written where the ledger is.
void take(Run& run, const std::string& file, bool first_hand, const Json& line) {
  const std::string type = line.at("type");
  if (type == "rules") {
    run.rules[line.at("stage")] = {line.at("staleness_bound"), line.at("first_version"),
                                   line.at("batch"), line.at("group_size"), line.at("updates")};
  } else if (type == "trained") {
    Update update{line.at("stage"), line.at("update"), line.at("version"), line.at("refused"), {}};
    for (const Json& rollout : line.at("rollouts")) update.rollouts.push_back(rollout_of(rollout));
    run.updates.push_back(std::move(update));
  } else if (type == "dropped") {
    run.dropped.push_back(dropped_of(line));
  } else if (type == "published") {
    if (first_hand)
      run.published.emplace_back(line.at("version"), line.at("digest"));
    else  // a broadcaster elsewhere hands on what it was given
      run.held.push_back({file, "a broadcaster", line.at("digest"), line.at("version")});
  } else if (type == "held") {
    run.held.push_back({file, line.at("generator"), line.at("digest"), line.at("version")});
  }
}

/// The chain of each line, as it should be; damage where it is another. A process that was killed may leave half a line.
std::vector<std::string> read_lineage(Run& run, const fs::path& file, bool first_hand) {
  const std::string name = fs::relative(file, run.directory).string();
  bool torn = false;
  std::vector<std::string> chains;
  std::string chain;
  for (const std::string& line : whole_lines(file, torn)) {
    const std::string where = name + " line " + std::to_string(chains.size() + 1);
    const std::size_t mark = line.rfind(",\"chain\":\"");
    chain = sha256(chain + line.substr(0, mark));
    if (mark == std::string::npos || line.substr(mark) != ",\"chain\":\"" + chain + "\"}") {
      run.damage.push_back(where + ": not what was written (its chain is another)");
      break;  // all after it would be reported too
    }
    chains.push_back(chain);
    ++run.lineage_lines;
    try {
      take(run, name, first_hand, Json::parse(line));
    } catch (const Json::exception& error) {
      run.damage.push_back(where + ": " + error.what());
    }
  }
  if (torn && first_hand) run.damage.push_back(name + ": the last line is not whole");
  return chains;
}

Json read_summary(const fs::path& directory) {
  std::ifstream file(directory / "summary.json");
  return Json::parse(file, nullptr, false);
}

/// Beside the ledger: in the run directory, or in that of the replay buffer's process.
fs::path history_of(const fs::path& directory) {
  const fs::path apart = directory / "processes" / "replay-buffer";
  return (fs::exists(apart) ? apart : directory) / "lineage.jsonl";
}

void check_end(Run& run, const Json& summary, const std::vector<std::string>& chains) {
  const Json end = summary.is_object() ? summary.value("lineage", Json::object()) : Json::object();
  const std::size_t lines = end.value("lines", std::size_t{0});
  if (lines == 0 || lines > chains.size() || end.value("chain", "") != chains[lines - 1])
    run.damage.push_back("lineage.jsonl: does not end as summary.json says");
}

std::vector<Json> read_lines(Run& run, const fs::path& file) {
  bool torn = false;
  std::vector<Json> lines;
  for (const std::string& line : whole_lines(file, torn)) {
    lines.push_back(Json::parse(line, nullptr, false));
    if (lines.back().is_discarded()) {
      run.damage.push_back(file.filename().string() + " line " + std::to_string(lines.size()) +
                           ": no JSON");
      lines.pop_back();
    }
  }
  return lines;
}

}  // namespace

std::string sha256(const std::string& text) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  constexpr const char* kDigits = "0123456789abcdef";
  std::string hex;
  for (const unsigned char byte : digest) {
    hex += kDigits[byte / 16];
    hex += kDigits[byte % 16];
  }
  return hex;
}

std::vector<Json> Run::lines(const std::string& type) const {
  std::vector<Json> found;
  std::copy_if(metrics.begin(), metrics.end(), std::back_inserter(found),
               [&](const Json& line) { return line.value("type", "") == type; });
  return found;
}

Run read_run(const fs::path& directory) {
  Run run;
  run.directory = directory;
  run.summary = read_summary(directory);
  if (run.summary.is_discarded()) {
    run.summary = Json::object();
    run.damage.push_back("summary.json: missing, or no JSON");
  }
  run.metrics = read_lines(run, directory / "metrics.jsonl");
  if (run.metrics.empty()) run.damage.push_back("metrics.jsonl: missing, or empty");
  run.faults = read_lines(run, directory / "faults.jsonl");
  const fs::path history = history_of(directory);
  check_end(run, read_summary(history.parent_path()), read_lineage(run, history, true));
  for (const char* below : {"processes"}) {
    if (!fs::exists(directory / below)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(directory / below))
      if (entry.path().filename() == "lineage.jsonl" && entry.path() != history)
        read_lineage(run, entry.path(), false);
  }
  return run;
}

}  // namespace troupe::chaos
