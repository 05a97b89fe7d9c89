#include "gpu/sampling/continuous_batch.hpp"

#include "gpu/error.hpp"
#include "gpu/sampling/philox.hpp"

#include <algorithm>
#include <utility>

namespace troupe::gpu {
namespace {

/// Errors: throws gpu::Error if the parts do not agree.
Completion begun_completion(std::uint64_t rollout, BegunCompletion begun) {
  std::size_t stamped = 0;
  for (const VersionRun& run : begun.versions) stamped += run.count;
  if (begun.log_probs.size() != begun.tokens.size() || stamped != begun.tokens.size())
    throw Error("a begun completion needs a log-prob and a version for each of its tokens");
  return {rollout, std::move(begun.tokens), std::move(begun.log_probs), std::move(begun.versions),
          FinishReason::length};
}

}  // namespace

ContinuousBatch::ContinuousBatch(Engine& engine, SamplingParams params, std::uint64_t seed,
                                 CacheAfterSwap cache)
    : engine_(engine), sampler_(engine.vocab(), std::move(params)), seed_(seed), cache_(cache) {}

void ContinuousBatch::submit(GenerationRequest request) {
  if (request.prompt.empty()) throw Error("a prompt needs at least one token");
  const std::size_t needed =
      request.prompt.size() + static_cast<std::size_t>(sampler_.params().max_new_tokens);
  if (needed > static_cast<std::size_t>(engine_.capacity())) {
    throw Error("a prompt of " + std::to_string(request.prompt.size()) + " tokens and " +
                std::to_string(sampler_.params().max_new_tokens) + " new ones need a capacity of " +
                std::to_string(needed) + " tokens per slot, the engine has " +
                std::to_string(engine_.capacity()));
  }
  require_known(request.prompt, "prompt");
  require_known(request.begun.tokens, "begun");
  Completion completion = begun_completion(request.rollout, std::move(request.begun));
  if (!completion.tokens.empty()) {
    if (finished(completion)) return finished_.push_back(std::move(completion));
    request.min_version = std::max(request.min_version, completion.versions.back().version);
  }
  waiting_.push_back({std::move(request), std::move(completion)});
}

void ContinuousBatch::require_known(const std::vector<std::int32_t>& tokens,
                                    const char* what) const {
  for (const std::int32_t token : tokens) {
    if (token < 0 || token >= engine_.vocab()) {
      throw Error(what + (" token " + std::to_string(token)) + " is not in the vocabulary of " +
                  std::to_string(engine_.vocab()));
    }
  }
}

void ContinuousBatch::swap(const PreparedPtr& weights, std::uint64_t version) {
  if (has_weights_ && version < version_ && !live_.empty()) {
    throw Error("weights of version " + std::to_string(version) + " come after version " +
                std::to_string(version_) + ": the versions within a completion must ascend");
  }
  engine_.swap(weights);
  version_ = version;
  has_weights_ = true;
  if (cache_ == CacheAfterSwap::recompute) {
    for (Live& live : live_) live.cached = 0;
  }
}

bool ContinuousBatch::can_step() const {
  if (!has_weights_) return false;
  return !live_.empty() || (!waiting_.empty() && !held_up());
}

std::size_t ContinuousBatch::step() {
  if (!can_step()) return 0;
  join();
  collect_rows();
  logits_.resize(wanted_.size() * static_cast<std::size_t>(engine_.vocab()));
  engine_.forward(rows_, wanted_, logits_.data());
  for (std::size_t slot = 0; slot < live_.size(); ++slot) {
    Live& live = live_[slot];
    live.cached = static_cast<std::int32_t>(live.length());
    if (live.leader == static_cast<std::int32_t>(slot)) continue;
    engine_.copy_prefix(live.leader, static_cast<std::int32_t>(slot), live.cached);
    live.logits_row = live_[static_cast<std::size_t>(live.leader)].logits_row;
    live.leader = static_cast<std::int32_t>(slot);
  }
  for (Live& live : live_) sample(live);
  const std::size_t sampled = live_.size();
  sampled_tokens_ += sampled;
  // From the back: whatever moves into a freed slot has been looked at.
  for (std::size_t slot = live_.size(); slot-- > 0;) {
    if (finished(live_[slot].completion)) leave(slot);
  }
  return sampled;
}

/// A prompt pass costs about as much as a decode step whatever its size, so while others decode a
/// few free slots wait for company: a sixteenth of the slots, or all that is waiting.
void ContinuousBatch::join() {
  const std::size_t free = static_cast<std::size_t>(engine_.slots()) - live_.size();
  const std::size_t company =
      std::max<std::size_t>(1, static_cast<std::size_t>(engine_.slots()) / 16);
  if (!live_.empty() && free < std::min(waiting_.size(), company)) return;
  while (!waiting_.empty() && !held_up() &&
         live_.size() < static_cast<std::size_t>(engine_.slots())) {
    live_.emplace_back();
    Live& live = live_.back();
    live.request = std::move(waiting_.front().request);
    live.completion = std::move(waiting_.front().completion);
    waiting_.pop_front();
    live.begun = live.completion.tokens.size();
    live.leader = leader_of_newest();
  }
}

/// The newest sequence may use the prompt pass of its neighbour if that one has just joined as
/// well.
std::int32_t ContinuousBatch::leader_of_newest() const {
  const auto own_slot = static_cast<std::int32_t>(live_.size() - 1);
  if (own_slot == 0) return own_slot;
  const Live& newest = live_.back();
  const Live& neighbour = live_[live_.size() - 2];
  const bool shares = neighbour.completion.tokens.empty() && newest.completion.tokens.empty() &&
                      neighbour.request.group == newest.request.group &&
                      neighbour.request.prompt == newest.request.prompt;
  return shares ? neighbour.leader : own_slot;
}

void ContinuousBatch::collect_rows() {
  rows_.clear();
  wanted_.clear();
  for (std::size_t i = 0; i < live_.size(); ++i) {
    Live& live = live_[i];
    const auto slot = static_cast<std::int32_t>(i);
    if (live.leader != slot) {
      shared_tokens_ += live.request.prompt.size();
      continue;
    }
    if (live.completion.tokens.size() == live.begun) prompt_tokens_ += live.length();
    const auto length = static_cast<std::int32_t>(live.length());
    for (std::int32_t position = live.cached; position < length; ++position) {
      rows_.push_back({slot, position, live.token(static_cast<std::size_t>(position))});
    }
    live.logits_row = wanted_.size();
    wanted_.push_back(static_cast<std::int32_t>(rows_.size()) - 1);
  }
}

void ContinuousBatch::sample(Live& live) {
  Completion& completion = live.completion;
  const float* logits =
      logits_.data() + live.logits_row * static_cast<std::size_t>(engine_.vocab());
  const double draw = uniform(seed_, completion.rollout, completion.tokens.size());
  const Choice choice = sampler_.sample(logits, draw);
  completion.tokens.push_back(choice.token);
  completion.log_probs.push_back(choice.log_prob);
  if (completion.versions.empty() || completion.versions.back().version != version_) {
    completion.versions.push_back({version_, 0});
  }
  ++completion.versions.back().count;
}

bool ContinuousBatch::finished(Completion& completion) const {
  const SamplingParams& params = sampler_.params();
  const auto& stops = params.stop_tokens;
  const bool stopped =
      std::find(stops.begin(), stops.end(), completion.tokens.back()) != stops.end();
  completion.reason = stopped ? FinishReason::stop : FinishReason::length;
  return stopped || completion.tokens.size() >= static_cast<std::size_t>(params.max_new_tokens);
}

/// Moves a finished completion out, and the last live sequence into its slot.
void ContinuousBatch::leave(std::size_t slot) {
  finished_.push_back(std::move(live_[slot].completion));
  const std::size_t last = live_.size() - 1;
  if (slot != last) {
    engine_.copy_prefix(static_cast<std::int32_t>(last), static_cast<std::int32_t>(slot),
                        live_[last].cached);
    live_[slot] = std::move(live_[last]);
    live_[slot].leader = static_cast<std::int32_t>(slot);
  }
  live_.pop_back();
}

std::vector<Completion> ContinuousBatch::take_finished() {
  return std::exchange(finished_, {});
}

std::vector<Completion> ContinuousBatch::abandon() {
  std::vector<Completion> unfinished;
  for (Live& live : live_) unfinished.push_back(std::move(live.completion));
  live_.clear();
  for (Completion& one : give_back()) unfinished.push_back(std::move(one));
  return unfinished;
}

std::vector<Completion> ContinuousBatch::give_back() {
  std::vector<Completion> unbegun;
  for (Waiting& one : waiting_) unbegun.push_back(std::move(one.completion));
  waiting_.clear();
  return unbegun;
}

std::int32_t ContinuousBatch::Live::token(std::size_t position) const {
  const std::size_t prompt_size = request.prompt.size();
  return position < prompt_size ? request.prompt[position]
                                : completion.tokens[position - prompt_size];
}

}  // namespace troupe::gpu
