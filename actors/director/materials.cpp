#include "actors/director/materials.hpp"

#include "gpu/model/manifest.hpp"
#include "gpu/model/model_directory.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>

namespace troupe {
namespace {

/// Streams of random draws that must not coincide.
enum SeedPurpose : std::uint64_t {
  weights_seed = 1,
  prompts_seed = 2,
  corpus_seed = 3,
  probe_seed = 4
};

std::uint64_t seed_of(const Config& config, SeedPurpose purpose, std::size_t stage = 0) {
  return config.run.seed * 1000003u + static_cast<std::uint64_t>(purpose) * 101u + stage;
}

gpu::DecoderConfig decoder_of(const ModelConfig& model, const Tokenizer& tokenizer) {
  gpu::DecoderConfig decoder;
  decoder.vocab_size = tokenizer.size();
  decoder.hidden_size = model.hidden;
  decoder.intermediate_size = model.intermediate;
  decoder.num_layers = model.layers;
  decoder.num_heads = model.heads;
  decoder.num_kv_heads = model.kv_heads;
  decoder.head_dim = model.head_dim > 0 ? model.head_dim : model.hidden / model.heads;
  decoder.max_positions = model.max_positions;
  decoder.rope_theta = static_cast<float>(model.rope_theta);
  decoder.rms_norm_eps = static_cast<float>(model.rms_norm_eps);
  decoder.tied_embeddings = model.tied_embeddings;
  decoder.qkv_bias = model.qkv_bias;
  decoder.qk_norm = model.qk_norm;
  decoder.bos_token = tokenizer.bos();
  decoder.eos_token = tokenizer.eos();
  decoder.pad_token = tokenizer.pad();
  return decoder;
}

void make_model(const Config& config, Materials& materials) {
  if (config.model.path.empty()) {
    materials.tokenizer = std::make_shared<const Tokenizer>(Tokenizer::arithmetic());
    materials.decoder = decoder_of(config.model, *materials.tokenizer);
    gpu::validate(materials.decoder);
    materials.weights = gpu::initial_weights(materials.decoder, seed_of(config, weights_seed));
    return;
  }
  gpu::LoadedModel loaded = gpu::load_model(config.model.path);
  materials.tokenizer = std::make_shared<const Tokenizer>(Tokenizer::load(config.model.path));
  materials.decoder = loaded.config;
  materials.weights = std::move(loaded.weights);
  if (materials.tokenizer->size() > materials.decoder.vocab_size)
    throw std::runtime_error(
        config.model.path.string() + ": tokenizer.json has " +
        std::to_string(materials.tokenizer->size()) + " tokens, config.json only " +
        std::to_string(materials.decoder.vocab_size) + ": they are not of one model");
}

std::vector<std::int32_t> unique_digits(const std::vector<std::int32_t>& digits) {
  const std::set<std::int32_t> unique(digits.begin(), digits.end());
  return {unique.begin(), unique.end()};
}

void add_held_out(Materials& materials, const std::string& text) {
  materials.held_out.push_back({text, prompt_tokens(*materials.tokenizer, text)});
  materials.longest_prompt =
      std::max(materials.longest_prompt, materials.held_out.back().tokens.size());
}

void gather_addition(const Config& config, Materials& materials) {
  materials.rules.answers = addition_answers();
  const auto count = static_cast<std::size_t>(
      std::max(config.evaluation.prompts, config.evaluation.prompts_during));
  for (const AdditionProblem& problem :
       addition_held_out(unique_digits(config.task.digits), count, config.evaluation.seed))
    add_held_out(materials, problem.prompt());
  for (const std::int32_t digits : config.task.digits)
    materials.longest_prompt =
        std::max(materials.longest_prompt, static_cast<std::size_t>(2 * digits + 3));
}

/// A prompt in both files must have one answer.
void refuse_conflicts(const std::vector<DataRow>& rows, const std::filesystem::path& file,
                      const std::vector<DataRow>& held, const std::filesystem::path& held_file) {
  std::map<std::string, const DataRow*> known;
  for (const DataRow& row : rows) known.emplace(row.prompt, &row);
  for (const DataRow& row : held) {
    const auto other = known.find(row.prompt);
    if (other == known.end() || other->second->answer == row.answer) continue;
    throw std::runtime_error(held_file.string() + ":" + std::to_string(row.line) +
                             ": the prompt \"" + row.prompt + "\" has another answer in " +
                             file.string() + ":" + std::to_string(other->second->line) +
                             "; give it one");
  }
}

void gather_jsonl(const Config& config, Materials& materials) {
  materials.prompt_rows = read_jsonl(config.task.prompts, true, false);
  std::vector<DataRow> rows = materials.prompt_rows;
  check_vocabulary(rows, *materials.tokenizer, config.task.prompts);
  for (const DataRow& row : rows)
    materials.longest_prompt =
        std::max(materials.longest_prompt, prompt_tokens(*materials.tokenizer, row.prompt).size());
  if (config.task.held_out.empty()) {
    for (const AdditionProblem& problem : addition_held_out(
             unique_digits(config.task.digits), static_cast<std::size_t>(config.evaluation.prompts),
             config.evaluation.seed)) {
      add_held_out(materials, problem.prompt());
      rows.push_back({problem.prompt(), problem.answer(), "", "", 0});
    }
  } else {
    const std::vector<DataRow> held = read_jsonl(config.task.held_out, true, false);
    check_vocabulary(held, *materials.tokenizer, config.task.held_out);
    refuse_conflicts(rows, config.task.prompts, held, config.task.held_out);
    for (const DataRow& row : held) add_held_out(materials, row.prompt);
    rows.insert(rows.end(), held.begin(), held.end());
  }
  materials.rules.answers = jsonl_answers(rows);
}

void gather_documents(const Config& config, Materials& materials) {
  for (std::size_t stage = 0; stage < config.stages.size(); ++stage) {
    const std::filesystem::path& file = config.stages[stage].documents;
    if (file.empty()) continue;
    materials.documents[stage] = read_jsonl(file, false, true);
    check_vocabulary(materials.documents[stage], *materials.tokenizer, file);
    for (const DataRow& row : materials.documents[stage]) {
      const std::size_t tokens =
          tokenize(*materials.tokenizer, {row.prompt, row.response}).tokens.size();
      if (tokens > static_cast<std::size_t>(materials.decoder.max_positions))
        throw std::runtime_error(file.string() + ":" + std::to_string(row.line) + ": " +
                                 std::to_string(tokens) + " tokens, the model has " +
                                 std::to_string(materials.decoder.max_positions) + " positions");
    }
  }
}

void check_positions(const Config& config, const Materials& materials) {
  const std::size_t completion = static_cast<std::size_t>(
      std::max(config.generator.max_new_tokens, config.evaluation.max_new_tokens));
  const std::size_t needed = materials.longest_prompt + completion;
  if (needed <= static_cast<std::size_t>(materials.decoder.max_positions)) return;
  throw std::runtime_error("the longest prompt has " + std::to_string(materials.longest_prompt) +
                           " tokens and its response up to " + std::to_string(completion) +
                           ", the model has " + std::to_string(materials.decoder.max_positions) +
                           " positions: lower max-new-tokens or raise model.max-positions");
}

/// Documents drawn from a fixed set, in a new order each time it is used up.
std::unique_ptr<Corpus> limited(std::unique_ptr<Corpus> corpus, std::int32_t limit,
                                std::uint64_t seed) {
  std::vector<DataRow> rows;
  for (std::int32_t i = 0; i < limit; ++i) {
    const TextDocument document = corpus->next();
    rows.push_back({document.prompt, "", document.response, "", 0});
  }
  return jsonl_corpus(std::move(rows), true, seed);
}

}  // namespace

std::vector<std::int32_t> prompt_tokens(const Tokenizer& tokenizer, const std::string& text) {
  std::vector<std::int32_t> tokens = tokenizer.encode(text);
  tokens.insert(tokens.begin(), tokenizer.bos());
  return tokens;
}

gpu::Document tokenize(const Tokenizer& tokenizer, const TextDocument& document) {
  gpu::Document tokens{prompt_tokens(tokenizer, document.prompt), 0};
  tokens.first_target = static_cast<std::int32_t>(tokens.tokens.size());
  const std::vector<std::int32_t> response = tokenizer.encode(document.response);
  tokens.tokens.insert(tokens.tokens.end(), response.begin(), response.end());
  tokens.tokens.push_back(tokenizer.eos());
  return tokens;
}

Materials gather(const Config& config) {
  Materials materials;
  make_model(config, materials);
  materials.rules.tokenizer = materials.tokenizer;
  materials.rules.weights = {config.verifier.accuracy_reward, config.verifier.format_reward};
  if (config.task.kind == "jsonl")
    gather_jsonl(config, materials);
  else
    gather_addition(config, materials);
  gather_documents(config, materials);
  check_positions(config, materials);
  return materials;
}

std::vector<std::int32_t> banned_tokens(const Tokenizer& tokenizer,
                                        const gpu::DecoderConfig& decoder) {
  std::vector<std::int32_t> banned = {tokenizer.pad(), tokenizer.bos()};
  for (std::int32_t id = tokenizer.size(); id < decoder.vocab_size; ++id) banned.push_back(id);
  return banned;
}

gpu::SamplingParams sampling_params(const Config& config, const Materials& materials) {
  gpu::SamplingParams params;
  params.temperature = static_cast<float>(config.generator.temperature);
  params.top_k = config.generator.top_k;
  params.top_p = static_cast<float>(config.generator.top_p);
  params.max_new_tokens = config.generator.max_new_tokens;
  params.stop_tokens = {materials.tokenizer->eos()};
  params.banned = banned_tokens(*materials.tokenizer, materials.decoder);
  return params;
}

std::function<TicketPrompt()> ticket_prompts(const Config& config, const Materials& materials,
                                             std::size_t stage) {
  // The first rl stage draws by the run's seed itself, as `troupe data addition --seed` does.
  const auto rl_before = static_cast<std::uint64_t>(std::count_if(
      config.stages.begin(), config.stages.begin() + static_cast<std::ptrdiff_t>(stage),
      [](const StageConfig& one) { return one.kind == "rl"; }));
  const std::uint64_t seed =
      rl_before == 0 ? config.run.seed : seed_of(config, prompts_seed, rl_before);
  std::shared_ptr<PromptSource> source =
      config.task.kind == "jsonl" ? jsonl_prompts(materials.prompt_rows, config.task.shuffle, seed)
                                  : addition_prompts(config.task.digits, seed);
  return [source, tokenizer = materials.tokenizer] {
    const Prompt prompt = source->next();
    return TicketPrompt{prompt.uid, prompt_tokens(*tokenizer, prompt.text)};
  };
}

std::function<gpu::Document()> stage_documents(const Config& config, const Materials& materials,
                                               std::size_t stage) {
  const StageConfig& one = config.stages[stage];
  const std::uint64_t seed = seed_of(config, corpus_seed, stage);
  std::shared_ptr<Corpus> corpus;
  if (!one.documents.empty()) {
    corpus = jsonl_corpus(materials.documents.at(stage), true, seed);
  } else {
    auto endless =
        addition_corpus(one.digits.empty() ? config.task.digits : one.digits, one.mix, seed);
    corpus = one.documents_limit > 0 ? limited(std::move(endless), one.documents_limit, seed)
                                     : std::move(endless);
  }
  return [corpus, tokenizer = materials.tokenizer] { return tokenize(*tokenizer, corpus->next()); };
}

std::vector<std::vector<ProbeDocument>> gate_probe(const Config& config, const Materials& materials,
                                                   std::size_t stage) {
  const StageConfig& one = config.stages[stage];
  std::vector<std::vector<ProbeDocument>> kinds;
  for (const std::int32_t digits :
       unique_digits(one.digits.empty() ? config.task.digits : one.digits)) {
    std::vector<ProbeDocument> documents;
    for (const TextDocument& text : addition_probe(
             digits, static_cast<std::size_t>(one.gate_documents), seed_of(config, probe_seed))) {
      const gpu::Document document = tokenize(*materials.tokenizer, text);
      constexpr std::int32_t kForced = 2;  // <think> and one digit are given
      documents.push_back({document.tokens, document.first_target + kForced});
    }
    kinds.push_back(std::move(documents));
  }
  return kinds;
}

std::shared_ptr<const EvaluationPlan> evaluation_plan(const Config& config,
                                                      const Materials& materials,
                                                      std::int32_t prompts, std::int32_t update) {
  auto plan = std::make_shared<EvaluationPlan>();
  const auto count =
      std::min<std::size_t>(static_cast<std::size_t>(prompts), materials.held_out.size());
  plan->prompts.assign(materials.held_out.begin(),
                       materials.held_out.begin() + static_cast<std::ptrdiff_t>(count));
  plan->rules = materials.rules;
  plan->sampling = sampling_params(config, materials);
  plan->sampling.max_new_tokens = config.evaluation.max_new_tokens;
  plan->seed = config.evaluation.seed;
  plan->update = update;
  plan->samples_shown = config.evaluation.samples_shown;
  return plan;
}

}  // namespace troupe
