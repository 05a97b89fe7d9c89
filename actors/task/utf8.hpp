#pragma once
// Strict UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace troupe {

struct CodePoint {
  char32_t value = 0;
  std::size_t bytes = 0;  // 0: the text does not start with a well-formed character
};

/// The first character of `text`; bytes is 0 if it is malformed or the text is empty.
CodePoint first_code_point(std::string_view text);

/// Offset of the first byte that is not UTF-8.
std::optional<std::size_t> first_malformed_byte(std::string_view text);

/// For people: "x" (U+0078), or U+0007 alone if it cannot be shown.
std::string describe_character(std::string_view character);

/// For people: `text` in quotes, cut after 40 characters, '?' for what a terminal must not be sent.
std::string in_quotes(std::string_view text);

/// "0xFF".
std::string describe_byte(char byte);

}  // namespace troupe
