#pragma once
// Continuous batching over an engine: prompts join as slots fall free, finished rollouts leave at
// once.
#include "gpu/sampling/engine.hpp"
#include "gpu/sampling/sampler.hpp"

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace troupe::gpu {

/// `count` consecutive completion tokens sampled with weights of policy version `version`.
struct VersionRun {
  std::uint64_t version;
  std::uint32_t count;
  bool operator==(const VersionRun&) const = default;
};

enum class FinishReason { stop, length };

/// The beginning of a completion, sampled elsewhere or before: the fields are those of Completion.
struct BegunCompletion {
  std::vector<std::int32_t> tokens;
  std::vector<float> log_probs;
  std::vector<VersionRun> versions;
};

struct GenerationRequest {
  std::uint64_t rollout;             // caller's id, and the stream of its random draws
  std::uint64_t group = 0;           // neighbours in the queue with the same prompt run it once
  std::vector<std::int32_t> prompt;  // at least one token
  std::uint64_t min_version = 0;     // waits until weights of this version or newer are held
  BegunCompletion begun = {};        // goes on from there, with its newest version or a newer one
};

struct Completion {
  std::uint64_t rollout;
  std::vector<std::int32_t> tokens;  // completion only, stop token included
  std::vector<float> log_probs;      // nats, one per token
  std::vector<VersionRun> versions;  // counts add up to tokens.size(); versions ascend
  FinishReason reason;
};

/// What a KV cache computed with older weights becomes when weights are swapped.
enum class CacheAfterSwap { keep, recompute };

/// Used by one thread at a time. A completion is a function of (weights, prompt, seed, rollout id)
/// as far as the engine is batch-invariant. Live sequences are kept dense in slots 0..n-1.
class ContinuousBatch {
 public:
  /// capacity of the engine must hold the longest prompt plus max_new_tokens (checked on submit:
  /// gpu::Error).
  ContinuousBatch(Engine& engine, SamplingParams params, std::uint64_t seed,
                  CacheAfterSwap cache = CacheAfterSwap::keep);

  /// What is begun is run with the prompt, in one pass, and never sampled again; a completion that
  /// has ended already is finished at once.
  void submit(GenerationRequest request);

  /// Takes weights of `version`, prepared by the engine, between two steps. Nothing is dropped.
  void swap(const PreparedPtr& weights, std::uint64_t version);
  void swap(FlatWeights weights, std::uint64_t version) {
    swap(engine_.prepare(std::move(weights)), version);
  }
  std::uint64_t version() const { return version_; }

  /// One forward pass: a token for each live sequence; waiting requests whose min_version is held
  /// join first (prefill). Returns the number of tokens sampled; 0 if nothing can run.
  std::size_t step();
  bool can_step() const;  // true if something is live or may join now
  /// True if the next one to join waits for newer weights.
  bool held_up() const {
    return !waiting_.empty() && (!has_weights_ || waiting_.front().request.min_version > version_);
  }

  std::vector<Completion> take_finished();
  /// Gives up everything not finished. Returns the unfinished completions (tokens so far), waiting
  /// ones with what they were submitted with; their `reason` means nothing.
  std::vector<Completion> abandon();
  /// The same of those that have not joined.
  std::vector<Completion> give_back();

  std::size_t live() const { return live_.size(); }
  std::size_t waiting() const { return waiting_.size(); }
  std::uint64_t sampled_tokens() const { return sampled_tokens_; }
  /// Prefilled: shared prompts once, and what was begun.
  std::uint64_t prompt_tokens() const { return prompt_tokens_; }
  std::uint64_t shared_prompt_tokens() const { return shared_tokens_; }  // copied instead of run

 private:
  struct Waiting {
    GenerationRequest request;
    Completion completion;  // what is begun of it
  };
  struct Live {
    GenerationRequest request;
    Completion completion;
    std::int32_t leader;  // slot whose prompt pass serves this one too; its own slot if it runs its
                          // own tokens
    std::size_t begun = 0;  // completion tokens that were not sampled here
    std::size_t logits_row = 0;
    std::int32_t cached = 0;  // positions in the cache

    std::size_t length() const { return request.prompt.size() + completion.tokens.size(); }
    std::int32_t token(std::size_t position) const;
  };
  void require_known(const std::vector<std::int32_t>& tokens, const char* what) const;
  void join();
  std::int32_t leader_of_newest() const;
  void collect_rows();
  void sample(Live& live);
  bool finished(Completion& completion) const;
  void leave(std::size_t slot);

  Engine& engine_;
  Sampler sampler_;
  std::uint64_t seed_;
  CacheAfterSwap cache_;
  std::uint64_t version_ = 0;
  bool has_weights_ = false;
  std::deque<Waiting> waiting_;
  std::vector<Live> live_;  // live_[i] occupies slot i
  std::vector<Completion> finished_;
  std::uint64_t sampled_tokens_ = 0, prompt_tokens_ = 0, shared_tokens_ = 0;
  std::vector<Row> rows_;
  std::vector<std::int32_t> wanted_;
  std::vector<float> logits_;
};

}  // namespace troupe::gpu
