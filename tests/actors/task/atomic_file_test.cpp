#include "actors/task/atomic_file.hpp"

#include "tests/actors/task/temporary_folder.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/task");

using namespace troupe;

TEST_CASE("a file keeps its old contents until the new ones are committed") {
  const TemporaryFolder folder;
  const auto path = folder.write("file", "old");
  AtomicFile file(path);
  file.write("new ");
  file.write("text");
  CHECK(contents(path) == "old");
  file.commit();
  CHECK(contents(path) == "new text");
}

TEST_CASE("a file that is not committed leaves nothing") {
  const TemporaryFolder folder;
  { AtomicFile(folder.path() / "file").write("text"); }
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("a full disk is an error and not a short file") {
  if (!std::filesystem::exists("/dev/full")) return;
  const TemporaryFolder folder;
  const auto path = folder.write("file", "old");
  std::filesystem::create_symlink("/dev/full", folder.path() / "file.partial");
  const auto action = [&] {
    AtomicFile file(path);
    file.write("new");
    file.commit();
  };
  CHECK(message_of(action, folder.path()) ==
        "file: cannot be written: check the free space on its disk");
  CHECK(contents(path) == "old");
}
