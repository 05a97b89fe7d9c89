#pragma once
// The pages at /: one page for people, and the JSON that it draws.
#include "actors/dashboard/load_history.hpp"
#include "actors/dashboard/state_json.hpp"
#include "actors/telemetry/http_server.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace troupe {

/// Where the figures come from: a run that goes on, or its directory. Each is safe from any thread.
struct DashboardSource {
  std::function<void(const std::function<void(const RunLog&)>&)> look;
  std::function<double()> seconds;                  // since the run's start
  std::function<std::vector<ActorView>()> actors;   // empty: not known
  std::function<nlohmann::ordered_json()> metrics;  // empty: not known
  std::function<std::vector<std::shared_ptr<const RolloutView>>()> rollouts;
  std::function<std::uint64_t()> rollouts_added;
  std::filesystem::path run_directory;
  std::function<std::optional<std::uint64_t>()>
      at_verifiers;              // rollouts; none, or empty: not known
  LoadHistory load;              // what there is of it; of a live run it grows
  std::function<bool()> paused;  // empty: it is not
  bool live = false;
};

struct DashboardControl {
  std::string token;                // empty: nothing can be changed
  std::function<void()> stop;       // as one Ctrl-C; called once
  std::function<void(bool)> pause;  // true: no tickets and batches; false: again
};

/// Safe from any thread.
class Dashboard : public std::enable_shared_from_this<Dashboard> {
 public:
  /// loopback: the server is reached from this machine only, so requests for other hosts are refused.
  Dashboard(DashboardSource source, DashboardControl control, bool loopback);
  ~Dashboard();
  Dashboard(const Dashboard&) = delete;
  Dashboard& operator=(const Dashboard&) = delete;
  /// The server keeps this object.
  void serve_on(HttpServer& server);

  std::string state();
  std::string history() const;
  std::string load();
  /// Adds how things stand now. Of a live run a thread of this object's does so every two seconds.
  void sample();
  std::string rollout_list() const;
  std::optional<std::string> rollout(const std::string& id) const;
  std::string events() const;
  HttpReply control(const HttpRequest& request);

 private:
  History curves() const;
  void sample_until_stopped();
  RoleShares recent_shares(double now);
  HttpReply admitted(const HttpRequest& request) const;
  HttpReply answer(const HttpRequest& request);
  HttpReply download(const std::string& name);

  const DashboardSource source_;
  const DashboardControl control_;
  const bool loopback_;
  std::mutex mutex_;  // all below
  struct Times {
    double seconds;
    std::map<std::string, ActorTime> actors;
  };
  std::deque<Times> times_;
  LoadHistory load_;
  LoadMeter meter_;
  bool stopped_ = false;
  std::string state_;
  std::optional<std::chrono::steady_clock::time_point> stated_;
  std::condition_variable ends_;
  bool ending_ = false;
  std::thread sampler_;  // of a live run
};

/// Of a run that goes on in this process.
DashboardSource live_source(Telemetry& telemetry);
/// Of a run directory. config_json: for the staleness bound; may be empty. Errors: as read_run.
DashboardSource recorded_source(const std::filesystem::path& run_directory,
                                const std::string& config_json);

/// Errors: throws std::runtime_error naming the file if it is not there, too short, or open to others.
std::string read_control_token(const std::filesystem::path& file);

}  // namespace troupe
