#include "actors/cli/commands.hpp"
#include "actors/task/task.hpp"

#include <iostream>

namespace troupe {

int write_data(const DataOptions& options) {
  write_addition_jsonl(options.file, options.digits, options.count, options.seed, options.held_out);
  std::cout << options.file.string() << ": " << options.count
            << (options.held_out ? " held-out" : "") << " problems\n";
  return exit_ok;
}

}  // namespace troupe
