#pragma once
// One function per command of the binary. Each returns the exit code.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// Documented in `troupe --help` and README.
enum ExitCode : int {
  exit_ok = 0,
  exit_failed = 1,        // the run ended with an error; what was trained is saved
  exit_bad_input = 2,     // command line, config, data or model file
  exit_interrupted = 130  // Ctrl-C
};

/// The director's process of a run with several.
struct DirectorProcess {
  std::string name = "director";             // of its certificate
  bool generator = false, verifier = false;  // whether those are here too
  std::filesystem::path ready_file;          // written once it can be dialled; may be empty
  std::filesystem::path run_directory;       // is there already; empty: a new one under run.out
  std::filesystem::path metrics_file;        // as in ServeOptions
  bool linger = false;                       // serves its pages after the run, until told to end
  bool leaves_run = false;                   // SIGTERM ends this process and not the run
};

struct TrainOptions {
  std::filesystem::path config;
  std::vector<std::string> overrides;
  bool trace = false, quiet = false, plain = false;
  bool json_progress = false;            // on stdout nothing but the lines of metrics.jsonl
  std::optional<DirectorProcess> serve;  // none: everything is in this process
};
int train(const TrainOptions& options);

struct ServeOptions;
struct ServeOptions {
  std::string config;
  std::vector<std::string> overrides;
  std::vector<std::string> roles;
  std::string name;                                 // empty: of the role and the host
  std::string director, pki, out, threads;          // more overrides; empty: as in the config
  std::filesystem::path ready_file, run_directory;  // as in DirectorProcess
  /// Gets host:port of the metrics, which are served at any free port unless the config has one.
  std::filesystem::path metrics_file;
  bool linger = false, leave_run = false;  // as in DirectorProcess
  bool plain = false, quiet = false, trace = false, json_progress = false;
};
/// What one process or pod runs: a role or set of roles.
int serve(const ServeOptions& options);
/// The replay buffer in a process of its own, with the conductor and the gate.
int serve_replay_buffer(const ServeOptions& options);

struct UpOptions {
  std::string config;
  std::vector<std::string> overrides;
  bool plain = false, quiet = false, trace = false, json_progress = false;
};
/// A run as local processes over mutual TLS: starts them, watches them, ends them.
int up(const UpOptions& options);

struct DashboardOptions {
  std::filesystem::path run_directory;
  std::string address = "127.0.0.1";
  int port = 0;  // 0: any free one
};
/// Serves the dashboard of a run directory until Ctrl-C.
int dashboard(const DashboardOptions& options);

struct ScaleOptions {
  std::filesystem::path run_directory;  // of a run of `up`
  std::optional<std::uint32_t> generators, verifiers;
};
int scale(const ScaleOptions& options);

struct StatusOptions {
  std::string address;
  std::filesystem::path pki;
  std::string name = "observer";
  bool insecure = false, json = false;
  bool no_revocation_list = false;  // as network.revocation-list = false
  double seconds = 5;               // deadline
};
int status(const StatusOptions& options);

struct ReportOptions {
  std::vector<std::filesystem::path> runs;  // run directories
  std::filesystem::path html;               // the page to write; empty: none
  bool json = false;
};
/// Runs side by side.
int report(const ReportOptions& options);

struct EvalOptions {
  std::filesystem::path model;
  std::filesystem::path data;  // jsonl; empty: held-out problems of the built-in task
  std::vector<std::int32_t> digits = {2, 3};
  std::int32_t prompts = 384;
  std::int32_t max_new_tokens = 52;
  std::uint64_t seed = 99;
  std::int32_t threads = 1;
  std::string device = "auto";
  bool json = false;
};
int evaluate_model(const EvalOptions& options);

struct SampleOptions {
  std::filesystem::path model;
  std::vector<std::string> prompts;
  std::int32_t count = 1, max_new_tokens = 64;
  double temperature = 1.0, top_p = 1.0;
  std::int32_t top_k = 0;
  std::uint64_t seed = 0;
  std::string device = "auto";
  bool json = false;
};
int sample(const SampleOptions& options);

struct DataOptions {
  std::filesystem::path file;
  std::vector<std::int32_t> digits = {2, 3};
  std::uint64_t count = 1600;
  std::optional<std::uint64_t>
      seed;  // default: run.seed's, or evaluation.seed's for held-out problems
  bool held_out = false;
};
int write_data(const DataOptions& options);

/// Of the commands under `troupe pki`; each reads what its help lists.
struct PkiOptions {
  std::filesystem::path directory;
  std::vector<std::filesystem::path> paths;  // show: authorities' directories, certificates
  std::string role, name;
  std::vector<std::string> names, hosts;
  std::optional<int> days;    // of validity; none: the defaults of messages/pki/authority.hpp
  std::optional<int> within;  // renew: only what ends in so many days
  bool json = false;
};
inline constexpr int kRenewWithinDays = 30;  // where neither a name nor --within is given
int pki_init(const PkiOptions& options);
int pki_issue(const PkiOptions& options);
int pki_show(const PkiOptions& options);
int pki_renew(const PkiOptions& options);
int pki_revoke(const PkiOptions& options);

int check(const std::filesystem::path& config, const std::vector<std::string>& overrides,
          bool json);
/// Of every metric: name, kind, unit, labels, roles that set it, help.
int list_metrics(bool json);
int version();

/// "Troupe 0.1.0, g++ 12.2, LibTorch 2.11.0"
std::string build_description();

}  // namespace troupe
