#include "actors/telemetry/log_sinks.hpp"

#include "actors/telemetry/text.hpp"

#include <fmt/chrono.h>
#include <nlohmann/json.hpp>

namespace troupe {

namespace {

std::string level_name(spdlog::level::level_enum level) {
  const auto name = spdlog::level::to_string_view(level);
  return {name.data(), name.size()};
}

std::string payload(const spdlog::details::log_msg& message) {
  return {message.payload.data(), message.payload.size()};
}

}  // namespace

JsonFileSink::JsonFileSink(const std::filesystem::path& path) : file_(path, std::ios::app) {}

void JsonFileSink::sink_it_(const spdlog::details::log_msg& message) {
  file_.clear();
  file_ << dump_json({{"time", iso_utc(message.time)},
                      {"level", level_name(message.level)},
                      {"text", payload(message)}})
        << '\n'
        << std::flush;
}

void TerminalSink::sink_it_(const spdlog::details::log_msg& message) {
  const auto time = std::chrono::system_clock::to_time_t(message.time);
  constexpr std::size_t kLongestLine = 2000;
  terminal_.print_above(fmt::format("{:%H:%M:%S} {} {}", fmt::localtime(time),
                                    level_name(message.level),
                                    one_line(payload(message), kLongestLine)));
}

}  // namespace troupe
