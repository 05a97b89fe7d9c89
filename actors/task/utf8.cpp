#include "actors/task/utf8.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace troupe {
namespace {

// Bytes of a character by its first byte; 0 for a byte that cannot be first.
std::size_t sequence_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;
}

bool allowed(char32_t value, std::size_t bytes) {
  constexpr std::array<char32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  return value >= kSmallest[bytes] && value <= 0x10FFFF && !surrogate;
}

bool control(char32_t value) {
  return value < 0x20 || (value >= 0x7F && value < 0xA0);
}

}  // namespace

CodePoint first_code_point(std::string_view text) {
  if (text.empty()) return {};
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t bytes = sequence_length(lead);
  if (bytes == 0 || bytes > text.size()) return {};
  if (bytes == 1) return {lead, 1};
  char32_t value = lead & (0xFFu >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xC0) != 0x80) return {};
    value = value << 6 | (byte & 0x3Fu);
  }
  return allowed(value, bytes) ? CodePoint{value, bytes} : CodePoint{};
}

std::optional<std::size_t> first_malformed_byte(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t bytes = first_code_point(text.substr(at)).bytes;
    if (bytes == 0) return at;
    at += bytes;
  }
  return std::nullopt;
}

std::string describe_character(std::string_view character) {
  const char32_t value = first_code_point(character).value;
  std::array<char, 16> code{};
  std::snprintf(code.data(), code.size(), "U+%04X", static_cast<unsigned>(value));
  if (control(value)) return code.data();
  return '"' + std::string(character) + "\" (" + code.data() + ')';
}

std::string in_quotes(std::string_view text) {
  constexpr int kLongest = 40;
  std::string shown = "\"";
  for (int count = 0; !text.empty(); ++count) {
    if (count == kLongest) return shown + "...\"";
    const CodePoint character = first_code_point(text);
    const bool safe = character.bytes > 0 && !control(character.value);
    shown += safe ? text.substr(0, character.bytes) : "?";
    text.remove_prefix(std::max<std::size_t>(character.bytes, 1));
  }
  return shown + '"';
}

std::string describe_byte(char byte) {
  std::array<char, 8> code{};
  std::snprintf(code.data(), code.size(), "0x%02X", static_cast<unsigned char>(byte));
  return code.data();
}

}  // namespace troupe
