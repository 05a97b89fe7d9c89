#include "actors/config/check.hpp"

#include "actors/config/schema.hpp"
#include "actors/config/value.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

namespace troupe::config {
namespace {

using Keys = std::vector<std::string>;

std::string text(std::int64_t number) {
  return std::to_string(number);
}

bool all_digits(std::string_view word) {
  return !word.empty() && word.find_first_not_of("0123456789") == std::string_view::npos;
}

// Lengths in tokens of the built-in task: one token per character and per tag (recipe:
// <bos>478+365= and what follows it).
std::int64_t prompt_tokens(std::int64_t digits) {
  return 2 * digits + 3;
}
std::int64_t worked_tokens(std::int64_t digits) {
  return 10 * digits + 5;
}
std::int64_t longest(const std::vector<std::int32_t>& digits) {
  return digits.empty() ? 0 : *std::max_element(digits.begin(), digits.end());
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(separator, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

/// Of "host:port"; nothing if it is not one.
std::optional<std::string> host_of(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0) return std::nullopt;
  const std::string port = address.substr(colon + 1);
  constexpr std::size_t kDigits = 5;
  constexpr int kLastPort = 65535;
  if (!all_digits(port) || port.size() > kDigits || std::stoi(port) > kLastPort)
    return std::nullopt;
  return address.substr(0, colon);
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "[::1]" || host.starts_with("127.");
}

class Checker {
 public:
  Checker(const Config& config, const Record& record, const DeviceProblem& device_problem,
          std::vector<ConfigProblem>& problems, std::vector<ConfigProblem>& warnings)
      : config_(config),
        record_(record),
        device_problem_(device_problem),
        problems_(problems),
        warnings_(warnings) {}

  void run() {
    names();
    model();
    task();
    lengths();
    buffer();
    objective();
    ranks();
    network();
    if (config_.stages.empty())
      problem({"stage"}, "there is no stage, so nothing would be done",
              "add a [[stage]] table, for example with kind = \"rl\"");
    for (std::size_t i = 0; i < config_.stages.size(); ++i) stage(i);
  }

  void address(const std::string& key, const std::string& text) {
    const auto host = host_of(text);
    if (!host)
      problem({key}, to_toml(text) + " is not an address",
              "give host:port, for example \"127.0.0.1:7420\"");
    else if (config_.network.insecure && !is_loopback(*host))
      problem({key, "network.insecure"},
              "plain TCP to " + to_toml(*host) + " could be read and changed by others",
              "use a loopback address, or certificates (network.pki, troupe pki)");
  }

  void network() {
    const NetworkConfig& network = config_.network;
    for (const auto& each : split(network.director, ',')) address("network.director", each);
    if (network.replay_buffer_apart())
      for (const auto& each : split(network.replay_buffer, ','))
        address("network.replay-buffer", each);
    if (network.broadcaster_apart()) address("network.broadcaster", network.broadcaster);
    if (network.learner_has_gate()) learner_gate();
    if (network.ranks_apart()) ranks_apart();
    if (network.listen != NetworkConfig::kOwnAddress) address("network.listen", network.listen);
    if (network.limits.heartbeat_seconds * 2 > network.limits.silence_seconds)
      problem({"network.heartbeat-seconds", "network.silence-seconds"},
              "a living peer could be taken for dead between two pings",
              "give at most half of network.silence-seconds");
  }

  void learner_gate() {
    address("network.learner", config_.network.learner);
    if (!config_.network.broadcaster_apart())
      warning(
          {"network.learner", "network.broadcaster"},
          "nobody takes weights at the learner's gate: the broadcaster is beside the replay buffer",
          "set network.broadcaster = \"HOST:PORT\", or network.learner = \"apart\"");
  }

  void ranks_apart() {
    const NetworkConfig& network = config_.network;
    const std::vector<std::string> addresses = network.rank_addresses();
    for (const auto& each : addresses) address("network.learner-ranks", each);
    if (config_.learner.ranks == 1)
      problem({"network.learner-ranks", "learner.ranks"}, "one rank has nobody to meet",
              "set learner.ranks to 2 or more, or learner-ranks = \"threads\"");
    else if (addresses.size() != static_cast<std::size_t>(config_.learner.ranks))
      problem({"network.learner-ranks", "learner.ranks"},
              text(static_cast<std::int64_t>(addresses.size())) + " addresses for " +
                  text(config_.learner.ranks) + " ranks",
              "give the host:port of each rank's process, or \"threads\"");
    if (!network.learner_apart())
      problem({"network.learner-ranks", "network.learner"},
              "rank 0 would be in the director's process",
              "set network.learner = \"apart\", or learner-ranks = \"threads\"");
  }

 private:
  /// keys: the one it is about first, then the others that took part.
  void problem(const Keys& keys, const std::string& message, const std::string& remedy) {
    report(problems_, keys, message, remedy);
  }
  void warning(const Keys& keys, const std::string& message, const std::string& remedy) {
    report(warnings_, keys, message, remedy);
  }
  void report(std::vector<ConfigProblem>& to, const Keys& keys, const std::string& message,
              const std::string& remedy) {
    for (const auto& key : keys)
      if (record_.refused.count(key) != 0) return;
    const Place place = place_of(keys);
    to.push_back({place.file, keys.front(), message, remedy, place.line, place.column});
  }
  /// The first of the keys that was given at all; else the stage's table, else the top of the file.
  Place place_of(const Keys& keys) const {
    for (const auto& key : keys)
      if (const auto found = record_.set.find(key); found != record_.set.end())
        return found->second;
    for (std::size_t i = 0; i < record_.stages.size(); ++i)
      if (keys.front().rfind(stage_key(i, ""), 0) == 0) return record_.stages[i];
    return record_.file;
  }
  bool given(const std::string& key) const { return record_.set.count(key) != 0; }
  bool has_rl() const {
    return std::any_of(config_.stages.begin(), config_.stages.end(),
                       [](const auto& s) { return s.kind == "rl"; });
  }

  void names() {
    const auto& name = config_.run.name;
    if (name == "." || name == ".." || name.find('/') != std::string::npos)
      problem({"run.name"}, to_toml(name) + " cannot be the name of a folder",
              "leave out '/'; the place is run.out");
    const auto& device = config_.run.device;
    const bool numbered =
        device.rfind("cuda:", 0) == 0 && all_digits(std::string_view(device).substr(5));
    if (device != "auto" && device != "cpu" && device != "cuda" && !numbered)
      problem({"run.device"}, to_toml(device) + " is not a device",
              "give \"auto\", \"cpu\" or \"cuda:N\" with the index of a GPU");
    else if (device_problem_)
      if (const std::string why = device_problem_(device); !why.empty())
        warning({"run.device"}, "troupe train would not start on this machine: " + why, "");
    unsigned char address[sizeof(in6_addr)];
    const char* wanted = config_.metrics.address.c_str();
    if (inet_pton(AF_INET, wanted, address) != 1 && inet_pton(AF_INET6, wanted, address) != 1)
      problem({"metrics.address"}, to_toml(config_.metrics.address) + " is not an IP address",
              "give one of this machine, for example \"127.0.0.1\"");
  }

  void model() {
    const auto& m = config_.model;
    if (!m.path.empty()) {
      if (!std::filesystem::exists(m.path / "config.json"))
        problem({"model.path"}, to_toml(m.path.string()) + " has no config.json",
                "give a model folder in Hugging Face layout");
      return;
    }
    if (m.heads % m.kv_heads != 0)
      problem({"model.kv-heads", "model.heads"},
              text(m.kv_heads) + " does not divide heads = " + text(m.heads),
              "choose kv-heads so that each has the same number of query heads");
    if (m.head_dim == 0 && m.hidden % m.heads != 0) {
      problem({"model.hidden", "model.heads"},
              text(m.hidden) + " is not a multiple of heads = " + text(m.heads),
              "change one of them, or give head-dim");
      return;
    }
    const auto head_dim = m.head_dim != 0 ? m.head_dim : m.hidden / m.heads;
    if (head_dim % 2 == 0) return;
    if (m.head_dim != 0)
      problem({"model.head-dim"}, text(head_dim) + " is odd, but rotary embeddings turn pairs",
              "give an even number");
    else
      problem({"model.hidden", "model.heads"},
              "hidden / heads = " + text(head_dim) + " is odd, but rotary embeddings turn pairs",
              "change one of them, or give an even head-dim");
  }

  void task() {
    const auto& t = config_.task;
    if (t.kind == "jsonl") {
      if (t.prompts.empty())
        problem({"task.prompts", "task.kind"}, "kind = \"jsonl\" needs a file of prompts",
                "give the path of an existing file");
      if (t.held_out.empty())
        warning({"task.held-out", "task.kind"},
                "no file of held-out prompts: evaluation uses sums of the built-in task",
                "give a file with prompts and answers");
      return;
    }
    const std::string remedy = "remove it, or set task.kind = \"jsonl\"";
    if (!t.prompts.empty())
      problem({"task.prompts", "task.kind"}, "is read only if task.kind = \"jsonl\"", remedy);
    if (!t.held_out.empty())
      problem({"task.held-out", "task.kind"}, "is read only if task.kind = \"jsonl\"", remedy);
    if (t.shuffle)
      problem({"task.shuffle", "task.kind"}, "has an effect only if task.kind = \"jsonl\"", remedy);
  }

  void lengths() {
    if (config_.task.kind != "addition") return;
    const auto digits = longest(config_.task.digits);
    fits("generator.max-new-tokens", config_.generator.max_new_tokens, digits);
    fits("evaluation.max-new-tokens", config_.evaluation.max_new_tokens, digits);
    if (has_rl() && config_.generator.max_new_tokens < worked_tokens(digits))
      warning({"generator.max-new-tokens", "task.digits"},
              text(config_.generator.max_new_tokens) + " tokens cut every worked answer of " +
                  text(digits) + " digits, which has " + text(worked_tokens(digits)),
              "give at least " + text(worked_tokens(digits)));
  }
  void fits(const std::string& key, std::int64_t new_tokens, std::int64_t digits) {
    const auto needed = prompt_tokens(digits) + new_tokens;
    if (!config_.model.path.empty() || needed <= config_.model.max_positions) return;
    problem(
        {key, "model.max-positions", "task.digits"},
        "prompts of " + text(prompt_tokens(digits)) + " tokens and " + text(new_tokens) +
            " new ones do not fit into model.max-positions = " + text(config_.model.max_positions),
        "give max-positions of at least " + text(needed) + ", or fewer tokens");
  }

  void buffer() {
    const auto& b = config_.replay_buffer;
    if (!has_rl()) return;
    if (b.group_size < 2)
      problem({"replay-buffer.group-size"},
              "a group of 1 has nothing to compare with, so every group would be dropped",
              "give at least 2");
    if (b.staleness_bound > 4)
      warning({"replay-buffer.staleness-bound"},
              "tokens " + text(b.staleness_bound) + " versions old slow the learning down",
              "4 or less loses little; 1 or 2 already let generation and training overlap");
    if (config_.generator.slots < b.group_size)
      warning({"generator.slots", "replay-buffer.group-size"},
              "a group of " + text(b.group_size) + " does not fit into " +
                  text(config_.generator.slots) + " slots, so its prompt is run more than once",
              "give at least as many slots as group-size");
  }

  void ranks() {
    const LearnerConfig& l = config_.learner;
    const bool apart = config_.network.ranks_apart();
    if (l.ranks > 1 && !apart && config_.run.device.rfind("cuda", 0) == 0)
      problem({"learner.ranks", "run.device"},
              text(l.ranks) + " ranks that are threads would share one GPU",
              "give each a process (network.learner-ranks), or set ranks = 1 or run.device = "
              "\"cpu\"");
    if (l.communicator == "nccl" && !apart)
      problem({"learner.communicator", "network.learner-ranks"},
              "only ranks that are processes exchange by NCCL",
              "give the host:port of each rank's process, or set communicator = \"auto\"");
    if (l.ranks > 1 && l.rank_deadline_seconds >= config_.director.stall_deadline_seconds)
      warning({"learner.rank-deadline-seconds", "director.stall-deadline-seconds"},
              "a lost rank would be taken for a run that stands still",
              "give less than stall-deadline-seconds");
    if (l.ranks == 1 && l.shard_optimizer)
      warning({"learner.shard-optimizer", "learner.ranks"},
              "one rank holds the whole state all the same", "set ranks to 2 or more");
  }

  void objective() {
    const auto& o = config_.learner.update.objective;
    if (o.dual_clip != 0 && o.dual_clip <= 1)
      problem({"learner.dual-clip"},
              number_text(o.dual_clip) + " would clip ratios that have not moved",
              "give a number above 1, 3 for example, or 0 for none");
    if (!has_rl()) return;
    const auto rollouts =
        std::int64_t{config_.replay_buffer.batch} * config_.replay_buffer.group_size;
    if (o.minibatches > rollouts)
      problem({"learner.minibatches", "replay-buffer.batch", "replay-buffer.group-size"},
              text(o.minibatches) + " minibatches cannot be made of the " + text(rollouts) +
                  " rollouts of a batch",
              "give fewer minibatches, or a larger replay-buffer.batch");
    if (config_.verifier.accuracy_reward == 0 && config_.verifier.format_reward == 0)
      problem({"verifier.accuracy-reward", "verifier.format-reward"},
              "both rewards are 0, so no group would have a signal",
              "give one of them another value");
    corrections(o);
    filters();
  }
  void corrections(const gpu::ObjectiveConfig& o) {
    if (o.correction == gpu::Correction::none)
      warning({"learner.correction"},
              "\"none\" never clips; runs with weights 4 or more versions old collapsed",
              "use \"ppo\"");
    if (o.correction == gpu::Correction::decoupled && o.minibatches == 1)
      warning({"learner.correction", "learner.minibatches"},
              "with one minibatch the decoupled ratio is always 1, so it never clips",
              "use \"ppo\", or two minibatches or more");
  }
  void filters() {
    const std::string message =
        "the learner's ratios are taken before this filter, so they are biased";
    if (config_.generator.top_k != 0)
      warning({"generator.top-k"}, message, "set it to 0 for rl stages");
    if (config_.generator.top_p != 1)
      warning({"generator.top-p"}, message, "set it to 1 for rl stages");
  }

  void stage(std::size_t i) {
    const auto& s = config_.stages[i];
    if (!given(stage_key(i, "kind"))) {
      problem({stage_key(i, "kind")}, "a stage needs a kind",
              "give one of \"pretrain\", \"sft\", \"rl\", \"eval\"");
      return;
    }
    if (record_.refused.count(stage_key(i, "kind")) != 0) return;
    if (all_digits(s.name))
      problem({stage_key(i, "name")}, to_toml(s.name) + " could be taken for the number of a stage",
              "choose a name with a letter");
    if (s.kind == "eval") return;
    if (!given(stage_key(i, "updates")))
      problem({stage_key(i, "updates")}, "a stage of kind " + to_toml(s.kind) + " needs its length",
              "give updates = N");
    if (s.updates > 0 && s.warmup_updates > s.updates)
      warning(
          {stage_key(i, "warmup-updates"), stage_key(i, "updates")},
          "the stage ends after " + text(s.updates) + " updates, before the learning rate is up",
          "give a shorter warm-up");
    if (s.kind == "rl")
      first_rl(i);
    else
      supervised(i);
  }
  void first_rl(std::size_t i) {
    if (i == 0 && config_.model.path.empty())
      warning({stage_key(i, "kind"), "model.path"},
              "rl starts from random weights, which no reward will reach",
              "put a pretrain stage before it, or give model.path");
  }
  void supervised(std::size_t i) {
    const auto& s = config_.stages[i];
    if (i == 0 && s.keep_optimizer)
      problem({stage_key(i, "keep-optimizer")}, "there is no stage before this one", "remove it");
    if (!s.documents.empty()) return;
    mix(i);
    const auto digits = longest(s.digits);
    const auto needed = prompt_tokens(digits) + worked_tokens(digits);
    if (config_.model.path.empty() && needed > config_.model.max_positions)
      problem({stage_key(i, "digits"), "model.max-positions", "task.digits"},
              "documents of " + text(digits) + " digits have " + text(needed) +
                  " tokens and do not fit into model.max-positions = " +
                  text(config_.model.max_positions),
              "give max-positions of at least " + text(needed) + ", or fewer digits");
    if (s.gate > 0 && s.gate_limit < s.updates)
      problem({stage_key(i, "gate-limit"), stage_key(i, "updates")},
              text(s.gate_limit) + " is less than updates = " + text(s.updates),
              "give at least as many as updates");
  }
  void mix(std::size_t i) {
    const auto& m = config_.stages[i].mix;
    const double sum = m.bare + m.direct + m.work + m.broken;
    // Shares are typed as decimals, whose sum may miss 1 by rounding.
    if (std::abs(sum - 1) < 1e-9) return;
    Keys keys;
    for (const auto* share : {"work", "direct", "bare", "broken"})
      keys.push_back(stage_key(i, share));
    const auto first =
        std::find_if(keys.begin(), keys.end(), [&](const auto& key) { return given(key); });
    if (first != keys.end()) std::iter_swap(keys.begin(), first);
    problem(keys,
            "the shares of bare, direct, work and broken are " + number_text(m.bare) + ", " +
                number_text(m.direct) + ", " + number_text(m.work) + " and " +
                number_text(m.broken) + ", which is " + number_text(rounded(sum)) + " together",
            "make them add up to 1; shares left out are 0, except work = 1");
  }
  static double rounded(double number) { return std::round(number * 1e9) / 1e9; }

  const Config& config_;
  const Record& record_;
  const DeviceProblem& device_problem_;
  std::vector<ConfigProblem>&problems_, &warnings_;
};

}  // namespace

std::string stage_key(std::size_t index, const std::string& key) {
  return "stage." + std::to_string(index + 1) + "." + key;
}

void check(const Config& config, const Record& record, const DeviceProblem& device_problem,
           std::vector<ConfigProblem>& problems, std::vector<ConfigProblem>& warnings) {
  Checker(config, record, device_problem, problems, warnings).run();
}

}  // namespace troupe::config

namespace troupe {

std::vector<std::string> NetworkConfig::rank_addresses() const {
  return config::split(learner_ranks, ',');
}

}  // namespace troupe
