#include "actors/task/tokenizer.hpp"

#include "actors/task/utf8.hpp"

#include <stdexcept>
#include <utility>

namespace troupe {
namespace {

// What stands at byte `at` of `text` and is in no vocabulary.
std::string describe_unknown(std::string_view text, std::size_t at) {
  std::size_t place = 1;
  for (std::size_t i = 0; i < at; i += first_code_point(text.substr(i)).bytes) ++place;
  const std::string where = " at character " + std::to_string(place);
  const std::size_t bytes = first_code_point(text.substr(at)).bytes;
  if (bytes == 0) return "byte " + describe_byte(text[at]) + where + " is not UTF-8";
  return describe_character(text.substr(at, bytes)) + where + " is not in the vocabulary";
}

void require_token(bool ok, const std::string& token, const char* why) {
  if (!ok) throw std::runtime_error("tokenizer: token " + in_quotes(token) + ' ' + why);
}

}  // namespace

Tokenizer::Tokenizer(std::vector<std::string> tokens, std::size_t special_count)
    : tokens_(std::move(tokens)), special_count_(special_count) {
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const std::string& token = tokens_[i];
    const std::size_t first = first_code_point(token).bytes;
    require_token(!first_malformed_byte(token) && first > 0, token, "is empty or not UTF-8");
    require_token(i < special_count_ || first == token.size(), token, "is not one character");
    const bool added = ids_.emplace(token, static_cast<std::int32_t>(i)).second;
    require_token(added, token, "occurs twice");
  }
  pad_ = id("<pad>");
  bos_ = id("<bos>");
  eos_ = id("<eos>");
}

Tokenizer Tokenizer::arithmetic() {
  std::vector<std::string> tokens = {"<pad>",    "<bos>",    "<eos>",    "<think>",
                                     "</think>", "<answer>", "</answer>"};
  const std::size_t special_count = tokens.size();
  for (const char character : std::string_view("0123456789+-*=;() ?"))
    tokens.emplace_back(1, character);
  return Tokenizer(std::move(tokens), special_count);
}

std::size_t Tokenizer::match(std::string_view rest, std::int32_t& id) const {
  std::size_t longest = 0;
  for (std::size_t i = 0; i < special_count_; ++i) {
    if (tokens_[i].size() <= longest || !rest.starts_with(tokens_[i])) continue;
    longest = tokens_[i].size();
    id = static_cast<std::int32_t>(i);
  }
  if (longest > 0) return longest;
  const std::size_t bytes = first_code_point(rest).bytes;
  const auto found = ids_.find(std::string(rest.substr(0, bytes)));
  if (found == ids_.end()) return 0;
  id = found->second;
  return bytes;
}

std::size_t Tokenizer::encode_known(std::string_view text, std::vector<std::int32_t>& ids) const {
  std::size_t at = 0;
  while (at < text.size()) {
    std::int32_t token = 0;
    const std::size_t bytes = match(text.substr(at), token);
    if (bytes == 0) break;
    ids.push_back(token);
    at += bytes;
  }
  return at;
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<std::int32_t> ids;
  ids.reserve(text.size());
  const std::size_t end = encode_known(text, ids);
  if (end < text.size()) throw std::runtime_error("tokenizer: " + describe_unknown(text, end));
  return ids;
}

std::optional<std::string> Tokenizer::problem(std::string_view text) const {
  std::vector<std::int32_t> ids;
  const std::size_t end = encode_known(text, ids);
  if (end == text.size()) return std::nullopt;
  return describe_unknown(text, end);
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids) const {
  std::string text;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= size()) {
      throw std::runtime_error("tokenizer: id " + std::to_string(ids[i]) + " at place " +
                               std::to_string(i) + " is outside the vocabulary of " +
                               std::to_string(size()));
    }
    text += tokens_[static_cast<std::size_t>(ids[i])];
  }
  return text;
}

std::int32_t Tokenizer::id(std::string_view token) const {
  const auto found = ids_.find(std::string(token));
  if (found == ids_.end()) {
    throw std::runtime_error("tokenizer: no token " + in_quotes(token));
  }
  return found->second;
}

}  // namespace troupe
