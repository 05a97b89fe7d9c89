#include "actors/telemetry/text.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace troupe {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// Bytes of the well-formed UTF-8 character at the front; 0 if there is none.
std::size_t character_bytes(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  const std::size_t size = lead < 0x80   ? 1
                           : lead < 0xC2 ? 0
                           : lead < 0xE0 ? 2
                           : lead < 0xF0 ? 3
                           : lead < 0xF5 ? 4
                                         : 0;
  if (size == 0 || size > text.size()) return 0;
  for (std::size_t i = 1; i < size; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  if (lead == 0xE0 && byte(1) < 0xA0) return 0;  // overlong
  if (lead == 0xED && byte(1) > 0x9F) return 0;  // surrogates
  if (lead == 0xF0 && byte(1) < 0x90) return 0;
  if (lead == 0xF4 && byte(1) > 0x8F) return 0;
  return size;
}

bool is_control(std::string_view character) {
  const auto lead = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return lead < 0x20 || lead == 0x7F;
  return lead == 0xC2 && static_cast<unsigned char>(character[1]) < 0xA0;  // C1
}

/// Calls visit(character) for each character; malformed bytes come as U+FFFD, one each.
template <class Visit>
void for_each_character(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const std::size_t size = character_bytes(text);
    visit(size == 0 ? kReplacement : text.substr(0, size));
    text.remove_prefix(size == 0 ? 1 : size);
  }
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for_each_character(text, [&](std::string_view character) {
    if (character == "&")
      out += "&amp;";
    else if (character == "<")
      out += "&lt;";
    else if (character == ">")
      out += "&gt;";
    else if (character == "\"")
      out += "&quot;";
    else if (character == "'")
      out += "&#39;";
    else if (is_control(character) && character != "\n" && character != "\t")
      out += kReplacement;
    else
      out += character;
  });
  return out;
}

std::string one_line(std::string_view text, std::size_t limit) {
  std::string out, cut;  // cut: what fits before "..."
  std::size_t width = 0;
  for_each_character(text, [&](std::string_view character) {
    if (width + 3 == limit) cut = out;
    if (++width <= limit) out += is_control(character) ? " " : character;
  });
  return width <= limit ? out : limit < 3 ? out : cut + "...";
}

std::size_t columns(std::string_view text) {
  std::size_t count = 0;
  for_each_character(text, [&](std::string_view) { ++count; });
  return count;
}

std::string pad_left(std::string_view text, std::size_t width) {
  const std::size_t used = columns(text);
  return std::string(used < width ? width - used : 0, ' ') + std::string(text);
}

std::string pad_right(std::string_view text, std::size_t width) {
  const std::size_t used = columns(text);
  return std::string(text) + std::string(used < width ? width - used : 0, ' ');
}

std::string short_number(double value) {
  if (!std::isfinite(value)) return "n/a";
  const double size = std::abs(value);
  if (size != 0 && size < 1e-3) return fmt::format("{:.1e}", value);
  if (size < 1000) return fmt::format("{:.3g}", value);
  return short_rate(value);
}

std::string short_rate(double value) {
  if (!std::isfinite(value)) return "n/a";
  const double size = std::abs(value);
  constexpr std::array<std::pair<double, char>, 3> kUnits = {{{1e9, 'G'}, {1e6, 'M'}, {1e3, 'k'}}};
  for (const auto& [unit, letter] : kUnits) {
    if (size < 0.9995 * unit) continue;
    const double scaled = value / unit;
    return std::abs(scaled) < 9.95 ? fmt::format("{:.1f}{}", scaled, letter)
                                   : fmt::format("{:.0f}{}", scaled, letter);
  }
  return fmt::format("{:.0f}", value);
}

std::string percent(double ratio) {
  return std::isfinite(ratio) ? fmt::format("{:.0f}%", 100 * ratio) : "n/a";
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds)) return "n/a";
  if (seconds < 59.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  const auto hours = whole / 3600, minutes = whole / 60 % 60, rest = whole % 60;
  return hours > 0 ? fmt::format("{}:{:02}:{:02}", hours, minutes, rest)
                   : fmt::format("{}:{:02}", minutes, rest);
}

std::string iso_utc(std::chrono::system_clock::time_point time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

std::string dump_json(const nlohmann::ordered_json& value, int indent) {
  return value.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace troupe
