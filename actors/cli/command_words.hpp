#pragma once
// The command line as plain data: what completion scripts and the manual page are made from.
#include <string>
#include <vector>

namespace CLI {  // NOLINT(readability-identifier-naming)
class App;
}

namespace troupe {

struct OptionWords {
  std::vector<std::string> names;    // "--out", "-n"; a positional argument has one without dashes
  std::string value;                 // what it takes, such as "FILE" or "KEY=VALUE"; empty: a flag
  std::vector<std::string> choices;  // all that it takes, if they are few
  std::string description;
  bool required = false;
};

struct CommandWords {
  std::string path;  // "pki issue"; empty: the program itself
  std::string description, footer;
  std::vector<OptionWords> options, arguments;
  std::vector<std::string> commands;  // the next word of the path, where there is one
};

/// Every command, each before those under it.
std::vector<CommandWords> command_words(const CLI::App& program);

/// A script that completes commands, options, files, and the keys of --set (`keys`). shell: "bash", "zsh" or "fish".
std::string completion_script(const std::vector<CommandWords>& commands,
                              const std::vector<std::string>& keys, const std::string& shell);

/// The manual page troupe(1) in the language of man(7).
std::string manual_page(const std::vector<CommandWords>& commands, const std::string& version);

}  // namespace troupe
