#pragma once
#include <cstddef>
#include <filesystem>
#include <initializer_list>
#include <span>

namespace troupe::gpu {

/// Writes the parts one after another to a temporary file beside `file`, syncs it, renames it to
/// `file` and syncs the directory: a reader sees the old content or the new. Errors: throws
/// gpu::Error naming the file; nothing is left behind.
void atomic_write(const std::filesystem::path& file,
                  std::initializer_list<std::span<const std::byte>> parts);

}  // namespace troupe::gpu
