// Versions of the weights from one process to another by NCCL, in buckets, while the receiver decodes. Both may use one
// GPU: to NCCL they are two hosts then. With a library made for the tests it shows that the way works, not how fast NCCL is.
// usage: troupe_nccl_bench [--library FILE] [--device cuda:N] [MEGABYTES]
#include "gpu/device.hpp"
#include "gpu/error.hpp"
#include "gpu/model/manifest.hpp"
#include "gpu/sampling/continuous_batch.hpp"
#include "gpu/sampling/cpu_engine.hpp"
#include "gpu/transport/weight_pipe.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <future>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

using namespace troupe;
using Clock = std::chrono::steady_clock;

constexpr int kVersions = 4, kSkipped = 77;
constexpr std::chrono::milliseconds kDeadline{60000};

struct Options {
  std::string library = "libnccl.so.2", device = "cuda:0";
  std::size_t floats = 250'000'000;
  bool made_for_tests() const { return library.find("fake") != std::string::npos; }
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void require(bool good, const char* what) {
  if (!good) throw std::runtime_error(what);
}

void give(int pipe, const void* from, std::size_t bytes) {
  require(::write(pipe, from, bytes) == static_cast<ssize_t>(bytes), "a pipe is broken");
}
void take(int pipe, void* to, std::size_t bytes) {
  auto* at = static_cast<char*>(to);
  for (std::size_t done = 0; done < bytes;) {
    const ssize_t got = ::read(pipe, at + done, bytes - done);
    require(got > 0, "the other process has ended");
    done += static_cast<std::size_t>(got);
  }
}

std::vector<float> version(int number, std::size_t floats) {
  std::vector<float> values(floats);
  for (std::size_t i = 0; i < floats; ++i)
    values[i] = static_cast<float>((i * 2654435761u + static_cast<std::size_t>(number)) & 0xffff);
  return values;
}

void carry(const std::function<void(gpu::WeightPipe::Done)>& start) {
  std::promise<std::string> done;
  start([&](const std::string& problem) { done.set_value(problem); });
  const std::string problem = done.get_future().get();
  if (!problem.empty()) throw std::runtime_error(problem);
}

/// A digest as text of a fixed length, for a pipe.
using Digest = std::array<char, 128>;
Digest digest_of(const float* values, std::size_t floats) {
  Digest digest{};
  const std::string text = gpu::weights_digest(values, floats);
  std::copy_n(text.begin(), std::min(text.size(), digest.size() - 1), digest.begin());
  return digest;
}

void send_all(const Options& options, std::shared_ptr<const gpu::NcclLibrary> library,
              const gpu::NcclId& id, int out, int in) {
  gpu::WeightPipe pipe(std::move(library), {0, 2, id}, kDeadline);
  for (int number = 0; number < kVersions; ++number) {
    const std::vector<float> values = version(number, options.floats);
    const Digest digest = digest_of(values.data(), values.size());
    give(out, digest.data(), digest.size());
    carry([&](auto done) { pipe.send(values, std::move(done)); });
    char heard = 0;
    take(in, &heard, 1);  // the receiver is through with its digest
  }
}

/// Decodes without end: what a step takes.
class Decoder {
 public:
  explicit Decoder(const Options& options) : elements_(gpu::manifest_of(config()).elements) {
    gpu::set_compute_threads(1);
    engine_ = options.made_for_tests()
                  ? gpu::make_cpu_engine(config(), kSlots, kCapacity, 1)
                  : gpu::make_torch_engine(config(), kSlots, kCapacity, options.device);
    params_.max_new_tokens = kCapacity - 8;
    batch_.emplace(*engine_, params_, 1);
    const auto values = std::shared_ptr<float[]>(new float[elements_]);
    std::fill_n(values.get(), elements_, 0.01f);
    batch_->swap(values, 0);
  }
  double step() {
    for (; under_way_ < kSlots; ++under_way_, ++next_) batch_->submit({next_, next_, {1, 2, 3}, 0});
    const auto start = Clock::now();
    batch_->step();
    const double seconds = seconds_since(start);
    under_way_ -= static_cast<int>(batch_->take_finished().size());
    return seconds;
  }

 private:
  static constexpr int kSlots = 16, kCapacity = 256;
  static gpu::DecoderConfig config() {
    gpu::DecoderConfig decoder;
    decoder.vocab_size = 8192;
    decoder.hidden_size = 512;
    decoder.intermediate_size = 1408;
    decoder.num_layers = 6;
    decoder.num_heads = decoder.num_kv_heads = 8;
    decoder.head_dim = 64;
    decoder.max_positions = kCapacity;
    return decoder;
  }
  const std::uint64_t elements_;
  std::unique_ptr<gpu::Engine> engine_;
  gpu::SamplingParams params_;
  std::optional<gpu::ContinuousBatch> batch_;
  int under_way_ = 0;
  std::uint64_t next_ = 0;
};

void receive_all(const Options& options, std::shared_ptr<const gpu::NcclLibrary> library,
                 const gpu::NcclId& id, int out, int in) {
  Decoder decoder(options);
  double alone = 0;
  constexpr int kSteps = 20;
  decoder.step();
  for (int i = 0; i < kSteps; ++i) alone += decoder.step() / kSteps;
  gpu::WeightPipe pipe(std::move(library), {1, 2, id}, kDeadline);
  std::vector<float> values(options.floats);
  for (int number = 0; number < kVersions; ++number) {
    Digest wanted;
    take(in, wanted.data(), wanted.size());
    const auto start = Clock::now();
    auto carried = std::async(std::launch::async, [&] {
      carry([&](auto done) { pipe.receive(values, std::move(done)); });
      return seconds_since(start);
    });
    int steps = 0;
    double longest = 0, sum = 0;
    while (carried.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
      const double one = decoder.step();
      longest = std::max(longest, one);
      sum += one;
      ++steps;
    }
    const double seconds = carried.get();
    const double bytes = static_cast<double>(options.floats) * sizeof(float);
    const bool equal = digest_of(values.data(), values.size()) == wanted;
    std::printf(
        "%sversion %d%s: %.0f MB in %.3f s, %.0f MB/s, digest %s; decode step %.5f s alone, %.5f s "
        "in %d steps beside it, the longest %.5f s\n",
        options.made_for_tests() ? "library of the tests: " : "", number,
        number == 0 ? " (makes the group)" : "", bytes / 1e6, seconds, bytes / 1e6 / seconds,
        equal ? "equal" : "WRONG", alone, steps > 0 ? sum / steps : 0, steps, longest);
    std::fflush(stdout);
    require(equal, "another version has come than was sent");
    give(out, "v", 1);
  }
}

/// Two processes that share a GPU are two hosts to NCCL, which meet on the loopback interface.
void set_environment(int rank) {
  setenv("NCCL_HOSTID", rank == 0 ? "r0" : "r1", 0);
  for (const auto& [name, value] :
       std::initializer_list<std::pair<const char*, const char*>>{{"NCCL_SOCKET_IFNAME", "lo"},
                                                                  {"NCCL_IB_DISABLE", "1"},
                                                                  {"NCCL_NET", "Socket"},
                                                                  {"NCCL_NVLS_ENABLE", "0"}})
    setenv(name, value, 0);
}

int run(const Options& options, int rank, int out, int in) {
  set_environment(rank);
  std::shared_ptr<const gpu::NcclLibrary> library;
  try {
    library = gpu::open_nccl(options.library, options.device);
  } catch (const gpu::Error& error) {
    if (rank == 0) std::printf("does not run here: %s\n", error.what());
    return kSkipped;
  }
  try {
    gpu::NcclId id;
    if (rank == 0) {
      require(library->api.unique_id(&id) == gpu::nccl_success, "no unique id");
      give(out, id.bytes.data(), id.bytes.size());
      send_all(options, library, id, out, in);
    } else {
      take(in, id.bytes.data(), id.bytes.size());
      receive_all(options, library, id, out, in);
    }
    return 0;
  } catch (const std::exception& error) {
    std::printf("rank %d: %s\n", rank, error.what());
    return 1;
  }
}

Options read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--library" && i + 1 < argc)
      options.library = argv[++i];
    else if (word == "--device" && i + 1 < argc)
      options.device = argv[++i];
    else
      options.floats = std::strtoull(argv[i], nullptr, 10) * 1'000'000 / sizeof(float);
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  std::array<int, 2> there{}, back{};  // from rank 0 to rank 1, and back
  if (::pipe(there.data()) != 0 || ::pipe(back.data()) != 0) return 1;
  std::array<pid_t, 2> children{};
  for (int rank = 0; rank < 2; ++rank) {  // forked before there is a device
    children[static_cast<std::size_t>(rank)] = ::fork();
    if (children[static_cast<std::size_t>(rank)] != 0) continue;
    ::close(rank == 0 ? there[0] : there[1]);
    ::close(rank == 0 ? back[1] : back[0]);
    const int code =
        rank == 0 ? run(options, 0, there[1], back[0]) : run(options, 1, back[1], there[0]);
    std::fflush(stdout);
    ::_exit(code);
  }
  for (const int end : {there[0], there[1], back[0], back[1]}) ::close(end);
  int worst = 0;
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    worst = std::max(worst, WIFEXITED(status) ? WEXITSTATUS(status) : 1);
  }
  return worst;
}
