#pragma once
// What changed from one version of the weights to the next. Exact: values are compared and copied as bits.
#include <cstddef>
#include <cstdint>
#include <kj/array.h>
#include <kj/common.h>
#include <optional>
#include <vector>

namespace troupe {

/// Changed elements in ascending order, each as the count of unchanged ones before it (LEB128: 7 bits a byte, low ones
/// first, the top bit says that more follow) and its new bits. Pays where few elements change: at 1 % of bfloat16 values
/// about 3 bytes of 200.
///
/// element_bytes: 2 or 4. Sizes of before and after: equal, whole elements.
/// Returns nothing once the code would take more than `most` bytes, or at once if a sample of the values says that it would
/// take more than twice that. Any thread.
/// Source: arXiv:2602.03839 measures how few bfloat16 weights an update changes.
std::optional<std::vector<kj::byte>> encode_delta(kj::ArrayPtr<const kj::byte> before,
                                                  kj::ArrayPtr<const kj::byte> after,
                                                  std::size_t element_bytes, std::uint64_t most);

/// Writes the changed elements over `values`, a copy of what was there before. Overwriting is idempotent, but not undone:
/// after an error `values` is void.
/// Errors: throws kj::Exception if the code is cut short, leaves the buffer or is not as encode_delta writes it.
void apply_delta(kj::ArrayPtr<const kj::byte> delta, std::size_t element_bytes,
                 kj::ArrayPtr<kj::byte> values);

}  // namespace troupe
