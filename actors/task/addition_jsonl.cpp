#include "actors/task/addition_draws.hpp"
#include "actors/task/task.hpp"
#include "gpu/model/atomic_file.hpp"

#include <stdexcept>

namespace troupe {
namespace {

// Prompts and answers are digits and signs: nothing to escape.
std::string row(const AdditionProblem& problem) {
  return "{\"prompt\":\"" + problem.prompt() + "\",\"answer\":\"" + problem.answer() +
         "\",\"meta\":{\"digits\":" + std::to_string(problem.digits) + "}}\n";
}

}  // namespace

void write_addition_jsonl(const std::filesystem::path& file,
                          const std::vector<std::int32_t>& digits, std::size_t count,
                          std::uint64_t seed, bool held_out_rows) {
  check_digits(digits);
  if (count == 0) throw std::invalid_argument("addition data: count must be at least 1");
  if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path());
  gpu::AtomicFile out(file);
  if (held_out_rows) {
    for (const auto& problem : addition_held_out(digits, count, seed)) out.write(row(problem));
  } else {
    gpu::PhiloxStream random(seed, kPromptStream);
    for (std::size_t i = 0; i < count; ++i) out.write(row(draw_training_problem(random, digits)));
  }
  out.commit();
}

}  // namespace troupe
