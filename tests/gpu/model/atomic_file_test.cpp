#include "gpu/model/atomic_file.hpp"

#include "gpu/error.hpp"
#include "tests/support/temporary_directory.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

TEST_SUITE_BEGIN("gpu/model");

namespace troupe::gpu {
namespace {

std::filesystem::path temporary_of(const std::filesystem::path& file) {
  return file.string() + ".partial-" + std::to_string(getpid());
}

}  // namespace

TEST_CASE("a file keeps its old contents until the new ones are committed") {
  const TemporaryDirectory folder;
  const auto path = folder.path() / "file";
  write_atomically(path, "old");
  const std::string large(100'000, 'x');  // not gathered
  AtomicFile file(path);
  file.write("new ");
  file.write(large);
  file.write("text");
  CHECK(read_file(path) == "old");
  file.commit();
  CHECK(read_file(path) == "new " + large + "text");
  CHECK_FALSE(std::filesystem::exists(temporary_of(path)));
}

TEST_CASE("a file that is not committed leaves nothing") {
  const TemporaryDirectory folder;
  { AtomicFile(folder.path() / "file").write("text"); }
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("a full disk is an error and not a short file") {
  if (!std::filesystem::exists("/dev/full")) return;
  const TemporaryDirectory folder;
  const auto path = folder.path() / "file";
  write_atomically(path, "old");
  std::filesystem::create_symlink("/dev/full", temporary_of(path));
  CHECK_THROWS_WITH_AS(
      write_atomically(path, "new"),
      (path.string() + ": cannot be written: No space left on device; free space on its disk")
          .c_str(),
      Error);
  CHECK(read_file(path) == "old");
  CHECK_FALSE(std::filesystem::exists(temporary_of(path)));
}

TEST_CASE("a file in a folder that is not there is refused with the remedy") {
  const TemporaryDirectory folder;
  const auto path = folder.path() / "missing" / "file";
  CHECK_THROWS_WITH_AS(AtomicFile{path},
                       (path.string() + ": cannot be written: the folder does not exist; create " +
                        path.parent_path().string())
                           .c_str(),
                       Error);
}

}  // namespace troupe::gpu
