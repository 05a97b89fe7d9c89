#pragma once
// The figures of metrics.jsonl as an event file of TensorBoard, which shows them with `tensorboard --logdir runs`.
// Format: TFRecord frames (length, masked CRC-32C of it, data, masked CRC-32C of it) around tensorflow.Event messages in
// protobuf's encoding (tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto).
#include "actors/telemetry/records.hpp"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe {

/// CRC-32C (Castagnoli), as in RFC 3720.
std::uint32_t crc32c(std::string_view bytes);

/// Counts of values up to each limit; limits ascend, the first bucket begins at `least`.
struct TensorBoardHistogram {
  double least = 0;
  std::vector<std::pair<double, double>> buckets;  // limit, count
};

/// One moment of a run.
struct TensorBoardEvent {
  double wall_time = 0;  // seconds since 1970; 0: when it is written
  std::int64_t step = 0;
  std::vector<std::pair<std::string, double>> scalars;
  std::vector<std::pair<std::string, TensorBoardHistogram>> histograms;
};

/// One frame. The first of a file says the format's version.
std::string event_frame(const TensorBoardEvent& event);
std::string first_event_frame(double wall_time);

/// `stage` begins every tag; the step is the update of the stage.
TensorBoardEvent event_of(const RolloutUpdateRecord& update, const std::string& stage);
TensorBoardEvent event_of(const SupervisedRecord& update, const std::string& stage);
TensorBoardEvent event_of(const EvaluationRecord& evaluation, const std::string& stage);
TensorBoardEvent event_of(const LedgerRecord& ledger, const std::string& stage,
                          std::int32_t update);

/// events.out.tfevents.* in a run directory. Used under its owner's lock.
class TensorBoardFile {
 public:
  /// Replaces those that are there.
  explicit TensorBoardFile(const std::filesystem::path& folder);
  /// False the first time that one is lost; true otherwise, so that a loss is reported once.
  bool write(TensorBoardEvent event);

 private:
  bool append(const std::string& frame);

  std::ofstream file_;
  bool lost_ = false;
};

}  // namespace troupe
