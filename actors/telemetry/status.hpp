#pragma once
// What a person sees while a run goes on: one plain line per update, or a live block on a terminal.
#include "actors/telemetry/records.hpp"

#include <cstdio>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

/// The present state of a run, collected for one drawing.
struct StatusView {
  std::string run, stage;
  std::int32_t update = 0, updates = 0;
  double stage_seconds = 0;
  std::optional<RolloutUpdateRecord> rollout_update;
  std::optional<SupervisedRecord> supervised;
  std::optional<EvaluationRecord> evaluation;  // the newest of this stage
  std::optional<LedgerRecord> ledger;
  std::optional<std::uint64_t> staleness_bound;
  /// Per second of work; 0: not known. The generators' mean is over the stage so far, the learner's
  /// over its last kRecentUpdates updates (summary.json has its mean over the stage).
  double generator_tokens_per_second = 0, learner_tokens_per_second = 0;
  std::optional<double> gate_share;                  // probed last in this stage
  std::vector<std::pair<std::string, double>> idle;  // actor, share 0-1

  /// All planned updates are made, and the gate is still closed: nobody knows how many will follow.
  bool at_gate() const;
  /// Time until the last update at the pace so far; nothing before the first, nor at a gate.
  std::optional<double> seconds_left() const;
};
constexpr std::size_t kRecentUpdates = 10;

/// Trained tokens per second of training over the last kRecentUpdates updates; 0 without any.
double recent_tokens_per_second(const std::vector<RolloutUpdateRecord>& updates);

/// "rl 12/50 reward 0.912 pass 0.86 length 28.4 lag 1.2/2 gap 1.1e-06 gen 98k tok/s
///  learn 81k tok/s idle gen 12% learn 31%"; figures that are not known are left out.
/// At a gate "base 1400 of at most 6000, gate 0.812/0.930 loss ..." in place of "base 1400/1200".
std::string plain_line(const StatusView& view);
/// "rl evaluation at 10: sampled 0.860 greedy 0.970 format 0.990 length 29.8
///  (128 prompts in 0.4 s)".
std::string plain_line(const EvaluationRecord& evaluation, const std::string& stage);

/// The live block, each line at most `width` columns, with colours by ANSI codes or none.
std::vector<std::string> status_block(const StatusView& view, std::size_t width, bool colour);

/// A stream with a live block at its end; lines printed go above it and are never torn. The block
/// is taken away from as many rows as its lines take at the present width, since a terminal that
/// was made narrower wraps them. Safe from any thread.
class LiveTerminal {
 public:
  /// width: columns, asked whenever something is written; empty: what the system says of `out`.
  explicit LiveTerminal(std::FILE* out, std::function<std::size_t()> width = {});
  ~LiveTerminal();  // takes the block away
  void draw(std::vector<std::string> block);
  void print_above(const std::string& line);
  std::size_t width() const;  // columns of the terminal; 80 if it is none

 private:
  std::string erased() const;

  std::mutex mutex_;
  std::FILE* out_;
  std::function<std::size_t()> width_;
  std::vector<std::string> block_;
};

}  // namespace troupe
