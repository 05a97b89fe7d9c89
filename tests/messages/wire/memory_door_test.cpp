#include "messages/wire/memory_door.hpp"

#include "tests/support/link.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

TEST_SUITE_BEGIN("messages/wire");

namespace troupe::wire {
namespace {

const std::vector<float> kValues{1.5f, -2, 0, 7};

kj::ArrayPtr<const kj::byte> bytes() {
  return {reinterpret_cast<const kj::byte*>(kValues.data()), kValues.size() * sizeof(float)};
}

/// A door and whoever knocks, on one loop.
struct Doorway {
  support::QuietKj quiet;
  kj::AsyncIoContext io = kj::setupAsyncIo();
  Loop loop{*io.provider, *io.lowLevelProvider, io.provider->getTimer()};
  MemoryDoor door{loop};

  int fetch(const MemoryToken& token) {
    file = fetch_memory(loop, door.socket(), kj::arrayPtr(token.data(), token.size()))
               .wait(io.waitScope);
    return file.get();
  }
  kj::AutoCloseFd file;
};

}  // namespace

TEST_CASE("sealed memory reads as it was and can neither be written nor resized nor unsealed") {
  const SealedMemory memory(bytes());
  const auto mapped = map_sealed(memory.descriptor(), memory.size());
  CHECK(std::equal(kValues.begin(), kValues.end(), mapped.get()));
  CHECK(::ftruncate(memory.descriptor(), 0) != 0);
  CHECK(::write(memory.descriptor(), "x", 1) < 0);
  CHECK(::mmap(nullptr, memory.size(), PROT_READ | PROT_WRITE, MAP_SHARED, memory.descriptor(),
               0) == MAP_FAILED);
  CHECK(::fcntl(memory.descriptor(), F_ADD_SEALS, F_SEAL_GROW) != 0);
}

TEST_CASE("memory that could still be changed or of another size is not mapped") {
  const SealedMemory memory(bytes());
  CHECK_THROWS_AS(map_sealed(memory.descriptor(), memory.size() + 1), kj::Exception);
  CHECK_THROWS_AS(map_sealed(memory.descriptor(), memory.size() - 1), kj::Exception);
  for (const int seals :
       {0, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SEAL}) {
    const kj::AutoCloseFd open(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    REQUIRE(::ftruncate(open, 16) == 0);
    REQUIRE(::fcntl(open, F_ADD_SEALS, seals) == 0);
    CHECK_THROWS_AS(map_sealed(open, 16), kj::Exception);
  }
  const kj::AutoCloseFd device(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  CHECK_THROWS_AS(map_sealed(device, 16), kj::Exception);
}

TEST_CASE("a mapping outlives the memory object and its descriptor") {
  auto memory = std::make_shared<const SealedMemory>(bytes());
  const auto mapped = map_sealed(memory->descriptor(), memory->size());
  memory.reset();
  CHECK(mapped[3] == 7);
}

TEST_CASE_FIXTURE(Doorway, "who shows the token gets the memory and only once") {
  const auto memory = std::make_shared<const SealedMemory>(bytes());
  const MemoryToken token = door.offer(memory);
  const auto mapped = map_sealed(fetch(token), memory->size());
  CHECK(mapped[0] == 1.5f);
  CHECK_THROWS_AS(fetch(token), kj::Exception);
  CHECK(memory.use_count() == 1);
}

TEST_CASE_FIXTURE(Doorway, "a wrong or withdrawn token gets nothing") {
  const auto memory = std::make_shared<const SealedMemory>(bytes());
  MemoryToken token = door.offer(memory);
  token[31] ^= 1;
  CHECK_THROWS_AS(fetch(token), kj::Exception);
  token[31] ^= 1;
  door.withdrawal(token)();
  CHECK(memory.use_count() == 1);
  CHECK_THROWS_AS(fetch(token), kj::Exception);
}

TEST_CASE_FIXTURE(Doorway, "names that are no door of ours are not dialled") {
  const MemoryToken token{};
  const auto bytes_of_token = kj::arrayPtr(token.data(), token.size());
  CHECK_THROWS_AS(fetch_memory(loop, "dbus-1", bytes_of_token), kj::Exception);
  CHECK_THROWS_AS(fetch_memory(loop, door.socket(), bytes_of_token.slice(0, 31)), kj::Exception);
  CHECK_THROWS_AS(fetch_memory(loop, "troupe-weights-none", bytes_of_token).wait(io.waitScope),
                  kj::Exception);
}

TEST_CASE("a machine has one name") {
  CHECK(machine_name().size() > 30);
  CHECK(machine_name() == machine_name());
}

}  // namespace troupe::wire
