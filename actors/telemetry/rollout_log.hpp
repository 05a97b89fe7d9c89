#pragma once
// rollouts.jsonl: some rollouts of each update, token by token, to be looked at. Fields in deploy/summary.md.
#include "actors/telemetry/line_file.hpp"
#include "messages/shown_rollout.hpp"

#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

/// A rollout that was trained on; of a long one the first tokens. Lengths: log_probs = pieces - prompt_tokens.
struct RolloutView {
  std::string id, prompt_uid;  // 16 hex digits; the same as in lineage.jsonl
  std::int32_t stage = 0, update = 0;
  std::uint64_t ticket = 0, trained_at = 0;  // trained_at: policy version
  std::uint32_t index = 0, attempt = 0;
  std::string generator, verifier, outcome, reason;  // outcome: pass, fail, unverifiable
  double reward = 0, accuracy = 0, format = 0;
  bool truncated = false;                // by the length limit
  bool update_refused = false;           // nothing was learnt from it
  std::size_t prompt_tokens = 0;         // the first pieces
  std::size_t completion_tokens = 0;     // all there were, shown or not
  std::vector<std::string> pieces;       // text of each token
  std::vector<float> log_probs;          // of the generator, nats
  std::vector<float> learner_log_probs;  // of its first tokens, as far as they were measured
  std::vector<std::pair<std::uint64_t, std::uint32_t>> versions;  // version, tokens

  std::uint64_t lag() const;  // of its oldest token, in versions
  std::optional<double> gap()
      const;  // largest |generator's - learner's|, nats; nothing: not measured
};

std::string rollout_line(const RolloutView& rollout);
/// Nothing if the line is not of a rollout, or torn.
std::optional<RolloutView> rollout_of_line(const std::string& line);

/// The newest and, besides, those of lowest reward and those that need a look, each list bounded in
/// number: what is shown of them does not grow with the run.
class RolloutShelf {
 public:
  explicit RolloutShelf(std::size_t most_each);
  void add(std::shared_ptr<const RolloutView> rollout);
  /// Each once, the newest update first.
  std::vector<std::shared_ptr<const RolloutView>> all() const;
  std::uint64_t added() const { return added_; }

 private:
  std::size_t most_;
  std::uint64_t added_ = 0;
  std::deque<std::shared_ptr<const RolloutView>> newest_, worst_,
      flagged_;  // worst_: ascending reward
};

/// Truncated, unverifiable, thrown away, or the two log-probs of a token are far apart.
bool flagged(const RolloutView& rollout);

/// As it is shown. `piece`: text of a token; empty: there is none of that id. Nothing if a token has no text.
std::optional<RolloutView> view_of(wire::ShownRollout::Reader rollout,
                                   const std::function<std::string(std::int32_t)>& piece);

/// Where those that are shown go: into the file and on the shelf of the process that can read tokens, and to whoever
/// hands them on to such a process. Safe from any thread.
class RolloutLog {
 public:
  struct Terms {
    std::size_t per_update = 0;
    std::uint64_t most_bytes = 0;  // of the file; after that only the newest are shown
    std::function<std::string(std::int32_t)> piece;  // as view_of; empty: there is no file here
  };
  struct Hearer {
    std::function<void(const std::string&)> lost;  // once, if the file is full or cannot be written
    std::function<void()> unreadable;              // each time that a token has no text
  };
  /// Replaces the file.
  RolloutLog(const std::filesystem::path& file, Terms terms, Hearer hearer);

  const Terms& terms() const { return terms_; }
  void show(const ShownRollout& rollout);
  /// Who else is to have each, in the thread that shows it. Set before there are any, or to none.
  void hand_on(std::function<void(const ShownRollout&)> to);
  void add(RolloutView rollout);
  std::vector<std::shared_ptr<const RolloutView>> all() const;
  std::uint64_t added() const;

 private:
  std::string write(const std::string& line);

  const Terms terms_;
  const Hearer hearer_;
  mutable std::mutex mutex_;  // all below
  std::function<void(const ShownRollout&)> handed_to_;
  std::optional<LineFile> file_;
  RolloutShelf shelf_;
  std::uint64_t bytes_ = 0;
  bool full_ = false;
};

}  // namespace troupe
