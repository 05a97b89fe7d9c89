#include "actors/config/value.hpp"

#include "actors/config/suggest.hpp"

#include <charconv>
#include <cmath>
#include <utility>

namespace troupe::config {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

template <class Number>
std::string shortest(Number number) {
  char text[40];
  return {text, std::to_chars(text, text + sizeof text, number).ptr};
}

/// The double a person would write for this float: 0.2, not 0.20000000298.
double as_written(float number) {
  const std::string text = shortest(number);
  double result = 0;
  std::from_chars(text.data(), text.data() + text.size(), result);
  return result;
}

bool inside(double number, const Rule& rule) {
  return (rule.least_excluded ? number > rule.least : number >= rule.least) &&
         (rule.most_excluded ? number < rule.most : number <= rule.most);
}

template <class Integer>
bool fits(std::int64_t number, const Rule& rule) {
  return inside(static_cast<double>(number), rule) && std::in_range<Integer>(number);
}

std::string with_bounds(const std::string& what, const Rule& rule) {
  const std::string range = bounds(rule);
  return range.empty() ? what : what + ", " + range;
}

std::string quoted_list(const std::vector<std::string>& choices) {
  std::string text;
  for (const auto& choice : choices) text += (text.empty() ? "" : ", ") + to_toml(choice);
  return text;
}

std::string escaped(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      const char* hex = "0123456789abcdef";
      result += std::string("\\u00") + hex[(c >> 4) & 15] + hex[c & 15];
    } else {
      result += c;
    }
  }
  return result + "\"";
}

/// Puts one value into one member; each call returns nothing, or a complaint and has changed
/// nothing.
struct Store {
  const Value& value;
  const Slot& member;
  const Rule& rule;
  const std::filesystem::path& folder;

  using Result = std::optional<Complaint>;

  std::string give() const { return "give " + expectation(member, rule); }
  Complaint wrong_type(const std::string& wanted) const {
    return {"expected " + wanted + ", got " + type_name(value), give()};
  }
  Complaint out_of_range(const std::string& text) const {
    return {text + " is out of range", give()};
  }

  Result operator()(bool* to) const {
    const bool* from = std::get_if<bool>(&value);
    if (from == nullptr) return wrong_type("true or false");
    *to = *from;
    return {};
  }

  template <class Integer>
  requires std::is_integral_v<Integer> Result operator()(Integer* to) const {
    const auto* from = std::get_if<std::int64_t>(&value);
    if (from == nullptr) return wrong_type("an integer");
    if (!fits<Integer>(*from, rule)) return out_of_range(shortest(*from));
    *to = static_cast<Integer>(*from);
    return {};
  }

  template <class Real>
  requires std::is_floating_point_v<Real> Result operator()(Real* to) const {
    double number;
    if (const auto* real = std::get_if<double>(&value))
      number = *real;
    else if (const auto* integer = std::get_if<std::int64_t>(&value))
      number = static_cast<double>(*integer);
    else
      return wrong_type("a number");
    if (!std::isfinite(number))
      return Complaint{shortest(number) + " is not a finite number", give()};
    // The rounded value too: 0.99999999999 is below 1, the float nearest to it is not.
    if (!inside(number, rule) || !inside(static_cast<Real>(number), rule))
      return out_of_range(number_text(number));
    *to = static_cast<Real>(number);
    return {};
  }

  Result operator()(std::string* to) const {
    const auto* from = std::get_if<std::string>(&value);
    if (from == nullptr) return wrong_type("a string");
    if (!rule.choices.empty()) {
      if (auto index = choice(*from); !index) return not_a_choice(*from);
    } else if (from->empty()) {
      return Complaint{"the string is empty", give()};
    }
    *to = *from;
    return {};
  }

  Result operator()(const EnumSlot& to) const {
    const auto* from = std::get_if<std::string>(&value);
    if (from == nullptr) return wrong_type("a string");
    const auto index = choice(*from);
    if (!index) return not_a_choice(*from);
    to.set(*index);
    return {};
  }

  std::optional<std::size_t> choice(const std::string& text) const {
    for (std::size_t i = 0; i < rule.choices.size(); ++i)
      if (rule.choices[i] == text) return i;
    return {};
  }
  Complaint not_a_choice(const std::string& text) const {
    const auto near = nearest(text, rule.choices);
    return {to_toml(text) + " is not one of the choices",
            (near ? "did you mean " + to_toml(*near) + "? " : "") + give()};
  }

  Result operator()(std::filesystem::path* to) const {
    const auto* from = std::get_if<std::string>(&value);
    if (from == nullptr) return wrong_type("a string");
    if (rule.path == PathKind::output) {
      if (from->empty()) return Complaint{"the path is empty", give()};
      *to = *from;
    } else if (from->empty()) {
      to->clear();
    } else {
      const auto path = std::filesystem::absolute(folder / *from).lexically_normal();
      if (rule.path != PathKind::later_folder)
        if (auto complaint = missing(path)) return complaint;
      *to = path;
    }
    return {};
  }

  Result missing(const std::filesystem::path& path) const {
    std::error_code error;
    const auto status = std::filesystem::status(path, error);
    const bool found = rule.path == PathKind::input_folder
                           ? std::filesystem::is_directory(status)
                           : std::filesystem::is_regular_file(status);
    if (found) return {};
    const bool exists = std::filesystem::exists(status);
    const std::string what =
        rule.path == PathKind::input_folder ? "is not a folder" : "is not a file";
    return Complaint{to_toml(path.string()) + (exists ? " " + what : " does not exist"), give()};
  }

  Result operator()(std::vector<std::int32_t>* to) const {
    const auto* from = std::get_if<std::vector<std::int64_t>>(&value);
    if (from == nullptr) return wrong_type("a list of integers");
    if (from->empty()) return Complaint{"the list is empty", give()};
    for (const auto number : *from)
      if (!fits<std::int32_t>(number, rule)) return out_of_range(shortest(number));
    to->assign(from->begin(), from->end());
    return {};
  }
};

}  // namespace

std::string number_text(double number) {
  // Fixed notation as long as people read it more easily.
  const double size = std::abs(number);
  const bool plain = number == 0 || (size >= 1e-4 && size < 1e10);
  if (plain) {
    char text[40];
    return {text, std::to_chars(text, text + sizeof text, number, std::chars_format::fixed).ptr};
  }
  std::string text = shortest(number);  // 1e-08
  if (const auto zero = text.find("e-0"); zero != std::string::npos) text.erase(zero + 2, 1);
  return text;
}

std::string bounds(const Rule& rule) {
  const bool low = std::isfinite(rule.least), high = std::isfinite(rule.most);
  if (low && high && !rule.least_excluded && !rule.most_excluded)
    return number_text(rule.least) + " to " + number_text(rule.most);
  std::string text;
  if (low) text += (rule.least_excluded ? "above " : "at least ") + number_text(rule.least);
  if (low && high) text += " and ";
  if (high) text += (rule.most_excluded ? "below " : "at most ") + number_text(rule.most);
  return text;
}

std::string expectation(const Slot& member, const Rule& rule) {
  if (!rule.choices.empty()) return "one of " + quoted_list(rule.choices);
  const auto path_text = [&] {
    if (rule.path == PathKind::input_file) return "the path of an existing file";
    if (rule.path == PathKind::later_folder) return "the path of a folder";
    return rule.path == PathKind::input_folder ? "the path of an existing folder" : "a path";
  };
  return std::visit(
      Overloaded{
          [](bool*) -> std::string { return "true or false"; },
          [](std::string*) -> std::string { return "a string that is not empty"; },
          [&](std::filesystem::path*) -> std::string { return path_text(); },
          [&](std::vector<std::int32_t>*) { return with_bounds("a list of integers", rule); },
          [](const EnumSlot&) -> std::string { return "a string"; },
          [&]<class Number>(Number*) {
            return with_bounds(std::is_integral_v<Number> ? "an integer" : "a number", rule);
          },
      },
      member);
}

std::optional<Complaint> store(const Value& value, const Slot& member, const Rule& rule,
                               const std::filesystem::path& folder) {
  return std::visit(Store{value, member, rule, folder}, member);
}

Value load(const Slot& member, const Rule& rule) {
  return std::visit(Overloaded{
                        [](bool* from) -> Value { return *from; },
                        [](float* from) -> Value { return as_written(*from); },
                        [](double* from) -> Value { return *from; },
                        [](std::string* from) -> Value { return *from; },
                        [](std::filesystem::path* from) -> Value { return from->string(); },
                        [](std::vector<std::int32_t>* from) -> Value {
                          return std::vector<std::int64_t>(from->begin(), from->end());
                        },
                        [&](const EnumSlot& from) -> Value { return rule.choices.at(from.get()); },
                        [](auto* from) -> Value { return static_cast<std::int64_t>(*from); },
                    },
                    member);
}

std::string to_toml(const Value& value) {
  return std::visit(Overloaded{
                        [](bool flag) -> std::string { return flag ? "true" : "false"; },
                        [](std::int64_t number) { return shortest(number); },
                        [](double number) {
                          const std::string text = number_text(number);
                          return text.find_first_of(".en") == std::string::npos ? text + ".0"
                                                                                : text;
                        },
                        [](const std::string& text) { return escaped(text); },
                        [](const std::vector<std::int64_t>& list) {
                          std::string text;
                          for (const auto number : list)
                            text += (text.empty() ? "" : ", ") + shortest(number);
                          return "[" + text + "]";
                        },
                        [](const Foreign& foreign) { return foreign.what; },
                    },
                    value);
}

std::string type_name(const Value& value) {
  if (const auto* foreign = std::get_if<Foreign>(&value)) return foreign->what;
  constexpr const char* kNames[] = {"true or false", "an integer", "a number with a fraction",
                                    "a string", "a list of integers"};
  return kNames[value.index()];
}

}  // namespace troupe::config
