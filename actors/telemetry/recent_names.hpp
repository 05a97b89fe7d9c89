#pragma once
// Names that were seen, without end of them: the newest are remembered.
#include <algorithm>
#include <cstddef>
#include <deque>
#include <string>

namespace troupe {

/// Each name once, the oldest first. Used under its owner's lock.
class RecentNames {
 public:
  static constexpr std::size_t kMost = 256;

  void add(const std::string& name) {
    forget(name);
    names_.push_back(name);
  }
  void forget(const std::string& name) {
    names_.erase(std::remove(names_.begin(), names_.end(), name), names_.end());
  }
  bool contains(const std::string& name) const {
    return std::find(names_.begin(), names_.end(), name) != names_.end();
  }
  bool too_many() const { return names_.size() > kMost; }
  const std::string& oldest() const { return names_.front(); }

 private:
  std::deque<std::string> names_;
};

}  // namespace troupe
