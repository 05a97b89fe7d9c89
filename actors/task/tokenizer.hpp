#pragma once
// Text to token ids and back. Character tokenizer; byte-level BPE comes with real checkpoints.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace troupe {

/// One token per character, plus special tokens of several characters. Immutable; safe from any
/// thread.
class Tokenizer {
 public:
  /// The demo's vocabulary: <pad> <bos> <eos> <think> </think> <answer> </answer>, then
  /// "0123456789+-*=;() ?": 26 tokens.
  static Tokenizer arithmetic();
  /// Reads `tokenizer.json` (Hugging Face tokenizers format) as written by save().
  /// Errors: throws std::runtime_error naming the file and what is not supported.
  static Tokenizer load(const std::filesystem::path& model_directory);
  /// Writes tokenizer.json, tokenizer_config.json and special_tokens_map.json into a folder that
  /// exists; transformers' PreTrainedTokenizerFast reads them. Each file is written beside and
  /// renamed.
  void save(const std::filesystem::path& model_directory) const;

  /// The longest special token wins over a character.
  /// Errors: throws std::runtime_error naming the character and its place if it is not in the
  /// vocabulary.
  std::vector<std::int32_t> encode(std::string_view text) const;
  /// Special tokens appear as their text. Ids out of range: throws std::runtime_error.
  std::string decode(std::span<const std::int32_t> ids) const;
  /// Why encode(text) would throw; nullopt if it would not.
  std::optional<std::string> problem(std::string_view text) const;

  std::int32_t size() const { return static_cast<std::int32_t>(tokens_.size()); }
  std::int32_t id(std::string_view token) const;  // throws if absent
  std::int32_t pad() const { return pad_; }
  std::int32_t bos() const { return bos_; }
  std::int32_t eos() const { return eos_; }
  const std::vector<std::string>& tokens() const { return tokens_; }

 private:
  Tokenizer(std::vector<std::string> tokens, std::size_t special_count);
  /// Appends the ids of `text` up to its first unknown character; returns where it stopped, in
  /// bytes.
  std::size_t encode_known(std::string_view text, std::vector<std::int32_t>& ids) const;
  /// The token `rest` starts with: its length in bytes (0: none) and id.
  std::size_t match(std::string_view rest, std::int32_t& id) const;

  std::vector<std::string> tokens_;  // the first special_count_ are special
  std::size_t special_count_ = 0;
  std::unordered_map<std::string, std::int32_t> ids_;
  std::int32_t pad_ = -1, bos_ = -1, eos_ = -1;
};

}  // namespace troupe
