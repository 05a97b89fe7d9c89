// Sums over the ranks of a learner: threads, and a ring over TLS on the loopback interface, beside
// the copy and the stream that they are made of.
#include "gpu/transport/thread_communicator.hpp"
#include "tests/support/tls_ranks.hpp"

#include <chrono>
#include <cstdio>
#include <cstring>

namespace troupe {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kFloats = 8 << 20;  // 32 MiB
constexpr int kRounds = 20;
constexpr std::chrono::milliseconds kPatience{60000};

double since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

void report(const char* what, double bytes, double seconds) {
  std::printf("%-44s %8.0f MB/s\n", what, bytes / seconds / 1e6);
}

void copy() {
  std::vector<float> from(kFloats, 1.0f), to(kFloats);
  const auto begin = Clock::now();
  for (int i = 0; i < kRounds; ++i) {
    from[static_cast<std::size_t>(i)] = static_cast<float>(i);
    std::memcpy(to.data(), from.data(), kFloats * sizeof(float));
  }
  report("memcpy, one thread", double{kRounds} * kFloats * sizeof(float), since(begin));
}

/// Bytes of the buffer that is summed, per second.
void all_reduce(const char* what, const support::Ends& ends) {
  const auto begin = Clock::now();
  for (const std::string& problem : support::on_all_ranks(ends, [](gpu::Communicator& end) {
         std::vector<float> values(kFloats, 1e-3f);
         for (int i = 0; i < kRounds; ++i) end.all_reduce_sum(values);
       }))
    if (!problem.empty()) std::printf("%s\n", problem.c_str());
  report(what, double{kRounds} * kFloats * sizeof(float), since(begin));
}

/// One way, in slices like those of the ring.
void raw_tls() {
  support::TlsRanks ranks(kPatience);
  const std::vector<std::byte> slice(256 << 10);
  constexpr int kSlices = 4000;
  const auto until = Clock::now() + kPatience;
  const auto begin = Clock::now();
  std::thread sender([&] {
    for (int i = 0; i < kSlices; ++i)
      if (!ranks.streams[0]->send(slice, until).empty()) return;
  });
  std::vector<std::byte> received(slice.size());
  for (int i = 0; i < kSlices; ++i)
    if (const std::string problem = ranks.streams[1]->receive(received, until); !problem.empty())
      std::printf("%s\n", problem.c_str());
  sender.join();
  report("TLS stream, one way", double{kSlices} * static_cast<double>(slice.size()), since(begin));
}

}  // namespace
}  // namespace troupe

int main() {
  using namespace troupe;
  copy();
  for (const int ranks : {2, 4})
    all_reduce(ranks == 2 ? "all-reduce, 2 threads" : "all-reduce, 4 threads",
               gpu::make_thread_communicators(ranks, kPatience));
  raw_tls();
  support::TlsRanks ranks(kPatience);
  all_reduce("all-reduce, ring of 2 over TLS", ranks.ends);
  return 0;
}
