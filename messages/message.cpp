#include "messages/message.hpp"

namespace troupe {
namespace {
constexpr int kNestingLimit = 32;
constexpr std::uint64_t kSlackWords = 4096;
}  // namespace

capnp::ReaderOptions untrusted_reader_options(std::size_t words) {
  capnp::ReaderOptions options;
  options.traversalLimitInWords =
      2 * words + kSlackWords;  // totalSize() and validate() each walk it once
  options.nestingLimit = kNestingLimit;
  return options;
}

capnp::ReaderOptions checked_reader_options() {
  capnp::ReaderOptions options;
  options.traversalLimitInWords = std::uint64_t{1} << 60;
  options.nestingLimit = kNestingLimit;
  return options;
}

}  // namespace troupe
