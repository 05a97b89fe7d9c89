// A NCCL that works on host memory, between threads and processes of one host, through shared
// memory. Nothing blocks: work moves on when its communicator is asked about or its stream is. Told
// what to do wrong by the environment, when a communicator is made:
//   FAKE_NCCL_POLLS=n         every call is in progress for n questions
//   FAKE_NCCL_FAIL=call:n     the n-th such call fails after it was given (init, all_reduce, ...)
//   FAKE_NCCL_HANG=call:n     the n-th such call is never done
//   FAKE_NCCL_BLOCK=call:n    the n-th such call does not return until the communicator is aborted
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

constexpr int kSuccess = 0, kSystemError = 2, kInvalidUsage = 5, kRemoteError = 6, kInProgress = 7;
constexpr int kMostRanks = 4;
constexpr std::size_t kArea = 1 << 20;

struct Shared {
  std::atomic<int> joined, left;
  std::array<std::atomic<std::uint64_t>, kMostRanks> given, taken;  // pieces, by rank
  std::array<std::array<char, kArea>, kMostRanks> areas;
};

enum class Work { all_reduce, reduce, broadcast };

/// What fits into an area at once.
struct Piece {
  Work work;
  const char* from;
  char* to;
  std::size_t bytes;
  int root;
  void* stream;
};

struct Fault {
  std::string call;
  int at = 0;
};

Fault fault(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return {};
  const std::string whole = text;
  const auto colon = whole.find(':');
  return {whole.substr(0, colon), std::atoi(whole.c_str() + colon + 1)};
}

struct Comm {
  int rank = 0, size = 0;
  std::string name;
  Shared* shared = nullptr;
  int polls = 0, polls_left = 0;
  Fault fail, hang, block;
  std::map<std::string, int> calls;
  std::deque<Piece> pieces;
  std::uint64_t piece = 1;  // the first of `pieces`
  bool leaving = false;
  std::atomic<bool> failed{false}, hanging{false};
  std::atomic<bool> aborted{false};
  std::mutex
      mutex;  // guards `pieces`, `piece` and what is done with them: streams of other threads ask too

  /// Counts the call; goes wrong if told so.
  int begin(const std::string& call) {
    const int count = ++calls[call];
    polls_left = polls;
    failed = failed || (fail.call == call && fail.at == count);
    hanging = hanging || (hang.call == call && hang.at == count);
    while (block.call == call && block.at == count && !aborted) std::this_thread::yield();
    return kInProgress;
  }

  bool idle(void* stream) {
    progress();
    const std::lock_guard lock(mutex);
    return std::none_of(pieces.begin(), pieces.end(),
                        [&](const Piece& one) { return one.stream == stream; });
  }

  bool all(const std::array<std::atomic<std::uint64_t>, kMostRanks>& counts,
           std::uint64_t least) const {
    for (int r = 0; r < size; ++r)
      if (counts[static_cast<std::size_t>(r)] < least) return false;
    return true;
  }

  void progress() {
    const std::lock_guard lock(mutex);
    while (!pieces.empty() && !hanging && !aborted && step()) {
    }
  }

  /// False while others must come first.
  bool step() {
    const auto own = static_cast<std::size_t>(rank);
    const Piece& now = pieces.front();
    if (shared->given[own] < piece) {
      if (!all(shared->taken, piece - 1)) return false;
      std::memcpy(shared->areas[own].data(), now.from, now.bytes);
      shared->given[own] = piece;
    }
    if (!all(shared->given, piece)) return false;
    take(now);
    shared->taken[own] = piece++;
    pieces.pop_front();
    return true;
  }

  void take(const Piece& now) {
    if (now.work == Work::broadcast) {
      std::memcpy(now.to, shared->areas[static_cast<std::size_t>(now.root)].data(), now.bytes);
    } else if (now.work == Work::all_reduce || now.root == rank) {
      auto* sums = reinterpret_cast<float*>(now.to);
      std::memcpy(sums, shared->areas[0].data(), now.bytes);
      for (int r = 1; r < size; ++r) {
        const auto* values =
            reinterpret_cast<const float*>(shared->areas[static_cast<std::size_t>(r)].data());
        for (std::size_t i = 0; i < now.bytes / sizeof(float); ++i) sums[i] += values[i];
      }
    }
  }
};

std::mutex mutex;  // guards what follows
std::vector<std::unique_ptr<Comm>>
    comms;  // for good: a call may still look at one that was aborted
int made = 0;

struct Id {
  char bytes[128];
};

void add(Comm& comm, Work work, const void* from, void* to, std::size_t bytes, int root,
         void* stream) {
  const std::lock_guard lock(comm.mutex);
  for (std::size_t at = 0; at < bytes; at += kArea)
    comm.pieces.push_back({work, static_cast<const char*>(from) + at, static_cast<char*>(to) + at,
                           std::min(kArea, bytes - at), root, stream});
}

int state_of(Comm& comm) {
  if (comm.failed) return kRemoteError;
  if (comm.hanging) return kInProgress;
  if (comm.polls_left > 0) {
    --comm.polls_left;
    return kInProgress;
  }
  if (comm.shared->joined < comm.size) return kInProgress;
  if (comm.leaving) return comm.shared->left < comm.size ? kInProgress : kSuccess;
  if (comm.rank == 0) shm_unlink(comm.name.c_str());
  comm.progress();
  return kSuccess;
}

}  // namespace

// NOLINTBEGIN(readability-identifier-naming): NCCL gives them these names.
extern "C" {

int ncclGetVersion(int* version) {
  *version = 22809;
  return kSuccess;
}

int ncclGetUniqueId(Id* id) {
  const std::lock_guard lock(mutex);
  const std::string name =
      "/troupe-fake-nccl-" + std::to_string(getpid()) + "-" + std::to_string(++made);
  std::memset(id->bytes, 0, sizeof(id->bytes));
  std::memcpy(id->bytes, name.data(), name.size());
  return kSuccess;
}

int ncclCommInitRankConfig(void** comm, int size, Id id, int rank, void* config) {
  if (size > kMostRanks || static_cast<int*>(config)[4] != 0) return kInvalidUsage;  // blocking
  const int file = shm_open(id.bytes, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, sizeof(Shared)) != 0) return kSystemError;
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) return kSystemError;
  auto made_now = std::make_unique<Comm>();
  made_now->rank = rank;
  made_now->size = size;
  made_now->name = id.bytes;
  made_now->shared = static_cast<Shared*>(memory);  // zeros: a valid beginning
  const char* polls = std::getenv("FAKE_NCCL_POLLS");
  made_now->polls = polls == nullptr ? 0 : std::atoi(polls);
  made_now->fail = fault("FAKE_NCCL_FAIL");
  made_now->hang = fault("FAKE_NCCL_HANG");
  made_now->block = fault("FAKE_NCCL_BLOCK");
  *comm = made_now.get();
  ++made_now->shared->joined;
  Comm& kept = *made_now;
  {
    const std::lock_guard lock(mutex);
    comms.push_back(std::move(made_now));
  }
  return kept.begin("init");
}

int ncclCommGetAsyncError(void* comm, int* state) {
  *state = state_of(*static_cast<Comm*>(comm));
  return kSuccess;
}

int ncclCommFinalize(void* comm) {
  auto& self = *static_cast<Comm*>(comm);
  self.leaving = true;
  ++self.shared->left;
  return self.begin("finalize");
}

int ncclCommDestroy(void* comm) {
  static_cast<Comm*>(comm)->aborted = true;
  return kSuccess;
}

int ncclCommAbort(void* comm) {
  auto& self = *static_cast<Comm*>(comm);
  self.aborted = true;
  shm_unlink(self.name.c_str());
  return kSuccess;
}

const char* ncclGetErrorString(int code) {
  return code == kRemoteError ? "remote process exited or there was a network error"
                              : "invalid usage or system error";
}

const char* ncclGetLastError(void*) {
  return "as told by the environment";
}

int ncclGroupStart() {
  return kSuccess;
}

int ncclGroupEnd() {
  return kInProgress;
}

int ncclAllReduce(const void* from, void* to, std::size_t count, int, int, void* comm,
                  void* stream) {
  auto& self = *static_cast<Comm*>(comm);
  const int result = self.begin("all_reduce");
  add(self, Work::all_reduce, from, to, count * sizeof(float), 0, stream);
  return result;
}

int ncclReduce(const void* from, void* to, std::size_t count, int, int, int root, void* comm,
               void* stream) {
  auto& self = *static_cast<Comm*>(comm);
  const int result = self.begin("reduce");
  add(self, Work::reduce, from, to, count * sizeof(float), root, stream);
  return result;
}

int ncclBroadcast(const void* from, void* to, std::size_t count, int, int root, void* comm,
                  void* stream) {
  auto& self = *static_cast<Comm*>(comm);
  const int result = self.begin("broadcast");
  add(self, Work::broadcast, from, to, count, root, stream);
  return result;
}
}
// NOLINTEND(readability-identifier-naming)

/// What cudaStreamQuery tells of a real stream: whether all that was given to it is done.
extern "C" bool troupe_nccl_host_idle(void* stream) {
  const std::lock_guard lock(mutex);
  bool idle = true;
  for (const auto& comm : comms)
    if (!comm->aborted) idle = comm->idle(stream) && idle;
  return idle;
}
