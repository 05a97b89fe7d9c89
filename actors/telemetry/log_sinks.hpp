#pragma once
// Where log lines go: JSON lines in a file, plain text above the live status.
#include "actors/telemetry/status.hpp"

#include <filesystem>
#include <fstream>
#include <mutex>
#include <spdlog/sinks/base_sink.h>

namespace troupe {

/// {"time":"...Z","level":"warning","text":"..."} per line, flushed per line. Lost lines stay lost:
/// metrics.jsonl in the same folder is the one that reports a full disk.
class JsonFileSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit JsonFileSink(const std::filesystem::path& path);

 private:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override { file_.flush(); }
  std::ofstream file_;
};

/// "14:03:22 warning generator-1 died: ..." in local time.
class TerminalSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit TerminalSink(LiveTerminal& terminal) : terminal_(terminal) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override {}
  LiveTerminal& terminal_;
};

}  // namespace troupe
