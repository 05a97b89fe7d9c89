#include "actors/cli/commands.hpp"
#include "actors/config/config.hpp"
#include "actors/task/task.hpp"

#include <iostream>

namespace troupe {

int write_data(const DataOptions& options) {
  const std::uint64_t seed =
      options.seed.value_or(options.held_out ? EvaluationConfig{}.seed : RunConfig{}.seed);
  write_addition_jsonl(options.file, options.digits, options.count, seed, options.held_out);
  std::cout << options.file.string() << ": " << options.count
            << (options.held_out ? " held-out" : "") << " problems\n";
  return exit_ok;
}

}  // namespace troupe
