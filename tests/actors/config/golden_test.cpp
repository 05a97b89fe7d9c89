// Each tests/golden/config/<case>.toml is a config with something wrong; <case>.txt holds exactly
// what must be said about it. Lines that begin with "# override: " are given as overrides, in which
// FOLDER stands for that folder.
#include "actors/config/config.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

TEST_SUITE_BEGIN("actors/config");

using namespace troupe;

namespace {

const std::filesystem::path kFolder =
    std::filesystem::path(TROUPE_SOURCE_DIR "/tests/golden/config").lexically_normal();

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  REQUIRE(in);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

std::vector<std::string> overrides_in(const std::string& text) {
  const std::string mark = "# override: ";
  std::vector<std::string> result;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(mark, 0) != 0) continue;
    replace_all(line, "FOLDER", kFolder.string());
    result.push_back(line.substr(mark.size()));
  }
  return result;
}

/// Everything said about a config, without the places of this machine.
std::string complaints(const std::filesystem::path& file) {
  const auto result = load_config(file, overrides_in(text_of(file)));
  std::string text;
  for (const auto& problem : result.problems) text += render(problem) + "\n";
  for (const auto& warning : result.warnings) text += "warning: " + render(warning) + "\n";
  replace_all(text, kFolder.string() + "/", "");
  replace_all(text, kFolder.string(), ".");
  replace_all(text, std::filesystem::current_path().string() + "/", "CWD/");
  return text;
}

std::vector<std::filesystem::path> golden_files() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder))
    if (entry.path().extension() == ".toml") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

TEST_CASE("each bad config is answered with exactly the expected messages") {
  const auto files = golden_files();
  CHECK(files.size() >= 25);
  for (const auto& file : files) {
    CAPTURE(file.stem().string());
    auto expected = file;
    CHECK(complaints(file) == text_of(expected.replace_extension(".txt")));
  }
}

TEST_CASE("a config file that cannot be read is one problem") {
  const auto missing = load_config("no/such/file.toml", {});
  REQUIRE(missing.problems.size() == 1);
  CHECK(render(missing.problems[0]) ==
        "no/such/file.toml: cannot be read: No such file or directory; give the path of a config "
        "file");
  const auto folder = load_config(".", {});
  REQUIRE(folder.problems.size() == 1);
  CHECK(render(folder.problems[0]) ==
        ".: cannot be read: Is a directory; give the path of a config file");
}
