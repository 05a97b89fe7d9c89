#include "actors/telemetry/closing_text.hpp"
#include "actors/telemetry/report.hpp"
#include "actors/telemetry/summary.hpp"
#include "actors/telemetry/telemetry_state.hpp"
#include "actors/telemetry/text.hpp"
#include "actors/telemetry/trace.hpp"
#include "gpu/model/atomic_file.hpp"

#include <nlohmann/json.hpp>
#include <sys/resource.h>

namespace troupe {

namespace {

std::uint64_t peak_memory_bytes() {
  constexpr std::uint64_t kKibibyte = 1024;  // what Linux counts in
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * kKibibyte;
}

}  // namespace

RunLog Telemetry::State::snapshot() const {
  RunLog copy;
  {
    const std::lock_guard lock(mutex);
    copy = run;
  }
  if (lineage) copy.lineage = lineage->end();
  copy.wall_seconds = now();
  copy.peak_memory_bytes = peak_memory_bytes();
  copy.finished = iso_utc(std::chrono::system_clock::now());
  const std::lock_guard lock(actors_mutex);
  for (const auto& [name, one] : actors) copy.actors.push_back({name, one.log->spans(0)});
  return copy;
}

void Telemetry::State::save(const char* file, const std::string& content) {
  std::string problem;
  try {
    gpu::write_atomically(folder / file, content);
    return;
  } catch (const std::exception&
               error) {  // the last chance to save what a run was for must go on to the next file
    problem = error.what();
  }
  std::unique_lock lock(mutex);
  note("telemetry error", problem, lock);
}

std::filesystem::path Telemetry::run_directory() const {
  return state_->folder;
}

void Telemetry::write_files(const std::string& ended) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->run.ended = ended;
  }
  const std::lock_guard one_writer(state_->files_mutex);
  const RunLog run = state_->snapshot();
  state_->save("summary.json", summary_json(run));
  state_->save("report.html", report_html(run));
  if (state_->options.trace) state_->save("trace.json", trace_json(run));
}

std::string Telemetry::closing_text() const {
  return troupe::closing_text(state_->snapshot(), report_path().string());
}

std::string Telemetry::closing_line() const {
  const RunLog run = state_->snapshot();
  const std::string folder = std::filesystem::absolute(state_->folder).string();
  return dump_json({{"type", "run_ends"},
                    {"seconds", run.wall_seconds},
                    {"ended", run.ended},
                    {"run_directory", folder}}) +
         "\n";
}

std::filesystem::path Telemetry::report_path() const {
  return state_->folder / "report.html";
}

}  // namespace troupe
