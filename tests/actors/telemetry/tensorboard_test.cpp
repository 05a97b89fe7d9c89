#include "actors/telemetry/tensorboard.hpp"

#include "actors/telemetry/telemetry.hpp"
#include "tests/actors/telemetry/temporary_folder.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <fstream>
#include <sstream>

TEST_SUITE_BEGIN("actors/telemetry");

using namespace troupe;

namespace {

std::uint64_t number(std::string_view bytes) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof value));
  return value;
}

/// The messages of a file of frames; checks the lengths' and messages' checksums.
std::vector<std::string> messages_of(const std::string& file) {
  const auto masked = [](std::string_view bytes) {
    const std::uint32_t crc = crc32c(bytes);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
  };
  std::vector<std::string> messages;
  for (std::size_t at = 0; at < file.size();) {
    const std::string_view rest = std::string_view(file).substr(at);
    REQUIRE(rest.size() >= 16);
    const std::uint64_t length = number(rest.substr(0, 8));
    REQUIRE(rest.size() >= length + 16);
    CHECK(number(rest.substr(8, 4)) == masked(rest.substr(0, 8)));
    messages.emplace_back(rest.substr(12, length));
    CHECK(number(rest.substr(12 + length, 4)) == masked(messages.back()));
    at += length + 16;
  }
  return messages;
}

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int value : values) out += static_cast<char>(value);
  return out;
}

}  // namespace

TEST_CASE("the checksum is CRC-32C") {
  CHECK(crc32c("") == 0);
  CHECK(crc32c("123456789") == 0xe3069283);
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aa);  // RFC 3720, B.4
  CHECK(crc32c(std::string(32, '\xff')) == 0x62a8ab43);
}

TEST_CASE("an event is the protobuf that TensorBoard reads") {
  TensorBoardEvent event;
  event.wall_time = 1.0;
  event.step = 300;
  event.scalars = {{"a", 0.5}};
  const auto messages = messages_of(event_frame(event));
  REQUIRE(messages.size() == 1);
  CHECK(messages[0] == bytes({0x09, 0,    0,    0, 0,   0, 0, 0xf0, 0x3f,  // 1: wall_time 1.0
                              0x10, 0xac, 0x02,                            // 2: step 300
                              0x2a, 0x0a,                                  // 5: summary of 10 bytes
                              0x0a, 0x08,                                  // 1: value of 8 bytes
                              0x0a, 0x01, 'a',                             // 1: tag
                              0x15, 0,    0,    0, 0x3f}));                // 2: 0.5f
}

TEST_CASE("a histogram has its counts and the limits of their buckets") {
  TensorBoardEvent event;
  TensorBoardHistogram histogram;
  histogram.least = -0.5;
  histogram.buckets = {{0.5, 3}, {1.5, 1}};
  event.histograms = {{"h", histogram}};
  const auto messages = messages_of(event_frame(event));
  REQUIRE(messages.size() == 1);
  const auto packed = [](double first, double second) {
    std::string out(16, '\0');
    std::memcpy(out.data(), &first, 8);
    std::memcpy(out.data() + 8, &second, 8);
    return out;
  };
  const auto one = [](int field, double value) {
    std::string out(1, static_cast<char>(field << 3 | 1));
    out.resize(9);
    std::memcpy(out.data() + 1, &value, 8);
    return out;
  };
  // min, max, num, sum, sum of squares; then limits and counts
  CHECK(messages[0].find(one(1, -0.5) + one(2, 1.5) + one(3, 4) + one(4, 1) + one(5, 1) +
                         bytes({0x32, 16}) + packed(0.5, 1.5) + bytes({0x3a, 16}) + packed(3, 1)) !=
        std::string::npos);
}

TEST_CASE("lengths that nobody had are buckets of their own in the plot") {
  LedgerRecord ledger;
  ledger.trained_lengths = {{64, 2}};
  const TensorBoardEvent event = event_of(ledger, "rl", 7);
  CHECK(event.step == 7);
  REQUIRE(event.histograms.size() == 1);
  CHECK(event.histograms[0].second.buckets ==
        std::vector<std::pair<double, double>>{{32, 0}, {64, 2}});
}

TEST_CASE("a run writes its figures for TensorBoard if asked to") {
  const auto file_of = [](bool wanted) {
    TemporaryFolder folder;
    TelemetryOptions options;
    options.run_directory = folder.path;
    options.quiet = true;
    options.tensorboard = wanted;
    Telemetry telemetry(options);
    telemetry.stage_begins(0, "rl", "reason", 2);
    RolloutUpdateRecord update;
    update.update = 1;
    update.lag_histogram = {5, 2};
    telemetry.record(update);
    telemetry.record(EvaluationRecord{.update = 1, .pass_rate_greedy = 0.25});
    telemetry.record(LedgerRecord{});
    telemetry.record(SupervisedRecord{.update = 2, .loss = 1.5});
    for (const auto& entry : std::filesystem::directory_iterator(folder.path))
      if (entry.path().filename().string().starts_with("events.out.tfevents."))
        return folder.read(entry.path().filename().c_str());
    return std::string();
  };
  CHECK(file_of(false).empty());
  const auto messages = messages_of(file_of(true));
  REQUIRE(messages.size() == 5);
  CHECK(messages[0].find("brain.Event:2") != std::string::npos);
  CHECK(messages[1].find("reason/reward_mean") != std::string::npos);
  CHECK(messages[1].find("reason/lag") != std::string::npos);
  CHECK(messages[2].find("reason/held_out/pass_rate_greedy") != std::string::npos);
  CHECK(messages[3].find("reason/ledger/trained_rollouts") != std::string::npos);
  CHECK(messages[4].find("reason/loss") != std::string::npos);
}

TEST_CASE("an event that cannot be written is told once") {
  TensorBoardFile file("/nowhere/at/all");
  CHECK_FALSE(file.write({}));
  CHECK(file.write({}));
}

TEST_SUITE_END();
