#include "actors/config/schema_rows.hpp"

namespace troupe::config {

Section run_section() {
  using C = RunConfig;
  return section<C>(
      "run", "What the run is called, where it goes and what it computes on.", &Config::run,
      {
          {"name", &C::name, any(), "", "Name of the run; its files go to <out>/<name>."},
          {"out", &C::out, path(PathKind::output), "",
           "Folder of all runs, made when needed; starts at the folder troupe is called from."},
          {"seed", &C::seed, at_least(0), "",
           "Every random choice of the run follows from this number."},
          {"threads", &C::threads, between(0, 4096), "threads",
           "Computing threads in all, shared out among the actors; 0: as many as there are cores."},
          {"device", &C::device, any(), "",
           "auto, cpu or cuda:N; auto takes the first GPU if there is one."},
      });
}

Section model_section() {
  using C = ModelConfig;
  return section<C>(
      "model",
      "The policy: a decoder of the Llama, Qwen2 or Qwen3 family. Either path, or the shape of a "
      "model made at random from the seed.",
      &Config::model,
      {
          {"path", &C::path, path(PathKind::input_folder), "",
           "Model folder in Hugging Face layout to start from; empty: a new model of the shape "
           "below."},
          {"layers", &C::layers, between(1, 1024).own_model(), "layers",
           "Number of decoder blocks."},
          {"hidden", &C::hidden, between(2, 65536).own_model(), "elements",
           "Width of the residual stream."},
          {"heads", &C::heads, between(1, 1024).own_model(), "heads",
           "Query heads of the attention."},
          {"kv-heads", &C::kv_heads, between(1, 1024).own_model(), "heads",
           "Key and value heads; must divide heads, and heads / kv-heads query heads share one."},
          {"head-dim", &C::head_dim, between(0, 1024).own_model(), "elements",
           "Width of one head, even; 0: hidden / heads."},
          {"intermediate", &C::intermediate, between(1, 1048576).own_model(), "elements",
           "Width of the SwiGLU layer."},
          {"max-positions", &C::max_positions, between(8, 1048576).own_model(), "tokens",
           "Longest sequence, prompt and response together; sets the size of the KV cache."},
          {"rope-theta", &C::rope_theta, range(1, 1e9).own_model(), "",
           "Base of the rotary position embedding; small suits short sequences."},
          {"rms-norm-eps", &C::rms_norm_eps, positive(1).own_model(), "",
           "Added to the mean square in RMSNorm."},
          {"tied-embeddings", &C::tied_embeddings, any().own_model(), "",
           "Input and output embeddings are one matrix."},
          {"qkv-bias", &C::qkv_bias, any().own_model(), "",
           "Biases on the query, key and value projections (Qwen2)."},
          {"qk-norm", &C::qk_norm, any().own_model(), "",
           "RMSNorm of queries and keys per head (Qwen3)."},
      });
}

Section task_section() {
  using C = TaskConfig;
  return section<C>(
      "task", "What is trained on and how it is checked.", &Config::task,
      {
          {"kind", &C::kind, one_of({"addition", "jsonl"}), "",
           "addition: sums made on the fly, worked column by column; jsonl: prompts and answers "
           "from a file."},
          {"digits", &C::digits, between(1, 18), "digits",
           "Lengths of the operands, drawn with equal odds; name a length twice to double its "
           "share."},
          {"prompts", &C::prompts, path(PathKind::input_file), "",
           "jsonl: file with a training prompt and its answer per line, {\"prompt\", \"answer\"}."},
          {"held-out", &C::held_out, path(PathKind::input_file), "",
           "jsonl: file with the prompts of evaluation; empty: held-out sums of the built-in "
           "task."},
          {"shuffle", &C::shuffle, any(), "", "jsonl: a new order in each pass over the file."},
      });
}

Section evaluation_section() {
  using C = EvaluationConfig;
  return section<C>(
      "evaluation", "Held-out prompts, answered once sampled at temperature 1 and once greedily.",
      &Config::evaluation,
      {
          {"prompts", &C::prompts, between(1, 1000000), "prompts",
           "Held-out prompts before and after an rl stage and in an eval stage; 384 give a "
           "standard error of 2.5% at most."},
          {"every", &C::every, between(0, 1000000), "updates",
           "Updates between evaluations while an rl stage runs; 0: none."},
          {"prompts-during", &C::prompts_during, between(1, 1000000), "prompts",
           "Held-out prompts of those; 128 give a standard error of 4.5% at most."},
          {"max-new-tokens", &C::max_new_tokens, between(1, 1048576), "tokens",
           "Longest response in evaluation."},
          {"seed", &C::seed, at_least(0), "",
           "Draws the held-out prompts and samples; the same for runs to be compared."},
          {"samples-shown", &C::samples_shown, between(0, 1000), "responses",
           "Responses shown before and after."},
      });
}

Section metrics_section() {
  using C = MetricsConfig;
  return section<C>(
      "metrics",
      "The dashboard at /, Prometheus metrics at /metrics, probes at /healthz and /readyz, and "
      "what "
      "is written down.",
      &Config::metrics,
      {
          {"port", &C::port, between(0, 65535), "",
           "TCP port; 0: no server, but under troupe up, where every process takes a free one."},
          {"address", &C::address, any(), "",
           "IP address the server listens on; 0.0.0.0 makes it reachable from other machines."},
          {"progress-deadline-seconds", &C::progress_deadline_seconds, positive(86400), "seconds",
           "An actor that has been at work for so long without progress is stuck: /healthz answers "
           "503 with its name. Well above the longest update."},
          {"lineage", &C::lineage, any(), "",
           "Writes lineage.jsonl: each rollout that was trained or dropped, about 250 bytes a "
           "rollout."},
          {"tensorboard", &C::tensorboard, any(), "",
           "Writes events.out.tfevents.*, the figures of metrics.jsonl for TensorBoard, about 2 KB "
           "an update."},
          {"rollouts-per-update", &C::rollouts_per_update, between(0, 1024), "rollouts",
           "Rollouts of each update that the dashboard shows token by token, and that "
           "rollouts.jsonl keeps, up to 64 MiB."},
          {"control-token-file", &C::control_token_file, path(PathKind::input_file), "",
           "File with a secret of 16 characters or more; whoever knows it may pause and stop the "
           "run on the dashboard. Empty: the dashboard only shows."},
      });
}

}  // namespace troupe::config
