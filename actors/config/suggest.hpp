#pragma once
// The valid word a mistyped one was probably meant to be.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::config {

/// Insertions, deletions, substitutions and swaps of neighbours that turn one word into the other;
/// '_' and '-', and upper and lower case, count as equal (optimal string alignment).
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The candidate at the smallest distance if that is close: at most a third of the word's length,
/// and at least one edit is always allowed in words of three letters or more. The first of equals.
std::optional<std::string> nearest(std::string_view word,
                                   const std::vector<std::string>& candidates);

}  // namespace troupe::config
