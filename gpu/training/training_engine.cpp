#include "gpu/training/training_engine.hpp"

#include "gpu/error.hpp"

#include <algorithm>

namespace troupe::gpu {
namespace {

[[noreturn]] void refuse() {
  throw Error(
      "this training engine cannot share its updates with other ranks: set learner.ranks = 1");
}

}  // namespace

std::span<float> TrainingEngine::weight_buffer() {
  refuse();
}

std::span<float> TrainingEngine::gradient_buffer() {
  refuse();
}

void TrainingEngine::copy(float* to, const float* from, std::size_t count) {
  std::copy_n(from, count, to);
}

double TrainingEngine::gradient_squares(FlatRange part) {
  double squares = 0;
  for (const float value : gradient_buffer().subspan(part.first, part.count))
    squares += static_cast<double>(value) * static_cast<double>(value);
  return squares;
}

void TrainingEngine::divide(std::size_t, FlatRange) {
  refuse();
}

}  // namespace troupe::gpu
