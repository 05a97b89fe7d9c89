#include "gpu/training/lag.hpp"

#include "gpu/error.hpp"

#include <string>

namespace troupe::gpu {

void count_lags(const TrainingRollout& rollout, std::uint64_t tokens, std::uint64_t version,
                std::uint64_t staleness_bound, std::vector<std::uint64_t>& histogram) {
  const std::string name = "rollout " + std::to_string(rollout.id);
  std::uint64_t stamped = 0;
  for (const VersionRun& run : rollout.versions) {
    if (run.version > version)
      throw Error(name + " holds tokens of version " + std::to_string(run.version) +
                  ", newer than the trained version " + std::to_string(version));
    const std::uint64_t lag = version - run.version;
    if (lag > staleness_bound)
      throw Error(name + " holds tokens of version " + std::to_string(run.version) +
                  ": their lag " + std::to_string(lag) + " exceeds the staleness bound " +
                  std::to_string(staleness_bound));
    if (histogram.size() <= lag) histogram.resize(lag + 1);
    histogram[lag] += run.count;
    stamped += run.count;
  }
  if (stamped != tokens)
    throw Error(name + " has " + std::to_string(tokens) + " completion tokens, " +
                std::to_string(stamped) + " of them stamped with a version");
}

std::uint64_t tokens_beyond(const TrainingRollout& rollout, std::uint64_t version,
                            std::uint64_t staleness_bound) {
  std::uint64_t tokens = 0;
  for (const VersionRun& run : rollout.versions)
    if (run.version > version || version - run.version > staleness_bound) tokens += run.count;
  return tokens;
}

}  // namespace troupe::gpu
