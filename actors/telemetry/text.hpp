#pragma once
// Small renderings shared by the writers: numbers, times and text from outside made harmless.
#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace troupe {

/// Text for HTML content and quoted attributes: & < > " ' are escaped; bytes that are not UTF-8 and
/// control characters other than newline and tab become U+FFFD.
std::string escape_html(std::string_view text);

/// One line of at most `limit` columns, "..." at the end if shortened; controls become spaces, so a
/// model's output cannot steer the terminal.
std::string one_line(std::string_view text, std::size_t limit);

/// Code points, taken as terminal columns.
std::size_t columns(std::string_view text);
std::string pad_left(std::string_view text, std::size_t width);
std::string pad_right(std::string_view text, std::size_t width);

/// Three significant digits with k, M, G: 98123 -> "98.1k", 0.9125 -> "0.912", 3.4e-6 -> "3.4e-06".
std::string short_number(double value);
/// Whole thousands and up for rates: 98123 -> "98k", 1234567 -> "1.2M".
std::string short_rate(double value);
std::string percent(double ratio);          // 0.123 -> "12%"
std::string duration_text(double seconds);  // "7.3 s", "2:05", "1:02:03"

/// ISO 8601 in UTC with seconds: "2026-01-31T23:59:59Z".
std::string iso_utc(std::chrono::system_clock::time_point time);

/// One JSON document without line breaks (indent < 0) or indented. Never throws on bytes that are
/// not UTF-8 (replaced); numbers that are not finite become null.
std::string dump_json(const nlohmann::ordered_json& value, int indent = -1);

}  // namespace troupe
