#pragma once
// An engine whose buffers are as a GPU's: who reads or writes them by their address ends the process.
#include "tests/support/bigram.hpp"

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <sys/mman.h>
#include <utility>

namespace troupe::support {

class ElsewhereEngine final : public BigramTrainingEngine {
 public:
  ElsewhereEngine(std::int32_t vocab, std::uint64_t elements, gpu::SamplingView view)
      : BigramTrainingEngine(vocab, elements, std::move(view)), bytes_(elements * sizeof(float)) {
    for (float** place : {&weights_, &gradient_}) {
      void* const memory =
          mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (memory == MAP_FAILED) throw std::runtime_error("no addresses");
      *place = static_cast<float*>(memory);
    }
  }
  ~ElsewhereEngine() override {
    munmap(weights_, bytes_);
    munmap(gradient_, bytes_);
  }
  ElsewhereEngine(const ElsewhereEngine&) = delete;
  ElsewhereEngine& operator=(const ElsewhereEngine&) = delete;

  std::span<float> weight_buffer() override { return {weights_, elements()}; }
  std::span<float> gradient_buffer() override { return {gradient_, elements()}; }
  bool buffers_on_host() const override { return false; }
  void copy(float* to, const float* from, std::size_t count) override {
    std::copy_n(real(from), count, const_cast<float*>(real(to)));
  }
  double gradient_squares(gpu::FlatRange part) override {
    double squares = 0;
    for (const float value :
         BigramTrainingEngine::gradient_buffer().subspan(part.first, part.count))
      squares += static_cast<double>(value) * static_cast<double>(value);
    return squares;
  }

 private:
  const float* real(const float* at) {
    const auto inside = [&](const float* first) { return at >= first && at <= first + elements(); };
    if (inside(weights_)) return BigramTrainingEngine::weight_buffer().data() + (at - weights_);
    if (inside(gradient_)) return BigramTrainingEngine::gradient_buffer().data() + (at - gradient_);
    return at;
  }

  const std::size_t bytes_;
  float *weights_ = nullptr, *gradient_ = nullptr;  // addresses alone
};

}  // namespace troupe::support
