#pragma once
// The actor config file as plain structs, one per section. Every key's meaning, range and default
// is documented once, in schema_*.cpp, from which `troupe check` prints the resolved file.
#include "actors/task/task.hpp"
#include "gpu/training/policy_update.hpp"
#include "messages/wire/limits.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace troupe {

struct RunConfig {           // [run]
  std::string name = "run";  // run directory: <out>/<name>
  std::filesystem::path out = "runs";
  std::uint64_t seed = 0;
  std::int32_t threads = 0;     // 0: as many as cores; shared out among the computing actors
  std::string device = "auto";  // auto | cpu | cuda:N
};

struct ModelConfig {           // [model]
  std::filesystem::path path;  // Hugging Face directory to start from; empty: the keys below
  std::int32_t layers = 2, hidden = 64, heads = 4, kv_heads = 2, intermediate = 160;
  std::int32_t head_dim = 0;  // 0: hidden / heads
  std::int32_t max_positions = 256;
  double rope_theta = 1000.0, rms_norm_eps = 1e-6;
  bool tied_embeddings = true, qkv_bias = false, qk_norm = false;
};

struct TaskConfig {               // [task]
  std::string kind = "addition";  // addition | jsonl
  std::vector<std::int32_t> digits = {2, 3};
  std::filesystem::path prompts;   // jsonl: training prompts
  std::filesystem::path held_out;  // jsonl: evaluation prompts; empty: as kind = addition does
  bool shuffle = false;            // jsonl
};

struct GeneratorConfig {  // [generator]
  std::int32_t count = 1;
  std::int32_t slots = 256;  // rollouts sampled at once, per generator
  std::int32_t threads = 0;  // 0: an equal share of run.threads
  std::int32_t max_new_tokens = 40;
  double temperature = 1.0, top_p = 1.0;
  std::int32_t top_k = 0;
  std::string cache_after_swap = "keep";  // keep | recompute
  std::string engine = "auto";            // auto | torch | cpu
};

struct VerifierConfig {  // [verifier]
  std::int32_t count = 1;
  double accuracy_reward = 1.0, format_reward = 0.1;
};

struct ReplayBufferConfig {          // [replay-buffer]
  std::int32_t batch = 32;           // groups per update
  std::int32_t group_size = 8;       // rollouts per group
  std::int32_t staleness_bound = 2;  // eta, in versions
  std::string order = "ticket";      // ticket | completion
  bool refill_zero_signal = false;   // DAPO's dynamic sampling
  std::int32_t refill_limit = 10;    // batches' worth of groups replaced, per batch
  double group_deadline_seconds = 300;
};

struct LearnerConfig {           // [learner]
  std::int32_t threads = 0;      // 0: an equal share of run.threads
  std::int32_t ranks = 1;        // each a thread with its part of every batch
  bool shard_optimizer = false;  // its state over the ranks: ZeRO-1
  double rank_deadline_seconds = 60;
  std::string communicator = "auto";  // auto | ring | nccl, of ranks that are processes
  std::int64_t tokens_per_micro_batch = 512;
  gpu::UpdateConfig update;  // advantage, clip-low, ..., beta1, ..., max-gradient-norm
  std::int32_t refused_updates_limit = 3;  // consecutive non-finite updates that end the run
  std::int32_t gap_rollouts = 8;           // per update; their log-prob gap is measured
};

struct DirectorConfig {                  // [director]
  double request_deadline_seconds = 30;  // every request between actors
  double stall_deadline_seconds = 120;   // no progress anywhere: the run ends with an error
  std::int32_t restart_limit = 5;        // restarts per actor before the run ends
};

struct EvaluationConfig {      // [evaluation]
  std::int32_t prompts = 384;  // held-out prompts before and after
  std::int32_t every = 10;     // updates between evaluations while an rl stage runs; 0: none
  std::int32_t prompts_during = 128;
  std::int32_t max_new_tokens = 52;
  std::uint64_t seed = 99;
  std::int32_t samples_shown = 3;
};

struct MetricsConfig {    // [metrics]
  std::int32_t port = 0;  // 0: no server
  std::string address = "127.0.0.1";
  double progress_deadline_seconds = 300;  // at work without progress: /healthz answers 503
  bool lineage = false;
  bool tensorboard = true;
  std::int32_t rollouts_per_update = 4;      // shown token by token; 0: none
  std::filesystem::path control_token_file;  // empty: the dashboard changes nothing
};

/// How versions of the weights reach generators of other processes.
struct BroadcasterConfig {       // [broadcaster]
  std::string carrier = "auto";  // auto | stream | memfd | nccl
  std::string nccl_library = "libnccl.so.2";
  double nccl_deadline_seconds = 20;
  std::string delta = "auto";  // auto | always | never
  std::string relay = "off";   // off | tree
  std::int32_t fan_out = 4;    // of the tree
};

/// Where the roles of other processes meet, and what a link may cost. The same in every process of a run.
struct NetworkConfig {  // [network]
  static constexpr const char* kWithDirector = "director";
  static constexpr const char* kThreads = "threads";
  static constexpr const char* kOwnAddress = "own";  // that of the process's role, above
  std::string director = "127.0.0.1:7420";           // host:port that the others dial
  // host:port of its own process, which all others dial then, the director's too; or in the director's
  std::string replay_buffer = kWithDirector;
  static constexpr const char* kApart = "apart";
  std::string learner = kWithDirector;  // in a process of its own: kApart, or host:port of its gate
  std::string broadcaster =
      kWithDirector;  // host:port of its own process, or beside the replay buffer
  std::string learner_ranks = kThreads;  // of a learner apart: host:port of each rank's process
  std::string listen = kOwnAddress;      // host:port that a serving process binds
  std::filesystem::path pki;             // ca.pem, crl.pem, NAME.pem, NAME.key
  bool revocation_list = true;           // crl.pem must be there; false: there is none
  bool insecure = false;                 // plain TCP, loopback only
  double lease_seconds = 1;              // a generator's link may be away that long
  double learner_lease_seconds = 30;
  double join_deadline_seconds = 300, away_deadline_seconds = 600, drain_seconds = 20;
  wire::LinkLimits limits{.silence_seconds = 2, .heartbeat_seconds = 0.5};

  bool replay_buffer_apart() const { return replay_buffer != kWithDirector; }
  /// Where the gate is that the other roles join at.
  const std::string& gate() const { return replay_buffer_apart() ? replay_buffer : director; }
  /// The role whose process has it.
  const char* gate_role() const { return replay_buffer_apart() ? "replay-buffer" : "director"; }
  bool learner_apart() const { return learner != kWithDirector; }
  bool learner_has_gate() const { return learner_apart() && learner != kApart; }
  bool broadcaster_apart() const { return broadcaster != kWithDirector; }
  bool ranks_apart() const { return learner_ranks != kThreads; }
  std::vector<std::string> rank_addresses() const;  // by rank; of ranks apart
};

/// One [[stage]] table; keys that do not belong to the stage's kind are errors.
struct StageConfig {
  std::string kind;          // pretrain | sft | rl | eval
  std::string name;          // shown; default: kind
  std::int32_t updates = 0;  // 0 allowed for eval only
  // pretrain, sft
  std::int32_t batch_documents = 16;
  std::filesystem::path documents;   // jsonl {"prompt","response"}; empty: the built-in corpus
  std::int32_t documents_limit = 0;  // sft on the built-in corpus: a fixed set of this many
                                     // documents, drawn from again and again; 0: endless
  std::vector<std::int32_t> digits;  // built-in corpus; default: task.digits
  AdditionMix mix;
  bool keep_optimizer = false;  // go on with the moments of the stage before
  double gate = 0;              // worked share that must be reached; 0: none
  std::int32_t gate_every = 100, gate_limit = 6000, gate_documents = 128;
  // pretrain, sft, rl
  double learning_rate = 1e-3, learning_rate_final = 1e-4;
  std::int32_t warmup_updates = 5;
  double weight_decay = 0.0;
};

struct Config {
  std::filesystem::path file;
  RunConfig run;
  ModelConfig model;
  TaskConfig task;
  GeneratorConfig generator;
  VerifierConfig verifier;
  ReplayBufferConfig replay_buffer;
  LearnerConfig learner;
  DirectorConfig director;
  EvaluationConfig evaluation;
  MetricsConfig metrics;
  BroadcasterConfig broadcaster;
  NetworkConfig network;
  std::vector<StageConfig> stages;
};

/// One thing wrong with a config; line and column are 0 for an override given on the command line.
struct ConfigProblem {
  std::string file, key, message, remedy;
  std::uint32_t line = 0, column = 0;
};

/// On success `problems` is empty. Warnings are never fatal.
struct ConfigResult {
  Config config;
  std::vector<ConfigProblem> problems, warnings;
};
/// Why a device of valid name cannot be used on this machine; empty: it can.
using DeviceProblem = std::function<std::string(const std::string& device)>;

/// Reads the file, applies `overrides` and checks everything; all problems are reported at once, in
/// the order of the file. An override is "section.key=value" or "stage.NAME_OR_NUMBER.key=value"
/// (numbers count from 1), its value as in TOML, bare words taken as strings. Relative input paths
/// start at the folder of the config file, those of overrides at the current folder; both become
/// absolute. An override of model.path takes the place of the shape that the file gives.
/// device_problem: asked about run.device if given; its answer is a warning, as the config may be
/// for another machine.
ConfigResult load_config(const std::filesystem::path& file,
                         const std::vector<std::string>& overrides,
                         const DeviceProblem& device_problem = {});

/// "file:line:column: key: message; remedy", one line each.
std::string render(const ConfigProblem& problem);
/// A JSON array of objects with the fields of ConfigProblem, in the order given.
std::string problems_json(const std::vector<ConfigProblem>& problems);

/// The full resolved config as TOML, each key with its comment; load_config of it gives the same
/// config.
std::string print_config(const Config& config);
/// The same as JSON, for the report and run directory.
std::string config_json(const Config& config);
/// 16 hex digits over the resolved values (not over names of files outside).
std::string config_digest(const Config& config);
/// The same over what every process of a run must agree on: not where things run, how many of them, or how fast.
std::string shared_digest(const Config& config);

}  // namespace troupe
