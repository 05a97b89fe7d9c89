// The Hugging Face form of a character tokenizer: a WordLevel model over pieces of one character,
// special tokens cut out before, and a decoder that puts nothing between pieces. WordLevel rather
// than BPE without merges because it refuses an unknown character, as encode() does, where BPE
// drops it.
#include "actors/task/tokenizer.hpp"
#include "actors/task/utf8.hpp"
#include "gpu/model/atomic_file.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

namespace troupe {
namespace {

using Json = nlohmann::json;

constexpr const char* kFile = "tokenizer.json";
constexpr const char* kUnsupported =
    "is not supported; only character tokenizers written by Troupe are";
constexpr int kDeepestNesting = 64;
constexpr std::size_t kLargestVocabulary = 0x110000;  // one token per Unicode character

// The tags are not "special": transformers' decode(skip_special_tokens=True) keeps them, as with
// Qwen3 and DeepSeek-R1.
bool control_token(const std::string& token) {
  return token == "<pad>" || token == "<bos>" || token == "<eos>";
}

Json pre_tokenizer() {
  return {{"type", "Split"},
          {"pattern", {{"Regex", "[\\s\\S]"}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

Json decoder() {
  return Json::object({{"type", "Fuse"}});
}

Json added_token(const std::string& token, std::size_t id) {
  return {
      {"id", id},        {"content", token},    {"single_word", false},           {"lstrip", false},
      {"rstrip", false}, {"normalized", false}, {"special", control_token(token)}};
}

/// Puts <bos> before a text, as Troupe does before every prompt.
Json begin_with_bos(const std::vector<std::string>& tokens) {
  const auto bos = std::find(tokens.begin(), tokens.end(), "<bos>") - tokens.begin();
  const Json special = {{"SpecialToken", {{"id", "<bos>"}, {"type_id", 0}}}};
  const Json a = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const Json b = {{"Sequence", {{"id", "B"}, {"type_id", 1}}}};
  return {{"type", "TemplateProcessing"},
          {"single", Json::array({special, a})},
          {"pair", Json::array({special, a, b})},
          {"special_tokens",
           {{"<bos>", {{"id", "<bos>"}, {"ids", Json::array({bos})}, {"tokens", {"<bos>"}}}}}}};
}

Json tokenizer_json(const std::vector<std::string>& tokens, std::size_t special_count) {
  Json added = Json::array(), vocabulary = Json::object();
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i < special_count) added.push_back(added_token(tokens[i], i));
    vocabulary[tokens[i]] = i;
  }
  // <unk> is named, as the format demands, but has no id: an unknown character is an error.
  return {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", std::move(added)},
      {"normalizer", nullptr},
      {"pre_tokenizer", pre_tokenizer()},
      {"post_processor", begin_with_bos(tokens)},
      {"decoder", decoder()},
      {"model", {{"type", "WordLevel"}, {"vocab", std::move(vocabulary)}, {"unk_token", "<unk>"}}}};
}

Json special_tokens_map() {
  return {{"bos_token", "<bos>"}, {"eos_token", "<eos>"}, {"pad_token", "<pad>"}};
}

Json tokenizer_config() {
  Json config = special_tokens_map();
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  config["clean_up_tokenization_spaces"] = false;
  config["padding_side"] = "left";
  config["model_input_names"] = {"input_ids", "attention_mask"};
  return config;
}

void write_json(const std::filesystem::path& path, const Json& json) {
  gpu::write_atomically(path, json.dump(2) + '\n');
}

// Troupe itself decides where <bos> goes, so a file may say so or nothing.
bool adds_nothing_else(const Json& post_processor, const std::vector<std::string>& tokens) {
  if (post_processor.is_null() || post_processor == begin_with_bos(tokens)) return true;
  if (!post_processor.is_object()) return false;
  const Json sequence = Json::array({{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}});
  return post_processor.value("type", Json()) == "TemplateProcessing" &&
         post_processor.value("single", Json()) == sequence &&
         post_processor.value("special_tokens", Json(0)).empty();
}

// Reads the parts of one tokenizer.json; every refusal names the file.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& model_directory) : path_(model_directory / kFile) {
    std::ifstream stream(path_, std::ios::binary);
    require(stream.is_open() && !std::filesystem::is_directory(path_),
            "cannot be read; give the folder of a model that Troupe wrote");
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    const auto watch = [this](int depth, Json::parse_event_t, const Json&) {
      require(depth <= kDeepestNesting, "is nested too deeply; the file is damaged");
      return true;
    };
    root_ = Json::parse(text, watch, false);
    require(root_.is_object(), "is not a JSON object; the file is damaged");
  }

  std::pair<std::vector<std::string>, std::size_t> read() const {
    check_pipeline();
    std::vector<std::string> tokens = vocabulary();
    check_added(tokens);
    if (!adds_nothing_else(root_.value("post_processor", Json()), tokens))
      supported("post_processor", begin_with_bos(tokens));
    return {std::move(tokens), root_["added_tokens"].size()};
  }

  void require(bool ok, const std::string& why) const {
    if (!ok) refuse(why);
  }
  [[noreturn]] void refuse(const std::string& why) const {
    throw std::runtime_error(path_.string() + ": " + why);
  }

 private:
  const Json& at(const Json& object, const char* key) const {
    require(object.is_object() && object.contains(key), std::string("has no \"") + key + '"');
    return object[key];
  }

  static std::string type_of(const Json& value) {
    const Json type = value.is_object() ? value.value("type", Json()) : Json();
    return type.is_string() ? in_quotes(type.get<std::string>()) : value.type_name();
  }

  void supported(const char* key, const Json& wanted) const {
    const Json value = root_.value(key, Json());
    require(value == wanted, std::string(key) + " of type " + type_of(value) + ' ' + kUnsupported);
  }

  void check_pipeline() const {
    const Json& model = at(root_, "model");
    require(model.is_object() && model.value("type", Json()) == "WordLevel",
            "model of type " + type_of(model) + ' ' + kUnsupported);
    for (const char* key : {"truncation", "padding", "normalizer"}) supported(key, nullptr);

    supported("pre_tokenizer", pre_tokenizer());
    supported("decoder", decoder());
  }

  std::vector<std::string> vocabulary() const {
    const Json& vocab = at(at(root_, "model"), "vocab");
    require(vocab.is_object() && vocab.size() <= kLargestVocabulary,
            "model.vocab is not an object of one token per character");
    std::vector<std::string> tokens(vocab.size());
    for (const auto& [token, id] : vocab.items()) {
      require(id.is_number_unsigned() && id.get<std::uint64_t>() < tokens.size(),
              "model.vocab: the id of " + in_quotes(token) + " is not in 0 .. " +
                  std::to_string(tokens.size()) + " - 1");
      std::string& place = tokens[id.get<std::size_t>()];
      require(place.empty(),
              "model.vocab: " + in_quotes(place) + " and " + in_quotes(token) + " share an id");
      place = token;
    }
    return tokens;
  }

  void check_added(const std::vector<std::string>& tokens) const {
    const Json& added = at(root_, "added_tokens");
    require(added.is_array() && added.size() <= tokens.size(),
            "added_tokens is not a list of tokens of model.vocab");
    for (std::size_t i = 0; i < added.size(); ++i) {
      Json wanted = added_token(tokens[i], i);
      wanted["special"] = added[i].is_object() ? added[i].value("special", Json(false)) : Json();
      require(added[i] == wanted && wanted["special"].is_boolean(),
              "added_tokens[" + std::to_string(i) + "] is not supported; it must be " +
                  in_quotes(tokens[i]) + " with id " + std::to_string(i) +
                  " and neither normalized nor stripped");
    }
  }

  std::filesystem::path path_;
  Json root_;
};

}  // namespace

Tokenizer Tokenizer::load(const std::filesystem::path& model_directory) {
  const Reader reader(model_directory);
  auto [tokens, special_count] = reader.read();
  try {
    return Tokenizer(std::move(tokens), special_count);
  } catch (const std::runtime_error& error) {
    reader.refuse(error.what());
  }
}

void Tokenizer::save(const std::filesystem::path& model_directory) const {
  write_json(model_directory / kFile, tokenizer_json(tokens_, special_count_));
  write_json(model_directory / "tokenizer_config.json", tokenizer_config());
  write_json(model_directory / "special_tokens_map.json", special_tokens_map());
}

}  // namespace troupe
