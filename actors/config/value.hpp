#pragma once
// A config value on its way between TOML text and a struct member.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

namespace troupe::config {

/// What no key takes: a date, a table, a mixed list. Said in words.
struct Foreign {
  std::string what;
};

/// What TOML can say. Enumerations and paths are strings here.
using Value =
    std::variant<bool, std::int64_t, double, std::string, std::vector<std::int64_t>, Foreign>;

/// An enumeration whose enumerators are counted from 0 in the order of the key's choices.
struct EnumSlot {
  std::function<std::size_t()> get;
  std::function<void(std::size_t)> set;
};

/// The struct member behind a key. Valid as long as the struct is.
using Slot =
    std::variant<bool*, std::int32_t*, std::int64_t*, std::uint64_t*, float*, double*, std::string*,
                 std::filesystem::path*, std::vector<std::int32_t>*, EnumSlot>;

template <class Member>
Slot slot(Member& member) {
  if constexpr (std::is_enum_v<Member>) {
    return EnumSlot{[&member] { return static_cast<std::size_t>(member); },
                    [&member](std::size_t index) { member = static_cast<Member>(index); }};
  } else {
    return &member;
  }
}

enum class PathKind {
  input_file,
  input_folder,
  output,
  later_folder
};  // later: looked at when it is used

/// What a value must fulfil. Bounds hold for each element of a list.
struct Rule {
  double least, most;
  bool least_excluded = false, most_excluded = false;
  std::vector<std::string> choices;
  PathKind path = PathKind::input_file;
};

/// Why a value was refused.
struct Complaint {
  std::string message, remedy;
};

/// "1 to 64", "above 0 and at most 1"; empty without bounds.
std::string bounds(const Rule& rule);

/// "an integer, 1 to 64", "one of "a", "b"": what a value of this member must be.
std::string expectation(const Slot& member, const Rule& rule);

/// Stores the value as it stands, or says why not; then the member keeps what it had. Relative
/// input paths start at `folder`.
std::optional<Complaint> store(const Value& value, const Slot& member, const Rule& rule,
                               const std::filesystem::path& folder);

Value load(const Slot& member, const Rule& rule);

/// TOML text. Numbers are the shortest that read back to the same value, floats always with a dot
/// or an exponent.
std::string to_toml(const Value& value);

/// "a string", "an integer", ...
std::string type_name(const Value& value);

/// Shortest text of a number that reads back to it, without ".0".
std::string number_text(double number);

}  // namespace troupe::config
