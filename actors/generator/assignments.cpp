#include "actors/generator/assignments.hpp"

#include <map>
#include <utility>

namespace troupe {
namespace {

/// Into a Rollout or a PartialRollout.
template <class Builder>
void write_versions(Builder rollout, const std::vector<gpu::VersionRun>& versions) {
  auto runs = rollout.initVersions(static_cast<unsigned>(versions.size()));
  for (unsigned i = 0; i < runs.size(); ++i) {
    runs[i].setVersion(versions[i].version);
    runs[i].setCount(versions[i].count);
  }
}

void write_tokens(wire::Rollout::Builder rollout, const std::vector<std::int32_t>& prompt,
                  const std::vector<std::int32_t>& completion) {
  auto tokens = rollout.initTokens(static_cast<unsigned>(prompt.size() + completion.size()));
  unsigned at = 0;
  for (const std::int32_t token : prompt) tokens.set(at++, token);
  for (const std::int32_t token : completion) tokens.set(at++, token);
  rollout.setPromptLength(static_cast<std::uint32_t>(prompt.size()));
}

using Begun = std::map<std::uint32_t, gpu::BegunCompletion>;

/// By index.
Begun begun_in(wire::Ticket::Reader ticket) {
  Begun begun;
  for (const auto part : ticket.getParts()) {
    gpu::BegunCompletion& one = begun[part.getIndex()];
    one.tokens = tokens_of(part.getTokens());
    for (const float log_prob : part.getLogProbs()) one.log_probs.push_back(log_prob);
    for (const auto run : part.getVersions())
      one.versions.push_back({run.getVersion(), run.getCount()});
  }
  return begun;
}

}  // namespace

std::vector<gpu::GenerationRequest> Assignments::accept(const Ticket& ticket) {
  const auto reader = ticket.read();
  const std::vector<std::int32_t> prompt = tokens_of(reader.getPromptTokens());
  Begun begun = begun_in(reader);
  std::vector<gpu::GenerationRequest> requests;
  for (const std::uint32_t index : reader.getIndices()) {
    const std::uint64_t id = rollout_id(reader.getPromptUid(), reader.getId(), index);
    const Assigned assigned{reader.getId(), reader.getPromptUid(), index, reader.getAttempt(),
                            prompt};
    if (!assigned_.emplace(id, assigned).second) continue;
    requests.push_back(
        {id, reader.getId(), prompt, reader.getMinVersion(), std::move(begun[index])});
  }
  return requests;
}

std::optional<Rollout> Assignments::complete(const gpu::Completion& completion) {
  const auto found = assigned_.find(completion.rollout);
  if (found == assigned_.end()) return std::nullopt;
  const Assigned assigned = std::move(found->second);
  assigned_.erase(found);
  return Rollout::build([&](wire::Rollout::Builder rollout) {
    rollout.setId(completion.rollout);
    rollout.setTicket(assigned.ticket);
    rollout.setIndex(assigned.index);
    rollout.setAttempt(assigned.attempt);
    rollout.setPromptUid(assigned.prompt_uid);
    write_tokens(rollout, assigned.prompt, completion.tokens);
    rollout.setLogProbs(kj::arrayPtr(completion.log_probs.data(), completion.log_probs.size()));
    write_versions(rollout, completion.versions);
    rollout.setTruncated(completion.reason == gpu::FinishReason::length);
    rollout.setGenerator(generator_);
  });
}

RolloutNotice Assignments::finished(const Rollout& rollout) {
  const auto reader = rollout.read();
  return {reader.getTicket(), reader.getIndex(), reader.getAttempt(), reader.getLogProbs().size()};
}

std::optional<RolloutNotice> Assignments::abandon(const gpu::Completion& unfinished) {
  const auto found = assigned_.find(unfinished.rollout);
  if (found == assigned_.end()) return std::nullopt;
  const Assigned assigned = std::move(found->second);
  assigned_.erase(found);
  return RolloutNotice{assigned.ticket, assigned.index, assigned.attempt, unfinished.tokens.size(),
                       true};
}

std::optional<RolloutNotice> Assignments::hand_over(const gpu::Completion& unfinished) {
  auto notice = abandon(unfinished);
  if (!notice) return std::nullopt;
  notice->abandoned = false;
  notice->part = PartialRollout::build([&](wire::PartialRollout::Builder part) {
    part.setIndex(notice->index);
    part.setTokens(kj::arrayPtr(unfinished.tokens.data(), unfinished.tokens.size()));
    part.setLogProbs(kj::arrayPtr(unfinished.log_probs.data(), unfinished.log_probs.size()));
    write_versions(part, unfinished.versions);
  });
  return notice;
}

}  // namespace troupe
