#include "actors/task/tokenizer.hpp"
#include "tests/actors/task/temporary_folder.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

TEST_SUITE_BEGIN("actors/task");

using namespace troupe;
using Json = nlohmann::json;

namespace {

struct SavedTokenizer {
  SavedTokenizer() {
    Tokenizer::arithmetic().save(folder.path());
    json = Json::parse(contents(folder.path() / "tokenizer.json"));
  }
  /// What load() says about `json`.
  std::string refusal() const {
    folder.write("tokenizer.json", json.dump());
    return message_of([&] { Tokenizer::load(folder.path()); }, folder.path());
  }
  TemporaryFolder folder;
  Json json;
};

constexpr const char* kUnsupported =
    " is not supported; only character tokenizers written by Troupe are";

}  // namespace

TEST_CASE_FIXTURE(SavedTokenizer, "a saved tokenizer is loaded as it was") {
  const auto loaded = Tokenizer::load(folder.path());
  CHECK(loaded.tokens() == Tokenizer::arithmetic().tokens());
  CHECK(loaded.pad() == 0);
  CHECK(loaded.bos() == 1);
  CHECK(loaded.eos() == 2);
  const std::vector<std::int32_t> ids = {1, 8, 3, 4, 2};
  CHECK(loaded.encode("<bos>1<think></think><eos>") == ids);
  CHECK(loaded.decode(ids) == "<bos>1<think></think><eos>");
}

TEST_CASE_FIXTURE(SavedTokenizer, "a saved tokenizer has what transformers reads") {
  CHECK(json["model"]["type"] == "WordLevel");
  CHECK(json["model"]["vocab"].size() == 26);
  CHECK(json["added_tokens"].size() == 7);
  CHECK(json["added_tokens"][3]["content"] == "<think>");
  CHECK(json["added_tokens"][3]["special"] == false);
  CHECK(json["added_tokens"][2]["special"] == true);
  CHECK(json["decoder"] == Json::parse(R"({"type":"Fuse"})"));
  const auto config = Json::parse(contents(folder.path() / "tokenizer_config.json"));
  CHECK(config["tokenizer_class"] == "PreTrainedTokenizerFast");
  CHECK(config["clean_up_tokenization_spaces"] == false);
  CHECK(config["model_input_names"] == Json::parse(R"(["input_ids","attention_mask"])"));
  const auto map = Json::parse(contents(folder.path() / "special_tokens_map.json"));
  CHECK(map == Json::parse(R"({"bos_token":"<bos>","eos_token":"<eos>","pad_token":"<pad>"})"));
  CHECK_FALSE(std::filesystem::exists(folder.path() / "tokenizer.json.partial"));
}

TEST_CASE_FIXTURE(SavedTokenizer, "a tokenizer with characters beyond ASCII is saved and loaded") {
  json["model"]["vocab"]["\xE2\x82\xAC"] = 26;
  CHECK(refusal().empty());
  const auto loaded = Tokenizer::load(folder.path());
  CHECK(loaded.encode("1\xE2\x82\xAC") == std::vector<std::int32_t>{8, 26});
  loaded.save(folder.path());
  CHECK(Tokenizer::load(folder.path()).tokens() == loaded.tokens());
}

TEST_CASE_FIXTURE(SavedTokenizer, "the longest special token wins whatever its place") {
  auto& vocab = json["model"]["vocab"];
  vocab =
      Json::parse(R"({"<pad>":0,"<bos>":1,"<eos>":2,"ab<":3,"ab":4,"abc":5,"a":6,"b":7,"c":8})");
  auto added = json["added_tokens"];
  for (const char* token : {"ab<", "ab", "abc"}) {
    const auto id = vocab[token].get<std::size_t>();
    added[id]["content"] = token;
  }
  added.erase(6);
  json["added_tokens"] = added;
  CHECK(refusal().empty());
  CHECK(Tokenizer::load(folder.path()).encode("abcab<babac") ==
        std::vector<std::int32_t>{5, 3, 7, 4, 6, 8});
}

TEST_CASE_FIXTURE(SavedTokenizer, "a file that transformers has saved again is accepted") {
  json["post_processor"] = Json::parse(R"({"type":"TemplateProcessing","special_tokens":{},
    "single":[{"Sequence":{"id":"A","type_id":0}}],
    "pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}]})");
  CHECK(refusal().empty());
  json["post_processor"]["single"].push_back("<eos>");
  CHECK(refusal() == std::string("tokenizer.json: post_processor of type \"TemplateProcessing\"") +
                         kUnsupported);
}

TEST_CASE_FIXTURE(SavedTokenizer, "other kinds of tokenizers are refused by name") {
  SUBCASE("byte pairs") {
    json["model"]["type"] = "BPE";
    CHECK(refusal() == std::string("tokenizer.json: model of type \"BPE\"") + kUnsupported);
  }
  SUBCASE("normalizer") {
    json["normalizer"] = {{"type", "NFC"}};
    CHECK(refusal() == std::string("tokenizer.json: normalizer of type \"NFC\"") + kUnsupported);
  }
  SUBCASE("pre-tokenizer") {
    json["pre_tokenizer"]["behavior"] = "Removed";
    CHECK(refusal() ==
          std::string("tokenizer.json: pre_tokenizer of type \"Split\"") + kUnsupported);
  }
  SUBCASE("decoder") {
    json["decoder"] = nullptr;
    CHECK(refusal() == std::string("tokenizer.json: decoder of type null") + kUnsupported);
  }
  SUBCASE("truncation") {
    json["truncation"] = {{"max_length", 5}};
    CHECK(refusal() == std::string("tokenizer.json: truncation of type object") + kUnsupported);
  }
}

TEST_CASE_FIXTURE(SavedTokenizer, "a damaged vocabulary is refused") {
  auto& vocab = json["model"]["vocab"];
  SUBCASE("two tokens with one id") {
    vocab["1"] = 7;
    CHECK(refusal() == "tokenizer.json: model.vocab: \"0\" and \"1\" share an id");
  }
  SUBCASE("an id too large") {
    vocab["1"] = 26;
    CHECK(refusal() == "tokenizer.json: model.vocab: the id of \"1\" is not in 0 .. 26 - 1");
  }
  SUBCASE("a negative id") {
    vocab["1"] = -1;
    CHECK(refusal() == "tokenizer.json: model.vocab: the id of \"1\" is not in 0 .. 26 - 1");
  }
  SUBCASE("a token of two characters that is not added") {
    vocab.erase("1");
    vocab["12"] = 8;
    CHECK(refusal() == "tokenizer.json: tokenizer: token \"12\" is not one character");
  }
  SUBCASE("an empty token") {
    vocab.erase("1");
    vocab[""] = 8;
    CHECK(refusal() == "tokenizer.json: tokenizer: token \"\" is empty or not UTF-8");
  }
  SUBCASE("no end token") {
    vocab.erase("<eos>");
    vocab["<end>"] = 2;
    json["added_tokens"][2]["content"] = "<end>";
    json["added_tokens"][2]["special"] = true;
    CHECK(refusal() == "tokenizer.json: tokenizer: no token \"<eos>\"");
  }
  SUBCASE("an added token that strips spaces") {
    json["added_tokens"][3]["lstrip"] = true;
    CHECK(refusal() ==
          "tokenizer.json: added_tokens[3] is not supported; it must be \"<think>\" with id 3 and "
          "neither normalized nor stripped");
  }
  SUBCASE("missing parts") {
    json["model"].erase("vocab");
    CHECK(refusal() == "tokenizer.json: has no \"vocab\"");
  }
}

TEST_CASE("a file that is not there or not JSON is refused by name") {
  const TemporaryFolder folder;
  const auto refusal = [&] {
    return message_of([&] { Tokenizer::load(folder.path()); }, folder.path());
  };
  CHECK(refusal() ==
        "tokenizer.json: cannot be read; give the folder of a model that Troupe wrote");
  for (const char* text : {"", "{", "[1]", "null", "{\"a\":1e999}"}) {
    folder.write("tokenizer.json", text);
    CHECK(refusal() == "tokenizer.json: is not a JSON object; the file is damaged");
  }
  folder.write("tokenizer.json", "{}");
  CHECK(refusal() == "tokenizer.json: has no \"model\"");
  folder.write("tokenizer.json", "{\"model\":3}");
  CHECK(refusal() == std::string("tokenizer.json: model of type number") + kUnsupported);
  folder.write("tokenizer.json", "{\"normalizer\":" + std::string(1'000'000, '['));
  CHECK(refusal() == "tokenizer.json: is nested too deeply; the file is damaged");
}

TEST_CASE("saving into a folder that is not there says what to do") {
  const TemporaryFolder folder;
  CHECK(message_of([&] { Tokenizer::arithmetic().save(folder.path() / "no"); }, folder.path()) ==
        "no/tokenizer.json: cannot be written: the folder does not exist; create no");
}
