#pragma once
// What is behind Telemetry, for its own sources: records (telemetry.cpp), lines and the terminal (telemetry_state.cpp), pages
// and metrics as of a moment (telemetry_pages.cpp), who moves (telemetry_progress.cpp), the files of a run that ends
// (telemetry_files.cpp).
#include "actors/telemetry/health.hpp"
#include "actors/telemetry/http_server.hpp"
#include "actors/telemetry/line_file.hpp"
#include "actors/telemetry/lineage.hpp"
#include "actors/telemetry/log_sinks.hpp"
#include "actors/telemetry/recent_names.hpp"
#include "actors/telemetry/rollout_log.hpp"
#include "actors/telemetry/run_log.hpp"
#include "actors/telemetry/status.hpp"
#include "actors/telemetry/telemetry.hpp"
#include "actors/telemetry/tensorboard.hpp"
#include "actors/telemetry/told.hpp"

#include <condition_variable>
#include <map>
#include <mutex>
#include <prometheus/gauge.h>
#include <spdlog/logger.h>
#include <thread>
#include <utility>

namespace troupe {

struct Telemetry::State {
  struct Known {
    std::unique_ptr<ActivityLog> log;
    bool here = false;         // referred to by an actor of this process: it stays
    std::optional<bool> away;  // of a peer
  };
  Listener listener;
  explicit State(TelemetryOptions given);
  ~State();

  double now() const { return std::chrono::duration<double>(Clock::now() - start.load()).count(); }
  double wall_time(double seconds) const;  // since 1970, of a moment of the run
  RunLog snapshot() const;
  std::vector<std::pair<std::string, ActorTime>> actor_times() const;  // since the stage began
  Known& known(const std::string& actor);  // made at first use; under actors_mutex
  StatusView view();
  void compare_rewards();
  void write_line(const std::string& line, std::unique_lock<std::mutex>& lock);
  void plot(const TensorBoardEvent& event, std::unique_lock<std::mutex>& lock);
  void say(const std::string& line);
  void tell(const std::string& json);
  void note(const std::string& kind, const std::string& text, std::unique_lock<std::mutex>& lock);
  void show(const EventRecord& event, bool said, std::unique_lock<std::mutex>& lock);
  void show(const std::string& plain, const std::string& json, bool said);
  void save(const char* file, const std::string& content);
  void redraw_until_stopped();
  bool plays(const std::string& role) const;
  std::vector<Vitals> vitals() const;
  std::map<std::string, HttpServer::Page> pages();
  std::string scrape();
  HttpReply index_page();
  std::unique_ptr<RolloutLog> rollout_log();

  const TelemetryOptions options;
  std::atomic<Clock::time_point> start = Clock::now();
  const std::filesystem::path folder;
  Metrics metrics{options.roles};
  LiveTerminal error_terminal{stderr};  // log lines and the live status
  LiveTerminal plain_terminal{stdout};  // one line per update
  std::unique_ptr<spdlog::logger> logger;

  mutable std::mutex actors_mutex;  // taken after `mutex` if both are
  std::map<std::string, Known> actors;
  RecentNames left;  // peers
  std::map<std::string, Pulse> pulses;

  std::unique_ptr<Lineage> lineage;      // null: not kept
  std::unique_ptr<RolloutLog> rollouts;  // null: not kept

  std::mutex files_mutex;    // taken before all others
  mutable std::mutex mutex;  // all below
  RunLog run;
  Told leftover;  // in the run directory, before `lines` replaces the file
  Told told;      // of this run by the process before this one
  LineFile lines;
  std::optional<TensorBoardFile> event_file;  // TensorBoard's; none: not asked for
  LedgerRecord exported_ledger;
  std::map<std::string, Clock::time_point> progress;  // the last, by actor
  Clock::time_point saved = Clock::now();
  std::map<std::string, std::optional<Clock::time_point>> held_since;  // by verifier
  std::map<std::string, bool> needs;
  std::vector<std::function<void(Metrics&)>> scrape_lookers;
  std::atomic<bool> paused = false;  // written under the lock
  std::atomic<std::int64_t> lent = 0;
  std::optional<std::uint64_t> lent_elsewhere;
  std::optional<Clock::time_point> resumed;

  std::condition_variable stop_condition;
  bool stopping = false;
  std::thread redraw_thread;
  std::unique_ptr<HttpServer> server;  // last: its pages use all above
};

}  // namespace troupe
