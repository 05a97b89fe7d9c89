#include "actors/telemetry/rollout_log.hpp"

#include "actors/telemetry/text.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

namespace troupe {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kShelf = 128;
constexpr double kFarApart = 0.1;  // nats

template <class T>
void shorten(std::deque<T>& list, std::size_t most) {
  while (list.size() > most) list.pop_back();
}

}  // namespace

std::uint64_t RolloutView::lag() const {
  if (versions.empty() || versions.front().first > trained_at) return 0;
  return trained_at - versions.front().first;
}

std::optional<double> RolloutView::gap() const {
  if (learner_log_probs.empty()) return std::nullopt;
  double most = 0;
  for (std::size_t i = 0; i < std::min(log_probs.size(), learner_log_probs.size()); ++i)
    most = std::max(most, std::abs(static_cast<double>(log_probs[i]) -
                                   static_cast<double>(learner_log_probs[i])));
  return most;
}

std::string rollout_line(const RolloutView& r) {
  Json line = {{"type", "rollout"},
               {"id", r.id},
               {"prompt_uid", r.prompt_uid},
               {"stage", r.stage},
               {"update", r.update},
               {"trained_at", r.trained_at},
               {"update_refused", r.update_refused},
               {"ticket", r.ticket},
               {"index", r.index},
               {"attempt", r.attempt},
               {"generator", r.generator},
               {"verifier", r.verifier},
               {"outcome", r.outcome},
               {"reason", r.reason},
               {"reward", r.reward},
               {"accuracy", r.accuracy},
               {"format", r.format},
               {"truncated", r.truncated},
               {"prompt_tokens", r.prompt_tokens},
               {"completion_tokens", r.completion_tokens},
               {"pieces", r.pieces},
               {"log_probs", r.log_probs},
               {"learner_log_probs", r.learner_log_probs},
               {"versions", Json::array()}};
  for (const auto& [version, tokens] : r.versions) line["versions"].push_back({version, tokens});
  return dump_json(line);
}

std::optional<RolloutView> rollout_of_line(const std::string& text) {
  const auto line = nlohmann::json::parse(text, nullptr, false);
  if (!line.is_object() || line.value("type", "") != "rollout") return std::nullopt;
  try {
    RolloutView r;
    line.at("id").get_to(r.id);
    line.at("prompt_uid").get_to(r.prompt_uid);
    line.at("stage").get_to(r.stage);
    line.at("update").get_to(r.update);
    line.at("trained_at").get_to(r.trained_at);
    line.at("update_refused").get_to(r.update_refused);
    line.at("ticket").get_to(r.ticket);
    line.at("index").get_to(r.index);
    line.at("attempt").get_to(r.attempt);
    line.at("generator").get_to(r.generator);
    line.at("verifier").get_to(r.verifier);
    line.at("outcome").get_to(r.outcome);
    line.at("reason").get_to(r.reason);
    line.at("reward").get_to(r.reward);
    line.at("accuracy").get_to(r.accuracy);
    line.at("format").get_to(r.format);
    line.at("truncated").get_to(r.truncated);
    line.at("prompt_tokens").get_to(r.prompt_tokens);
    line.at("completion_tokens").get_to(r.completion_tokens);
    line.at("pieces").get_to(r.pieces);
    line.at("log_probs").get_to(r.log_probs);
    line.at("learner_log_probs").get_to(r.learner_log_probs);
    line.at("versions").get_to(r.versions);
    return r;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;  // of another program
  }
}

bool flagged(const RolloutView& rollout) {
  return rollout.truncated || rollout.update_refused || rollout.outcome == "unverifiable" ||
         rollout.gap().value_or(0) > kFarApart;
}

RolloutShelf::RolloutShelf(std::size_t most_each) : most_(most_each) {}

void RolloutShelf::add(std::shared_ptr<const RolloutView> rollout) {
  ++added_;
  newest_.push_front(rollout);
  shorten(newest_, most_);
  if (flagged(*rollout)) flagged_.push_front(rollout);
  shorten(flagged_, most_);
  const auto place =
      std::upper_bound(worst_.begin(), worst_.end(), rollout->reward,
                       [](double reward, const auto& other) { return reward < other->reward; });
  worst_.insert(place, std::move(rollout));
  shorten(worst_, most_);
}

std::vector<std::shared_ptr<const RolloutView>> RolloutShelf::all() const {
  std::set<const RolloutView*> seen;
  std::vector<std::shared_ptr<const RolloutView>> out;
  for (const auto* list : {&newest_, &worst_, &flagged_})
    for (const auto& rollout : *list)
      if (seen.insert(rollout.get()).second) out.push_back(rollout);
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return std::pair(a->stage, a->update) > std::pair(b->stage, b->update);
  });
  return out;
}

RolloutLog::RolloutLog(const std::filesystem::path& file, Terms terms, Hearer hearer)
    : terms_(std::move(terms)), hearer_(std::move(hearer)), shelf_(kShelf) {
  if (terms_.piece) file_.emplace(file);
}

void RolloutLog::show(const ShownRollout& rollout) {
  std::function<void(const ShownRollout&)> handed_to;
  {
    const std::lock_guard lock(mutex_);
    handed_to = handed_to_;
  }
  if (handed_to) handed_to(rollout);
  if (!terms_.piece) return;
  std::optional<RolloutView> view = view_of(rollout.read(), terms_.piece);
  view ? add(*std::move(view)) : hearer_.unreadable();
}

void RolloutLog::hand_on(std::function<void(const ShownRollout&)> to) {
  const std::lock_guard lock(mutex_);
  handed_to_ = std::move(to);
}

void RolloutLog::add(RolloutView rollout) {
  const auto kept = std::make_shared<const RolloutView>(std::move(rollout));
  std::string problem;
  {
    const std::lock_guard lock(mutex_);
    shelf_.add(kept);
    if (full_ || !file_) return;
    problem = write(rollout_line(*kept));
  }
  if (!problem.empty()) hearer_.lost(problem);
}

/// Why the line is not in the file; empty: it is, or that was told before.
std::string RolloutLog::write(const std::string& line) {
  full_ = bytes_ + line.size() > terms_.most_bytes;
  if (full_) return "rollouts.jsonl is full; what comes is shown, but not written";
  bytes_ += line.size();
  return file_->write(line) ? ""
                            : "a line of rollouts.jsonl is lost (disk full?); later losses are not "
                              "reported";
}

std::vector<std::shared_ptr<const RolloutView>> RolloutLog::all() const {
  const std::lock_guard lock(mutex_);
  return shelf_.all();
}

std::uint64_t RolloutLog::added() const {
  const std::lock_guard lock(mutex_);
  return shelf_.added();
}

}  // namespace troupe
