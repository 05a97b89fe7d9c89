#pragma once
// The one place actors report to. Owned by main, outlives the actor system.
#include "actors/telemetry/metrics.hpp"
#include "actors/telemetry/pulse.hpp"
#include "actors/telemetry/records.hpp"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace spdlog {
class logger;
}

namespace troupe {

class HttpServer;  // actors/telemetry/http_server.hpp
class Lineage;     // actors/telemetry/lineage.hpp
class RolloutLog;  // actors/telemetry/rollout_log.hpp
struct RunLog;     // actors/telemetry/run_log.hpp

/// How one actor spends its time: spans of work and of waiting. Written by its actor alone, read by
/// others at any time.
class ActivityLog {
 public:
  /// The actor begins `phase` ("decode", "train", "grade", "wait for tickets", ...); the phase
  /// before ends. busy: false for waiting. Cheap (one clock read, one short lock); a phase equal to
  /// the current one is merged.
  void enter(std::string_view phase, bool busy);
  const std::string& actor() const;

  ActivityLog(std::string actor, Clock::time_point start, std::size_t max_spans);
  ~ActivityLog();
  struct Span {
    const char* phase;  // static or interned string
    bool busy;
    double begin, end;  // seconds since the run's start
  };
  std::vector<Span> spans(double since) const;  // the newest max_spans, the open one ends now
  /// Exact from the run's start (0) and from the last mark() on, whatever was evicted; from any
  /// other time on, of the spans that are kept.
  ActorTime totals(double since) const;
  /// Remembers the totals so that totals_since_mark() counts from here (a stage begins).
  void mark();
  ActorTime totals_since_mark() const;
  /// What the actor is at, to this moment; none: it has not said.
  std::optional<Span> current() const;
  /// What the process of an actor elsewhere says of the time since the mark; its spans are not known here.
  void report(const ActorTime& since_mark);
  /// Likewise what it is at, and the policy version that it holds.
  void report(const std::string& phase, std::optional<std::uint64_t> version);
  /// What it is at, here or elsewhere; empty: it has not said.
  std::string phase() const;
  /// Of an actor elsewhere.
  std::optional<std::uint64_t> version() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct TelemetryOptions {
  std::filesystem::path
      run_directory;  // metrics.jsonl, summary.json, report.html, log.jsonl, trace.json go there
  bool terminal_status = false;  // live status on stderr; otherwise one plain line per update
  bool trace = false;
  bool lineage = false;                                 // writes lineage.jsonl
  bool tensorboard = false;                             // writes events.out.tfevents.*
  std::size_t rollouts_per_update = 0;                  // written to rollouts.jsonl; 0: none
  std::function<std::string(std::int32_t)> token_text;  // empty: no rollouts.jsonl
  bool quiet = false;                                   // on the terminal only warnings and errors
  bool json_progress = false;  // on stdout the lines of metrics.jsonl and nothing else
  bool colour = true;          // of the live status; main clears it when NO_COLOR is set
  std::string metrics_address = "127.0.0.1";
  std::optional<int> metrics_port;  // none: no server; 0: any free one
  std::vector<std::string> roles =
      kRoles;  // played in this process: their metrics are exposed before first use
  std::vector<std::string> needs;  // until meets() says that each is met the process is not ready
  double progress_deadline_seconds = 300;  // at work without progress: not healthy
  std::string run_name, config_json, config_digest, model_description;
  std::string run_id;  // 128 bits, hexadecimal; of a process that joins a run: until it has
  std::string build_description;        // version, compiler, LibTorch
  std::string environment = "unknown";  // what is trained on: label of the metrics of rewards
};

/// Where a run is.
struct RunOverview {
  std::string stage;  // name, with " (paused)" while the run is; empty: none has begun
  std::int32_t update = 0, updates = 0;
  std::uint64_t version = 0;  // newest published policy version
  double seconds = 0;         // since the run's start
};

/// What an actor is at, and how it spent the time of the stage.
struct ActorView {
  std::string name, phase;
  ActorTime time;
  std::optional<std::uint64_t> version;  // that it holds; none: not known, or it is in this process
  std::optional<bool>
      away{};  // of a peer: whether its link is lost; none: it is none, or not known
};

/// Safe from any thread.
class Telemetry {
 public:
  /// Errors: throws std::runtime_error naming address and port if the metrics server cannot bind.
  explicit Telemetry(TelemetryOptions options);
  ~Telemetry();

  Metrics& metrics();
  /// The log of an actor, made at first use; a restarted actor goes on with it. Valid as long as
  /// this object.
  ActivityLog& activity(const std::string& actor);
  /// Its log counts from here on, if there is one: a stage begins. Likewise what it spent since then.
  void mark(const std::string& actor);
  ActorTime spent(const std::string& actor) const;

  /// There is such an actor in another process. Peers come under ever new names, so all that is known of one here ends once
  /// it has left. A name of an actor of this process is none.
  void peer(const std::string& name, std::optional<bool> away);
  /// For good: its series by actor and its log end. A late word of it is not heard.
  void peer_left(const std::string& name);
  /// What its process says of it.
  void peer_says(const ActorView& peer);
  void peer_spent(const std::string& name, const ActorTime& since_mark);
  /// Of metrics by actor whose series end when a peer leaves: of who has left there are none.
  void set(const std::string& metric, const std::string& actor, double value);
  void increment(const std::string& metric, const std::string& actor);

  /// Rollouts that generators of this process have lent to verifiers, wherever those are: changes add up.
  void lends(std::int64_t change);
  /// Likewise all of them, of a run whose generators are told of in another process.
  void lent_elsewhere(std::uint64_t rollouts);
  /// Rollouts that verifiers have, here or elsewhere; none: that is not known here.
  std::optional<std::uint64_t> at_verifiers() const;

  double seconds_since_start() const;
  /// The run began that long before this process took part in it: times count from there. What metrics.jsonl of the run
  /// directory already had of this run is not said again on the terminal. Before any actor reports.
  void began_before(double seconds);
  /// What this process joined is the run of that id.
  void joined_run(const std::string& id);
  std::string run_id() const;
  /// Lines to log.jsonl and, from info up, to the terminal. `events` go there by themselves.
  spdlog::logger& log();

  void stage_begins(std::int32_t index, const std::string& kind, const std::string& name,
                    std::int32_t updates);
  /// Of a learner in another process: its metrics are exported there.
  enum class Origin { here, elsewhere };
  void record(const RolloutUpdateRecord& update, Origin origin = Origin::here);
  void record(const SupervisedRecord& update, Origin origin = Origin::here);
  /// Who else is to hear each event and each record of an update and of the ledger, in the recording thread. Set before
  /// there are any records. `events` is called under the lock of all records.
  struct Listener {
    std::function<void(const RolloutUpdateRecord&)> rollouts;
    std::function<void(const SupervisedRecord&)> supervised;
    std::function<void(const LedgerRecord&)> ledger;
    std::function<void(const EventRecord&)> events;
  };
  void listen(Listener listener);
  void record(const EvaluationRecord& evaluation);
  /// The newest; shown, and exported where the ledger is.
  void record(const LedgerRecord& ledger, Origin origin = Origin::here);
  void event(const std::string& kind,
             const std::string& text);  // restarts, refusals, gates: log, report, metrics.jsonl
  /// Of another process, which counts it: shown here with the time that it has there.
  void event_elsewhere(const EventRecord& event);
  void stage_ends(const StageRecord& stage);
  /// Where each rollout is written down; null: nobody asked for it.
  Lineage* lineage();
  /// Where some of the rollouts are shown; null: nobody asked for it.
  RolloutLog* rollouts();

  /// Who is at work, by its activity or its pulse, is expected to call this before
  /// progress_deadline_seconds are over; else /healthz answers 503 with its name.
  void progress(const std::string& actor);
  /// The pulse of an actor, made at first use; a restarted actor goes on with it. Valid as long as this object.
  Pulse& pulse(const std::string& actor);
  /// /readyz answers 503 while one of the needs in the options is not met. Others are nobody's concern.
  void meets(const std::string& need, bool met);
  /// Seconds since any actor called progress() or a stage began.
  double seconds_since_progress() const;
  /// Seconds since this actor called progress(), or since the stage began if it has not.
  double seconds_since_progress(const std::string& actor) const;
  /// "learner: wait for batch; generator-0: decode": what every actor is at, for the message of a
  /// stalled run.
  std::string who_does_what() const;
  RunOverview overview() const;

  /// Somebody asked that no ticket is granted and no batch is handed out: generators finish what they have, the learner
  /// waits. Nobody is expected to move meanwhile. Updates of supervised stages go on.
  void pause(bool on);
  bool paused() const;

  /// A model was saved: its age counts from here.
  void model_saved();
  /// Since when `verifier` has held the oldest rollout that the buffer does not have; none: nothing.
  void holds_since(const std::string& verifier, std::optional<Clock::time_point> oldest);
  /// Called before each scrape, from any thread, until this object ends.
  void before_scrape(std::function<void(Metrics&)> look);
  /// What /metrics answers: the metrics, ages and shares as of this moment.
  std::string scrape();

  /// Writes summary.json and report.html (trace.json with --trace) from all that was recorded;
  /// atomic; may be called again. A file that cannot be written is reported as an event.
  void write_files(const std::string& ended);
  /// The table before/after and sample completions for the end of `troupe train`.
  std::string closing_text() const;
  /// The last line of --progress json: how the run ended and where its files are.
  std::string closing_line() const;
  std::filesystem::path report_path() const;
  int metrics_port() const;  // the bound one; 0: no server
  const std::string& metrics_address() const;
  HttpServer* server();  // null without a port; more pages may be added, and go with this object

  /// Under the lock of all records: `look` is to be quick and calls nothing of this object.
  void look_at(const std::function<void(const RunLog&)>& look) const;
  std::vector<ActorView> actors() const;
  std::filesystem::path run_directory() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace troupe
