// usage: check_run RUN_DIR [--clean DIR] [--same-as DIR] [--memory-mb N] [--recovery-seconds S]
// Reads what a run left on disk and prints a line for each invariant; exit code 1 if one is broken. The run needs
// metrics.lineage = true.
#include "tests/chaos/checks.hpp"

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <stdexcept>

using namespace troupe::chaos;

namespace {

const char* word(Finding::State state) {
  switch (state) {
    case Finding::State::holds:
      return "holds";
    case Finding::State::broken:
      return "BROKEN";
    default:
      return "not checked";
  }
}

int run(const std::vector<std::string>& words) {
  Run faulty, clean, twin;
  Expectations expected;
  if (words.size() % 2 != 1) throw std::runtime_error("a run directory is wanted");
  for (std::size_t i = 1; i < words.size(); i += 2) {
    if (words[i] == "--clean") {
      clean = read_run(words[i + 1]);
      expected.clean = &clean;
    } else if (words[i] == "--same-as") {
      twin = read_run(words[i + 1]);
      expected.twin = &twin;
    } else if (words[i] == "--memory-mb") {
      expected.memory_bytes = std::stoull(words[i + 1]) * 1'000'000;
    } else if (words[i] == "--recovery-seconds") {
      expected.recovery_seconds = std::stod(words[i + 1]);
    } else {
      throw std::runtime_error("unknown option " + words[i]);
    }
  }
  faulty = read_run(words[0]);
  bool sound = true;
  for (const Finding& finding : check(faulty, expected)) {
    std::printf("%-4s %-12s %s\n", finding.invariant.c_str(), word(finding.state),
                finding.text.c_str());
    sound = sound && finding.state != Finding::State::broken;
  }
  return sound ? 0 : 1;
}

}  // namespace

int main(int count, char** words) {
  try {
    return run({words + 1, words + count});
  } catch (const std::exception& error) {
    std::cerr << "check_run: " << error.what() << "\n";
    return 2;
  }
}
