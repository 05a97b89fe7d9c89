#include "messages/pki/files.hpp"

#include "tests/messages/pki/support.hpp"

#include <string>
#include <sys/stat.h>

TEST_SUITE_BEGIN("messages/pki");

namespace troupe::pki {

TEST_CASE("a file is replaced whole and has the mode that was asked for") {
  TemporaryDirectory scratch;
  const auto file = scratch.path() / "key";
  write_file(file, "longer than the next");
  ::chmod(file.c_str(), 0644);
  write_atomically(file, "secret", kPrivateFile);
  CHECK(read_file(file) == "secret");
  struct stat status = {};
  REQUIRE(::stat(file.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("a file that cannot be written leaves nothing behind") {
  TemporaryDirectory scratch;
  std::filesystem::create_directories(scratch.path() / "taken" / "by-a-directory");
  TROUPE_CHECK_HAS(error_of([&] { write_atomically(scratch.path() / "taken", "x", kPrivateFile); }),
                   "taken: cannot be written");
  CHECK(std::distance(std::filesystem::directory_iterator(scratch.path()), {}) == 1);
  TROUPE_CHECK_HAS(
      error_of([&] { write_atomically(scratch.path() / "no" / "x", "x", kPrivateFile); }),
      "check the path");
}

TEST_CASE("only regular files of bounded length are read") {
  TemporaryDirectory scratch;
  write_file(scratch.path() / "long", std::string(11, 'x'));
  CHECK(read_bounded(scratch.path() / "long", 11).size() == 11);
  TROUPE_CHECK_HAS(error_of([&] { read_bounded(scratch.path() / "long", 10); }), "longer than");
  TROUPE_CHECK_HAS(error_of([&] { read_bounded(scratch.path(), 10); }), "not a regular file");
  TROUPE_CHECK_HAS(error_of([&] { read_bounded("/dev/zero", 10); }), "not a regular file");
  TROUPE_CHECK_HAS(error_of([&] { read_bounded(scratch.path() / "none", 10); }), "check the path");
  REQUIRE(::mkfifo((scratch.path() / "pipe").c_str(), 0600) == 0);
  TROUPE_CHECK_HAS(error_of([&] { read_bounded(scratch.path() / "pipe", 10); }),
                   "not a regular file");
}

TEST_CASE("keys that others may read are noticed") {
  TemporaryDirectory scratch;
  const auto file = scratch.path() / "key";
  write_file(file, "");
  ::chmod(file.c_str(), 0600);
  CHECK_FALSE(open_to_others(file));
  ::chmod(file.c_str(), 0640);
  CHECK(open_to_others(file));
  ::chmod(scratch.path().c_str(), 0755);
  CHECK_FALSE(open_to_others(scratch.path()));
  ::chmod(scratch.path().c_str(), 0775);
  CHECK(open_to_others(scratch.path()));
}

TEST_CASE("a directory that is not there cannot be locked") {
  TROUPE_CHECK_HAS(error_of([] { DirectoryLock lock("/nonexistent"); }), "/nonexistent");
}

}  // namespace troupe::pki
