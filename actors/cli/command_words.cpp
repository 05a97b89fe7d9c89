#include "actors/cli/command_words.hpp"

#include <CLI/CLI.hpp>
#include <sstream>

namespace troupe {

namespace {

/// Type and limits as CLI11 tells them: "TEXT:{bash,zsh,fish}", "INT:INT in [1 - 10]", or braces alone.
void set_value(const std::string& type, OptionWords& words) {
  const std::size_t brace = type.find('{');
  words.value = brace == 0 ? "WORD" : type.substr(0, type.find(':'));
  if (brace == std::string::npos || !type.ends_with('}')) return;
  std::istringstream text(type.substr(brace + 1, type.size() - brace - 2));
  for (std::string word; std::getline(text, word, ',');) words.choices.push_back(word);
}

OptionWords words_of(const CLI::Option& option) {
  OptionWords words;
  for (const std::string& name : option.get_lnames()) words.names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) words.names.push_back("-" + name);
  if (option.get_positional()) words.names = {option.get_name(true)};
  if (option.get_items_expected_max() > 0) set_value(option.get_type_name(), words);
  words.description = option.get_description();
  words.required = option.get_required();
  return words;
}

void collect(const CLI::App& app, const std::string& path, std::vector<CommandWords>& all) {
  CommandWords command;
  command.path = path;
  command.description = app.get_description();
  command.footer = app.get_footer();
  for (const CLI::Option* option : app.get_options())
    (option->get_positional() ? command.arguments : command.options).push_back(words_of(*option));
  const std::vector<const CLI::App*> below =
      app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* each : below) command.commands.push_back(each->get_name());
  all.push_back(std::move(command));
  for (const CLI::App* each : below)
    collect(*each, path.empty() ? each->get_name() : path + " " + each->get_name(), all);
}

}  // namespace

std::vector<CommandWords> command_words(const CLI::App& program) {
  std::vector<CommandWords> all;
  collect(program, "", all);
  return all;
}

}  // namespace troupe
