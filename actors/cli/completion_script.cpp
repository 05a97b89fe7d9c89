#include "actors/cli/command_words.hpp"

#include <algorithm>
#include <stdexcept>

namespace troupe {

namespace {

using Words = std::vector<std::string>;

/// For the inside of single quotes, which these shells leave as it is.
std::string quoted(const std::string& text, const char* quote) {
  std::string out;
  for (const char c : text) out += c == '\'' ? std::string(quote) : std::string(1, c);
  return "'" + out + "'";
}

std::string joined(const Words& words, const char* between) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : between) + word;
  return out;
}

/// "--out", "--pki": those of all options that `belongs`.
template <class Belongs>
Words names_of(const CommandWords& command, Belongs belongs) {
  Words names;
  for (const OptionWords& option : command.options)
    if (belongs(option)) names.insert(names.end(), option.names.begin(), option.names.end());
  return names;
}

const OptionWords* first_argument(const CommandWords& command) {
  return command.arguments.empty() ? nullptr : &command.arguments.front();
}

std::string as_keys(const Words& keys) {
  Words with_sign;
  for (const std::string& key : keys) with_sign.push_back(key + "=");
  return joined(with_sign, " ");
}

// bash: one function that looks for the command among the words, then at the word before.
std::string bash_values(const CommandWords& command, const std::string& keys) {
  std::string text;
  const auto rule = [&](const Words& names, const std::string& action) {
    if (!names.empty()) text += "      " + joined(names, "|") + ") " + action + "; return ;;\n";
  };
  for (const OptionWords& option : command.options) {
    if (!option.choices.empty())
      rule(option.names, "COMPREPLY=($(compgen -W " + quoted(joined(option.choices, " "), "") +
                             " -- \"$word\"))");
  }
  const auto taking = [](const char* value) {
    return [value](const OptionWords& option) { return option.value == value; };
  };
  rule(names_of(command, taking("FILE")), "COMPREPLY=($(compgen -f -- \"$word\"))");
  rule(names_of(command, taking("DIR")), "COMPREPLY=($(compgen -d -- \"$word\"))");
  rule(names_of(command, taking("KEY=VALUE")),
       "compopt -o nospace; COMPREPLY=($(compgen -W " + quoted(keys, "") + " -- \"$word\"))");
  rule(names_of(command,
                [](const OptionWords& option) {
                  return !option.value.empty() && option.choices.empty() &&
                         option.value != "FILE" && option.value != "DIR" &&
                         option.value != "KEY=VALUE";
                }),
       "COMPREPLY=()");
  return text.empty() ? "" : "    case $before in\n" + text + "    esac\n";
}

std::string bash_script(const std::vector<CommandWords>& commands, const Words& keys) {
  Words groups;  // commands that have others under them
  for (const CommandWords& command : commands)
    if (!command.path.empty() && !command.commands.empty()) groups.push_back(command.path);
  std::string text =
      "# bash completion of troupe: source <(troupe completion bash)\n"
      "_troupe() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=\n"
      "  COMPREPLY=()\n"
      "  if ((COMP_CWORD > 1)); then command=${COMP_WORDS[1]}; fi\n"
      "  case $command in\n    " +
      joined(groups, "|") +
      ") if ((COMP_CWORD > 2)); then command+=\" ${COMP_WORDS[2]}\"; fi ;;\n  esac\n"
      "  case $command in\n";
  for (const CommandWords& command : commands) {
    text += "  " + quoted(command.path, "") + ")\n" + bash_values(command, as_keys(keys));
    Words next = command.commands;
    for (const std::string& name : names_of(command, [](const auto&) { return true; }))
      next.push_back(name);
    text += "    COMPREPLY=($(compgen -W " + quoted(joined(next, " "), "") + " -- \"$word\"))\n";
    const OptionWords* argument = first_argument(command);
    if (argument && !argument->choices.empty())
      text += "    COMPREPLY+=($(compgen -W " + quoted(joined(argument->choices, " "), "") +
              " -- \"$word\"))\n";
    else if (argument && (argument->value == "FILE" || argument->value == "DIR"))
      text += std::string("    if [[ $word != -* ]]; then COMPREPLY+=($(compgen ") +
              (argument->value == "DIR" ? "-d" : "-f") + " -- \"$word\")); fi\n";
    text += "    ;;\n";
  }
  return text + "  esac\n}\ncomplete -o filenames -F _troupe troupe\n";
}

// zsh: _arguments knows the grammar; each command is a function.
std::string zsh_action(const OptionWords& option, const std::string& keys) {
  if (!option.choices.empty()) return "(" + joined(option.choices, " ") + ")";
  if (option.value == "FILE") return "_files";
  if (option.value == "DIR") return "_files -/";
  if (option.value == "KEY=VALUE") return "{compadd -S \"\" -- " + keys + "}";
  return " ";
}

std::string zsh_text(const std::string& text) {  // within _arguments' specifications
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_function(const std::string& path) {
  std::string name = path.empty() ? "_troupe" : "_troupe_" + path;
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
}

std::string zsh_specification(const OptionWords& option, const std::string& name,
                              const std::string& keys) {
  std::string text = "*" + name + "[" + zsh_text(option.description) + "]";
  if (!option.value.empty())
    text += ":" + zsh_text(option.choices.empty() ? option.value : "one of") + ":" +
            zsh_action(option, keys);
  return quoted(text, "'\\''");
}

std::string zsh_script(const std::vector<CommandWords>& commands, const Words& keys) {
  std::string text =
      "#compdef troupe\n# zsh completion of troupe: troupe completion zsh > a folder of $fpath "
      "as _troupe\n";
  for (const CommandWords& command : commands) {
    text += zsh_function(command.path) + "() {\n  local state line\n  _arguments -s";
    for (const OptionWords& option : command.options)
      for (const std::string& name : option.names)
        text += " \\\n    " + zsh_specification(option, name, as_keys(keys));
    for (const OptionWords& argument : command.arguments)
      text += " \\\n    " +
              quoted("*:" + zsh_text(argument.names[0]) + ":" + zsh_action(argument, as_keys(keys)),
                     "'\\''");
    if (!command.commands.empty()) {
      text += " \\\n    " + quoted("1:command:(" + joined(command.commands, " ") + ")", "") +
              " \\\n    '*::arguments:->next'\n  if [[ $state == next ]]; then\n    case "
              "$words[1] in\n";
      for (const std::string& next : command.commands)
        text += "    " + next + ") " +
                zsh_function(command.path.empty() ? next : command.path + " " + next) + " ;;\n";
      text += "    esac\n  fi";
    }
    text += "\n}\n";
  }
  return text +
         "if [ \"$funcstack[1]\" = _troupe ]; then _troupe \"$@\"; else compdef _troupe "
         "troupe; fi\n";
}

// fish: a line per word, with the condition under which it is offered.
std::string fish_condition(const CommandWords& command) {
  if (command.path.empty()) return "__fish_use_subcommand";
  std::string condition;
  std::string path = command.path;
  std::replace(path.begin(), path.end(), ' ', '\n');
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('\n', begin), path.size());
    condition += (condition.empty() ? "" : "; and ") + std::string("__fish_seen_subcommand_from ") +
                 path.substr(begin, end - begin);
    begin = end + 1;
  }
  return command.commands.empty()
             ? condition
             : condition + "; and not __fish_seen_subcommand_from " + joined(command.commands, " ");
}

std::string fish_script(const std::vector<CommandWords>& commands, const Words& keys) {
  std::string text =
      "# fish completion of troupe: troupe completion fish | source\n"
      "complete -c troupe -f\n";
  constexpr const char* kQuote = "\\'";
  const auto description = [&](const std::string& path) {
    const auto found = std::find_if(commands.begin(), commands.end(),
                                    [&](const CommandWords& each) { return each.path == path; });
    return found->description;
  };
  for (const CommandWords& command : commands) {
    const std::string line = "complete -c troupe -n " + quoted(fish_condition(command), kQuote);
    const std::string above = command.path.empty() ? "" : command.path + " ";
    for (const std::string& next : command.commands)
      text.append(line).append(" -a ").append(next).append(" -d ").append(
          quoted(description(above + next), kQuote) + "\n");
    for (const OptionWords& argument : command.arguments) {
      if (argument.value == "FILE" || argument.value == "DIR") text += line + " -F\n";
      if (!argument.choices.empty())
        text += line + " -a " + quoted(joined(argument.choices, " "), kQuote) + "\n";
    }
    for (const OptionWords& option : command.options) {
      text += line;
      for (const std::string& name : option.names)
        text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (!option.value.empty()) text += " -r";
      if (option.value == "FILE" || option.value == "DIR") text += " -F";
      if (!option.choices.empty()) text += " -a " + quoted(joined(option.choices, " "), kQuote);
      if (option.value == "KEY=VALUE") text += " -a " + quoted(as_keys(keys), kQuote);
      text += " -d " + quoted(option.description, kQuote) + "\n";
    }
  }
  return text;
}

}  // namespace

std::string completion_script(const std::vector<CommandWords>& commands, const Words& keys,
                              const std::string& shell) {
  if (shell == "bash") return bash_script(commands, keys);
  if (shell == "zsh") return zsh_script(commands, keys);
  if (shell == "fish") return fish_script(commands, keys);
  throw std::invalid_argument("no completion for " + shell + "; there is bash, zsh and fish");
}

}  // namespace troupe
