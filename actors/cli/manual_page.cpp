#include "actors/cli/command_words.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// As text of man(7): no backslash, leading dot, quote or dash is taken for a command or a hyphen.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (out.empty() && (c == '.' || c == '\'')) out += "\\&";
    out += c == '\\' ? "\\e" : c == '-' ? "\\-" : std::string(1, c);
  }
  return out;
}

std::string bold(const std::string& text) {
  return "\\fB" + escaped(text) + "\\fR";
}

std::string value(const OptionWords& option) {
  return option.value.empty() ? "" : " \\fI" + escaped(option.value) + "\\fR";
}

std::string synopsis(const CommandWords& command) {
  std::string line = bold("troupe " + command.path);
  for (const OptionWords& argument : command.arguments)
    line += argument.required ? " \\fI" + escaped(argument.names[0]) + "\\fR"
                              : " [\\fI" + escaped(argument.names[0]) + "\\fR]";
  for (const OptionWords& option : command.options) {
    if (option.names[0] == "--help") continue;
    const std::string text = bold(option.names[0]) + value(option);
    line += option.required ? " " + text : " [" + text + "]";
  }
  return line + "\n";
}

std::string choices(const OptionWords& option) {
  std::string text;
  for (const std::string& choice : option.choices)
    text += (text.empty() ? ": " : ", ") + bold(choice);
  return text;
}

std::string entry(const OptionWords& option) {
  std::string names;
  for (const std::string& name : option.names) names += (names.empty() ? "" : ", ") + bold(name);
  return ".TP\n" + names + (option.names[0].starts_with('-') ? value(option) : "") + "\n" +
         escaped(option.description) + choices(option) + "\n";
}

std::string section(const CommandWords& command) {
  std::string text = ".SS troupe " + escaped(command.path) + "\n" + escaped(command.description) +
                     ".\n.PP\n" + synopsis(command);
  for (const OptionWords& argument : command.arguments) text += entry(argument);
  for (const OptionWords& option : command.options)
    if (option.names[0] != "--help") text += entry(option);
  constexpr std::string_view kExample = "example: ";
  if (command.footer.starts_with(kExample))
    text += ".PP\nExample:\n.PP\n.RS\n.nf\n" + escaped(command.footer.substr(kExample.size())) +
            "\n.fi\n.RE\n";
  return text;
}

}  // namespace

std::string manual_page(const std::vector<CommandWords>& commands, const std::string& version) {
  const CommandWords& program = commands.front();
  std::string page = ".\\\" Made by troupe manual.\n.TH TROUPE 1 \"\" \"" + escaped(version) +
                     "\" \"Troupe\"\n.SH NAME\ntroupe \\- asynchronous reinforcement learning of "
                     "language models\n.SH SYNOPSIS\n" +
                     bold("troupe") + " \\fICOMMAND\\fR [\\fIOPTION\\fR]...\n.SH DESCRIPTION\n" +
                     escaped(program.description) + "\nEvery command tells about itself with " +
                     bold("--help") + ".\n.SH COMMANDS\n";
  for (const CommandWords& command : commands)
    if (command.commands.empty()) page += section(command);
  page += ".SH EXIT STATUS\n" + escaped(program.footer);
  return page;
}

}  // namespace troupe
