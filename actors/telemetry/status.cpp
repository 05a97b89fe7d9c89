#include "actors/telemetry/status.hpp"

#include "actors/telemetry/run_log.hpp"
#include "actors/telemetry/text.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <sys/ioctl.h>
#include <unistd.h>

namespace troupe {

namespace {

constexpr const char* kBold = "\x1b[1m";
constexpr const char* kDim = "\x1b[2m";
constexpr const char* kGreen = "\x1b[32m";
constexpr const char* kRed = "\x1b[31m";
constexpr const char* kReset = "\x1b[0m";

/// A line in pieces, cut at the width; styles do not count as columns.
class Line {
 public:
  Line(std::size_t width, bool colour) : left_(width), colour_(colour) {}
  Line& add(std::string_view text, const char* style = nullptr) {
    const std::string piece = one_line(text, text.size() + 3);
    std::string kept = columns(piece) <= left_ ? piece : cut(piece);
    left_ -= columns(kept);
    out_ += style && colour_ && !kept.empty() ? style + kept + kReset : kept;
    return *this;
  }
  Line& figure(std::string_view name, const std::string& value, const char* style = kBold) {
    return add(name, kDim).add(" ").add(value, style).add("   ");
  }
  std::string text() const { return out_; }

 private:
  std::string cut(const std::string& piece) {
    std::string kept = piece;
    while (columns(kept) > left_) {
      while ((static_cast<unsigned char>(kept.back()) & 0xC0) == 0x80) kept.pop_back();
      kept.pop_back();
    }
    return kept;
  }

  std::string out_;
  std::size_t left_;
  bool colour_;
};

/// Without the escapes that set colours.
std::size_t shown_columns(const std::string& line) {
  std::string text = line;
  for (std::size_t at; (at = text.find('\x1b')) != std::string::npos;)
    text.erase(at, text.find('m', at) - at + 1);
  return columns(text);
}

std::string lag_text(const RolloutUpdateRecord& update, std::optional<std::uint64_t> bound) {
  const std::uint64_t highest = update.lag_histogram.empty() ? 0 : update.lag_histogram.size() - 1;
  return fmt::format("{:.1f}/{}", mean_lag(update.lag_histogram), bound.value_or(highest));
}

/// Idle shares by role: "generator-0" and "generator-1" together are "generator".
std::map<std::string, double> idle_by_role(const StatusView& view) {
  std::map<std::string, std::pair<double, int>> sums;
  for (const auto& [actor, share] : view.idle) {
    auto& [sum, count] = sums[actor.substr(0, actor.find('-'))];
    sum += share;
    ++count;
  }
  std::map<std::string, double> means;
  for (const auto& [role, sum] : sums) means[role] = sum.first / sum.second;
  return means;
}

std::string idle_text(const StatusView& view) {
  const auto idle = idle_by_role(view);
  std::string text;
  if (idle.contains("generator")) text += " gen " + percent(idle.at("generator"));
  if (idle.contains("learner")) text += " learn " + percent(idle.at("learner"));
  return text.empty() ? text : " idle" + text;
}

std::string rollout_figures(const StatusView& view) {
  const RolloutUpdateRecord& u = *view.rollout_update;
  std::string line =
      fmt::format(" reward {:.3f} pass {:.2f} length {:.1f} lag {} gap {}", u.reward_mean,
                  u.pass_rate, u.response_tokens_mean, lag_text(u, view.staleness_bound),
                  u.log_prob_gap_tokens ? short_number(u.log_prob_gap_max) : "n/a");
  if (view.generator_tokens_per_second > 0)
    line += " gen " + short_rate(view.generator_tokens_per_second) + " tok/s";
  if (view.learner_tokens_per_second > 0)
    line += " learn " + short_rate(view.learner_tokens_per_second) + " tok/s";
  if (u.refused) line += " REFUSED (not finite)";
  return line + idle_text(view);
}

std::string supervised_figures(const SupervisedRecord& u) {
  std::string line = fmt::format(" loss {:.4f} lr {} {} pos/s", u.loss,
                                 short_number(u.learning_rate), short_rate(u.positions_per_second));
  return u.gate_share ? line + fmt::format(" gate {:.3f}", *u.gate_share) : line;
}

/// "12/50", or at a gate "1400 of at most 6000, gate 0.812/0.930".
std::string progress_text(const StatusView& view) {
  if (!view.at_gate()) return fmt::format("{}/{}", view.update, view.updates);
  return fmt::format("{} of at most {}, gate {}/{:.3f}", view.update, view.supervised->gate_limit,
                     view.gate_share ? fmt::format("{:.3f}", *view.gate_share) : "?",
                     view.supervised->gate);
}

/// Of the planned updates, or at a gate of those it leaves.
std::string progress_bar(const StatusView& view) {
  constexpr std::int64_t kCells = 24;
  const std::int64_t all = view.at_gate() ? view.supervised->gate_limit : view.updates;
  const auto full = all > 0 ? std::clamp(kCells * view.update / all, std::int64_t{0}, kCells) : 0;
  return fmt::format("[{:#<{}}{:.<{}}]", "", full, "", kCells - full);
}

std::string head_line(const StatusView& view, std::size_t width, bool colour) {
  Line line(width, colour);
  line.add(view.run, kDim).add("  ").add(view.stage, kBold);
  line.add("  " + progress_text(view) + " ").add(progress_bar(view), kGreen);
  if (const auto left = view.seconds_left())
    line.add("  ETA ", kDim).add(duration_text(*left), kBold);
  return line.text();
}

void add_rollout_lines(std::vector<std::string>& block, const StatusView& view, std::size_t width,
                       bool colour) {
  const RolloutUpdateRecord& u = *view.rollout_update;
  Line learning(width, colour);
  learning.add("  ").figure("reward", fmt::format("{:.3f}", u.reward_mean));
  learning.figure("pass", fmt::format("{:.2f}", u.pass_rate));
  learning.figure("length", fmt::format("{:.1f}", u.response_tokens_mean));
  learning.figure("lag", lag_text(u, view.staleness_bound));
  learning.figure("gap", u.log_prob_gap_tokens ? short_number(u.log_prob_gap_max) : "n/a");
  block.push_back(learning.text());
  Line speed(width, colour);
  speed.add("  ").figure("generator", short_rate(view.generator_tokens_per_second) + " tok/s");
  speed.figure("learner", short_rate(view.learner_tokens_per_second) +
                              fmt::format(" tok/s (last {})", kRecentUpdates));
  if (view.ledger) {
    speed.figure("open", std::to_string(view.ledger->open_rollouts));
    speed.figure("buffered", std::to_string(view.ledger->buffered_rollouts));
    if (const auto missing = imbalance(view.ledger.value()))
      speed.figure("LEDGER IMBALANCE", std::to_string(missing), kRed);
  }
  block.push_back(speed.text());
}

}  // namespace

bool StatusView::at_gate() const {
  return supervised && supervised->gate > 0 && update >= updates &&
         !(gate_share && *gate_share >= supervised->gate);
}

double recent_tokens_per_second(const std::vector<RolloutUpdateRecord>& updates) {
  const std::size_t recent = std::min(updates.size(), kRecentUpdates);
  double tokens = 0, seconds = 0;
  for (auto update = updates.end() - static_cast<std::ptrdiff_t>(recent); update != updates.end();
       ++update) {
    tokens += static_cast<double>(update->trained_tokens);
    seconds += update->train_seconds;
  }
  return seconds > 0 ? tokens / seconds : 0;
}

std::optional<double> StatusView::seconds_left() const {
  if (update <= 0 || updates <= 0 || at_gate()) return {};
  return stage_seconds / update * std::max(0, updates - update);
}

std::string plain_line(const StatusView& view) {
  std::string line = view.stage + " " + progress_text(view);
  if (view.rollout_update)
    line += rollout_figures(view);
  else if (view.supervised)
    line += supervised_figures(*view.supervised);
  return line;
}

std::string plain_line(const EvaluationRecord& e, const std::string& stage) {
  return fmt::format(
      "{} evaluation at {}: sampled {:.3f} greedy {:.3f} format {:.3f} length {:.1f} ({} prompts "
      "in {})",
      stage, e.update, e.pass_rate_sampled, e.pass_rate_greedy, e.format_rate,
      e.mean_response_tokens, e.prompts, duration_text(e.seconds));
}

std::vector<std::string> status_block(const StatusView& view, std::size_t width, bool colour) {
  std::vector<std::string> block = {head_line(view, width, colour)};
  if (view.rollout_update) {
    add_rollout_lines(block, view, width, colour);
  } else if (view.supervised) {
    block.push_back(
        Line(width, colour).add("  " + supervised_figures(*view.supervised).substr(1)).text());
  }
  if (view.evaluation) {
    Line line(width, colour);
    line.add("  ").add(fmt::format("held out at {}: ", view.evaluation->update), kDim);
    line.figure("sampled", fmt::format("{:.3f}", view.evaluation->pass_rate_sampled));
    line.figure("greedy", fmt::format("{:.3f}", view.evaluation->pass_rate_greedy));
    block.push_back(line.text());
  }
  if (!view.idle.empty()) {
    Line line(width, colour);
    line.add("  idle  ", kDim);
    for (const auto& [actor, share] : view.idle) line.figure(actor, percent(share));
    block.push_back(line.text());
  }
  return block;
}

LiveTerminal::LiveTerminal(std::FILE* out, std::function<std::size_t()> width)
    : out_(out), width_(std::move(width)) {}

LiveTerminal::~LiveTerminal() {
  draw({});
}

std::string LiveTerminal::erased() const {
  if (block_.empty()) return "";
  const std::size_t across = std::max<std::size_t>(1, width());
  std::size_t rows = 0;
  for (const std::string& line : block_)
    rows += std::max<std::size_t>(1, (shown_columns(line) + across - 1) / across);
  return fmt::format("\x1b[{}A\r\x1b[J", rows);
}

void LiveTerminal::draw(std::vector<std::string> block) {
  const std::lock_guard lock(mutex_);
  std::string text = erased();
  block_ = std::move(block);
  for (const std::string& line : block_) text += line + "\n";
  if (text.empty()) return;
  std::fwrite(text.data(), 1, text.size(), out_);
  std::fflush(out_);
}

void LiveTerminal::print_above(const std::string& line) {
  const std::lock_guard lock(mutex_);
  std::string text = erased() + line + "\n";
  for (const std::string& kept : block_) text += kept + "\n";
  std::fwrite(text.data(), 1, text.size(), out_);
  std::fflush(out_);
}

std::size_t LiveTerminal::width() const {
  if (width_) return width_();
  winsize size{};
  const bool known = ioctl(fileno(out_), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

}  // namespace troupe
