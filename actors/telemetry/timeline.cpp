#include "actors/telemetry/timeline.hpp"

#include "actors/telemetry/text.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace troupe {

namespace {

constexpr std::size_t kMostMarks = 120;
constexpr int kLevels = 4;  // of opacity

/// -1: no span; 0: waited; 1 to kLevels: worked, the more the darker.
int level(double share) {
  return share < 0       ? -1
         : share <= 0.02 ? 0
                         : std::clamp(static_cast<int>(std::ceil(share * kLevels)), 1, kLevels);
}

std::string row(const ActorSpans& actor, double begin, double end, std::size_t cells) {
  const std::vector<double> shares = busy_shares(actor.spans, begin, end, cells);
  std::string out;
  for (std::size_t i = 0; i < cells;) {
    std::size_t next = i + 1;
    while (next < cells && level(shares[next]) == level(shares[i])) ++next;
    if (level(shares[i]) >= 0)
      out += fmt::format("<path class=w{} d='M{} 0h{}v10h-{}z'/>", level(shares[i]), i, next - i,
                         next - i);
    i = next;
  }
  return out;
}

std::string ruler(double begin, double end, const std::vector<double>& marks, std::size_t cells) {
  std::string out;
  if (marks.size() > kMostMarks) return out;
  for (const double mark : marks)
    if (mark >= begin && mark < end)
      out += fmt::format("<path class=mark d='M{:.1f} 0v10'/>",
                         (mark - begin) / (end - begin) * static_cast<double>(cells));
  return out;
}

}  // namespace

std::vector<double> busy_shares(const std::vector<ActivityLog::Span>& spans, double begin,
                                double end, std::size_t cells) {
  std::vector<double> busy(cells), known(cells);
  const double cell = (end - begin) / static_cast<double>(cells);
  for (const auto& span : spans) {
    const double from = std::max(span.begin, begin), to = std::min(span.end, end);
    if (to <= from) continue;
    const auto first = static_cast<std::size_t>((from - begin) / cell);
    for (std::size_t i = first; i < cells && begin + static_cast<double>(i) * cell < to; ++i) {
      const double low = begin + static_cast<double>(i) * cell;
      const double part = std::max(0.0, std::min(to, low + cell) - std::max(from, low));
      known[i] += part;
      if (span.busy) busy[i] += part;
    }
  }
  for (std::size_t i = 0; i < cells; ++i) busy[i] = known[i] > 0 ? busy[i] / known[i] : -1;
  return busy;
}

std::string timeline(const std::string& title, const std::string& note,
                     const std::vector<ActorSpans>& actors, double begin, double end,
                     const std::vector<double>& marks, std::size_t cells) {
  if (end <= begin) return "";
  std::string rows;
  const auto add_row = [&](const std::string& label, const std::string& drawing) {
    if (drawing.empty()) return;
    rows += fmt::format("<span>{}</span><svg viewBox='0 0 {} 10' preserveAspectRatio=none>{}</svg>",
                        escape_html(label), cells, drawing);
  };
  for (const ActorSpans& actor : actors) add_row(actor.actor, row(actor, begin, end, cells));
  if (rows.empty()) return "";
  add_row("updates", ruler(begin, end, marks, cells));
  return fmt::format(
      "<figure class=wide><figcaption><b>{}</b> <span>{}</span></figcaption><div class=rows>{}"
      "<span></span><p class=axis><span>{:.2f} s</span><span>{:.2f} s</span><span>{:.2f} "
      "s</span></p></div></figure>\n",
      escape_html(title), escape_html(note), rows, begin, (begin + end) / 2, end);
}

}  // namespace troupe
