#include "actors/generator/assignments.hpp"

namespace troupe {
namespace {

void write_versions(wire::Rollout::Builder rollout, const std::vector<gpu::VersionRun>& versions) {
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

}  // namespace

std::vector<gpu::GenerationRequest> Assignments::accept(const Ticket& ticket) {
  const auto reader = ticket.read();
  const std::vector<std::int32_t> prompt = tokens_of(reader.getPromptTokens());
  std::vector<gpu::GenerationRequest> requests;
  for (const std::uint32_t index : reader.getIndices()) {
    const std::uint64_t id = rollout_id(reader.getPromptUid(), reader.getId(), index);
    const Assigned assigned{reader.getId(), reader.getPromptUid(), index, reader.getAttempt(),
                            prompt};
    if (!assigned_.emplace(id, assigned).second) continue;
    requests.push_back({id, reader.getId(), prompt, reader.getMinVersion()});
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

}  // namespace troupe
