#include "actors/telemetry/tensorboard.hpp"

#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>

namespace troupe {

namespace {

static_assert(std::endian::native == std::endian::little,
              "bytes are written as they lie in memory");

constexpr std::array<std::uint32_t, 256> castagnoli_table() {
  constexpr std::uint32_t kReversed = 0x82f63b78;
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ (value & 1 ? kReversed : 0);
    table[byte] = value;
  }
  return table;
}

std::uint32_t masked_crc(std::string_view bytes) {
  constexpr std::uint32_t kMask = 0xa282ead8;
  return std::rotr(crc32c(bytes), 15) + kMask;
}

template <class Number>
std::string bytes_of(Number number) {
  std::string bytes(sizeof number, '\0');
  std::memcpy(bytes.data(), &number, sizeof number);
  return bytes;
}

// Protobuf: a field is its number and wire type, then the value.
enum class WireType : unsigned { varint = 0, eight_bytes = 1, length = 2, four_bytes = 5 };

std::string varint(std::uint64_t value) {
  std::string bytes;
  constexpr std::uint64_t kMore = 0x80;
  for (; value >= kMore; value >>= 7) bytes += static_cast<char>(value | kMore);
  return bytes + static_cast<char>(value);
}

std::string key(unsigned field, WireType type) {
  return varint(field << 3 | static_cast<unsigned>(type));
}

std::string field(unsigned number, double value) {
  return key(number, WireType::eight_bytes) + bytes_of(value);
}

std::string field(unsigned number, std::int64_t value) {
  return key(number, WireType::varint) + varint(static_cast<std::uint64_t>(value));
}

std::string field(unsigned number, std::string_view bytes) {
  return key(number, WireType::length) + varint(bytes.size()) + std::string(bytes);
}

std::string frame(const std::string& message) {
  const std::string length = bytes_of(std::uint64_t{message.size()});
  return length + bytes_of(masked_crc(length)) + message + bytes_of(masked_crc(message));
}

/// tensorflow.HistogramProto. The sums take each value for the middle of its bucket.
std::string histogram_message(const TensorBoardHistogram& histogram) {
  double count = 0, sum = 0, squares = 0, low = histogram.least, least = 0, most = 0;
  std::string limits, counts;
  for (const auto& [limit, number] : histogram.buckets) {
    const double middle = (low + limit) / 2;
    if (number > 0) {
      if (count == 0) least = low;
      most = limit;
    }
    count += number;
    sum += number * middle;
    squares += number * middle * middle;
    limits += bytes_of(limit);
    counts += bytes_of(number);
    low = limit;
  }
  return field(1, least) + field(2, most) + field(3, count) + field(4, sum) + field(5, squares) +
         field(6, limits) + field(7, counts);
}

std::string value_message(const std::string& tag, const std::string& value) {
  return field(1, field(1, tag) + value);  // tensorflow.Summary: its values are field 1
}

/// The values of a lag are whole numbers: each in the middle of its bucket.
TensorBoardHistogram lags(const std::vector<std::uint64_t>& tokens) {
  TensorBoardHistogram histogram;
  histogram.least = -0.5;
  for (std::size_t lag = 0; lag < tokens.size(); ++lag)
    histogram.buckets.emplace_back(static_cast<double>(lag) + 0.5,
                                   static_cast<double>(tokens[lag]));
  return histogram;
}

TensorBoardHistogram lengths(const LengthCounts& counts) {
  TensorBoardHistogram histogram;
  double above = 0;  // where the bucket before ends; those without rollouts are not in the counts
  for (const auto& [bound, rollouts] : counts) {
    if (bound == 0) continue;
    const double limit = static_cast<double>(bound);
    if (above > 0 ? above < limit / 2 : length_bucket(0) < bound)
      histogram.buckets.emplace_back(limit / 2, 0);
    histogram.buckets.emplace_back(limit, static_cast<double>(rollouts));
    above = limit;
  }
  return histogram;
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

constexpr const char* kBegins = "events.out.tfevents.";
constexpr const char* kEnds = ".troupe";

/// Those of processes before this one go: TensorBoard would show all their points beside those of this one.
std::filesystem::path fresh_file(const std::filesystem::path& folder) {
  std::error_code error;  // a folder that cannot be read cannot be written either, which is told
  std::vector<std::filesystem::path> old;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kBegins) && name.ends_with(kEnds)) old.push_back(entry.path());
  }
  for (const auto& path : old) std::filesystem::remove(path, error);
  return folder / (kBegins + std::to_string(std::llround(now())) + kEnds);
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static constexpr auto kTable = castagnoli_table();
  std::uint32_t value = ~std::uint32_t{0};
  for (const char c : bytes)
    value = kTable[(value ^ static_cast<unsigned char>(c)) & 0xff] ^ (value >> 8);
  return ~value;
}

std::string event_frame(const TensorBoardEvent& event) {
  std::string summary;
  for (const auto& [tag, value] : event.scalars) {
    const float number = static_cast<float>(value);
    summary += value_message(tag, key(2, WireType::four_bytes) + bytes_of(number));
  }
  for (const auto& [tag, histogram] : event.histograms)
    if (!histogram.buckets.empty())
      summary += value_message(tag, field(5, histogram_message(histogram)));
  return frame(field(1, event.wall_time) + field(2, event.step) + field(5, summary));
}

std::string first_event_frame(double wall_time) {
  return frame(field(1, wall_time) + field(3, "brain.Event:2"));
}

TensorBoardEvent event_of(const RolloutUpdateRecord& u, const std::string& stage) {
  const auto tag = [&](const char* name) { return stage + "/" + name; };
  return {.step = u.update,
          .scalars = {{tag("reward_mean"), u.reward_mean},
                      {tag("pass_rate"), u.pass_rate},
                      {tag("format_rate"), u.format_rate},
                      {tag("mean_response_tokens"), u.response_tokens_mean},
                      {tag("signal_share"), u.signal_share},
                      {tag("objective"), u.objective},
                      {tag("entropy"), u.entropy},
                      {tag("kl_behaviour"), u.kl_behaviour},
                      {tag("kl_reference"), u.kl_reference},
                      {tag("clip_fraction_low"), u.clip_fraction_low},
                      {tag("clip_fraction_high"), u.clip_fraction_high},
                      {tag("clip_fraction_dual"), u.clip_fraction_dual},
                      {tag("ratio_mean"), u.ratio_mean},
                      {tag("ratio_min"), u.ratio_min},
                      {tag("ratio_max"), u.ratio_max},
                      {tag("effective_sample_size"), u.effective_sample_size},
                      {tag("gradient_norm"), u.gradient_norm},
                      {tag("learning_rate"), u.learning_rate},
                      {tag("log_prob_gap_mean"), u.log_prob_gap_mean},
                      {tag("log_prob_gap_max"), u.log_prob_gap_max},
                      {tag("trained_tokens"), static_cast<double>(u.trained_tokens)},
                      {tag("wait_seconds"), u.wait_seconds},
                      {tag("train_seconds"), u.train_seconds}},
          .histograms = {{tag("lag"), lags(u.lag_histogram)}}};
}

TensorBoardEvent event_of(const SupervisedRecord& u, const std::string& stage) {
  TensorBoardEvent event{.step = u.update,
                         .scalars = {{stage + "/loss", u.loss},
                                     {stage + "/learning_rate", u.learning_rate},
                                     {stage + "/gradient_norm", u.gradient_norm},
                                     {stage + "/positions_per_second", u.positions_per_second}}};
  if (u.gate_share) event.scalars.emplace_back(stage + "/gate_share", *u.gate_share);
  return event;
}

TensorBoardEvent event_of(const EvaluationRecord& e, const std::string& stage) {
  return {.step = e.update,
          .scalars = {{stage + "/held_out/pass_rate_sampled", e.pass_rate_sampled},
                      {stage + "/held_out/pass_rate_greedy", e.pass_rate_greedy},
                      {stage + "/held_out/format_rate", e.format_rate},
                      {stage + "/held_out/mean_response_tokens", e.mean_response_tokens}}};
}

TensorBoardEvent event_of(const LedgerRecord& ledger, const std::string& stage,
                          std::int32_t update) {
  const auto number = [](std::uint64_t count) { return static_cast<double>(count); };
  const std::string begin = stage + "/ledger/";
  TensorBoardEvent event{
      .step = update,
      .scalars = {{begin + "generated_rollouts", number(ledger.generated_rollouts)},
                  {begin + "trained_rollouts", number(ledger.trained_rollouts)},
                  {begin + "buffered_rollouts", number(ledger.buffered_rollouts)},
                  {begin + "in_flight_rollouts", number(ledger.in_flight_rollouts)},
                  {begin + "max_lag", number(ledger.max_lag)}}};
  const std::string dropped = begin + "dropped_rollouts/";
  for (const auto& [reason, rollouts] : ledger.dropped_rollouts)
    event.scalars.emplace_back(dropped + reason, number(rollouts));
  event.histograms.emplace_back(begin + "trained_lengths", lengths(ledger.trained_lengths));
  return event;
}

TensorBoardFile::TensorBoardFile(const std::filesystem::path& folder)
    : file_(fresh_file(folder), std::ios::binary | std::ios::trunc) {
  file_ << first_event_frame(now()) << std::flush;  // a failure shows at the first event
}

bool TensorBoardFile::write(TensorBoardEvent event) {
  if (event.wall_time == 0) event.wall_time = now();
  return append(event_frame(event));
}

bool TensorBoardFile::append(const std::string& frame) {
  file_ << frame << std::flush;
  if (file_) return true;
  file_.clear();
  return std::exchange(lost_, true);
}

}  // namespace troupe
