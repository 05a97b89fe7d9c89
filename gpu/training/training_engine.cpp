#include "gpu/training/training_engine.hpp"

#include "gpu/error.hpp"

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

void TrainingEngine::divide(std::size_t, FlatRange) {
  refuse();
}

}  // namespace troupe::gpu
