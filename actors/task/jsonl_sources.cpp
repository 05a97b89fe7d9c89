#include "actors/task/addition_draws.hpp"
#include "actors/task/task.hpp"

#include <stdexcept>
#include <unordered_map>
#include <utility>

namespace troupe {
namespace {

// Rows in order, pass after pass; each pass shuffled anew if wanted. All of it follows from the
// seed.
class RowCycle {
 public:
  RowCycle(std::vector<DataRow> rows, bool shuffle, std::uint64_t seed)
      : rows_(std::move(rows)), shuffle_(shuffle), random_(seed, kShuffleStream) {
    if (rows_.empty()) throw std::invalid_argument("jsonl: no rows to draw from");
    order_.resize(rows_.size());
    for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = i;
    place_ = order_.size();
  }

  const DataRow& next() {
    if (place_ == order_.size()) start_pass();
    return rows_[order_[place_++]];
  }

 private:
  void start_pass() {
    place_ = 0;
    if (!shuffle_) return;
    for (std::size_t left = order_.size(); left > 1; --left) {
      std::swap(order_[left - 1], order_[random_.below(left)]);
    }
  }

  std::vector<DataRow> rows_;
  bool shuffle_;
  gpu::PhiloxStream random_;
  std::vector<std::size_t> order_;
  std::size_t place_;
};

class JsonlPrompts : public PromptSource {
 public:
  explicit JsonlPrompts(RowCycle rows) : rows_(std::move(rows)) {}
  Prompt next() override { return make_prompt(rows_.next().prompt); }

 private:
  RowCycle rows_;
};

class JsonlCorpus : public Corpus {
 public:
  explicit JsonlCorpus(RowCycle rows) : rows_(std::move(rows)) {}
  TextDocument next() override {
    const DataRow& row = rows_.next();
    return {row.prompt, row.response};
  }

 private:
  RowCycle rows_;
};

class JsonlAnswers : public AnswerKey {
 public:
  explicit JsonlAnswers(const std::vector<DataRow>& rows) {
    for (const DataRow& row : rows) {
      if (!row.answer.empty()) answers_.emplace(row.prompt, row.answer);
    }
  }
  std::optional<std::string> answer(const std::string& prompt_text) const override {
    const auto found = answers_.find(prompt_text);
    if (found == answers_.end()) return std::nullopt;
    return found->second;
  }

 private:
  std::unordered_map<std::string, std::string> answers_;
};

}  // namespace

std::unique_ptr<PromptSource> jsonl_prompts(std::vector<DataRow> rows, bool shuffle,
                                            std::uint64_t seed) {
  return std::make_unique<JsonlPrompts>(RowCycle(std::move(rows), shuffle, seed));
}

std::unique_ptr<Corpus> jsonl_corpus(std::vector<DataRow> rows, bool shuffle, std::uint64_t seed) {
  return std::make_unique<JsonlCorpus>(RowCycle(std::move(rows), shuffle, seed));
}

std::unique_ptr<AnswerKey> jsonl_answers(const std::vector<DataRow>& rows) {
  return std::make_unique<JsonlAnswers>(rows);
}

}  // namespace troupe
