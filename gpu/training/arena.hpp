#pragma once
// Activations of one micro-batch, in memory that is kept from one to the next: fresh pages for
// every activation cost a small model more time than its arithmetic.
#include <ATen/core/Tensor.h>
#include <cstdint>
#include <string>
#include <vector>

namespace troupe::gpu {

/// Hands out uninitialised float32 matrices. Used by one thread at a time.
class Arena {
 public:
  explicit Arena(std::string device) : device_(std::move(device)) {}

  /// [rows, columns]. Valid until what was taken before it is released.
  at::Tensor take(std::int64_t rows, std::int64_t columns);

  struct Mark {
    std::size_t block = 0;
    std::int64_t used = 0;
  };
  Mark mark() const { return at_; }
  /// Takes back everything handed out since the mark was made.
  void release(Mark mark) { at_ = mark; }

 private:
  std::string device_;
  std::vector<at::Tensor> blocks_;
  Mark at_;
};

}  // namespace troupe::gpu
