#pragma once
// What was recorded one by one, in bounded memory and yet from the first to the last.
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace troupe {

/// The first, the newest kRecent without a gap, and of those between every stride-th; the stride doubles whenever there is
/// no more room. Used under its owner's lock.
template <class T>
class Thinned {
 public:
  static constexpr std::size_t kMost = 1024, kRecent = 64;

  void push_back(T one) {
    kept_.push_back(std::move(one));
    ++added_;
    if (kept_.size() - older_ <= kRecent) return;
    const std::uint64_t leaving = added_ - (kept_.size() - older_);  // its place among all added
    if (leaving % stride_ != 0) {
      kept_.erase(kept_.begin() + static_cast<std::ptrdiff_t>(older_));
    } else if (++older_ == kMost - kRecent) {
      halve();
    }
  }
  /// In the order in which they came.
  const std::vector<T>& kept() const { return kept_; }
  std::uint64_t added() const { return added_; }
  bool empty() const { return kept_.empty(); }
  const T& front() const { return kept_.front(); }
  const T& back() const { return kept_.back(); }

 private:
  void halve() {
    std::size_t left = 0;
    for (std::size_t i = 0; i < older_; i += 2, ++left)
      if (left != i) kept_[left] = std::move(kept_[i]);
    kept_.erase(kept_.begin() + static_cast<std::ptrdiff_t>(left),
                kept_.begin() + static_cast<std::ptrdiff_t>(older_));
    older_ = left;
    stride_ *= 2;
  }

  std::vector<T> kept_;  // [0, older_) stride_ apart, from the first on; then without a gap
  std::size_t older_ = 0;
  std::uint64_t added_ = 0, stride_ = 1;
};

}  // namespace troupe
