#include "actors/task/addition_draws.hpp"
#include "actors/task/task.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <utility>

namespace troupe {
namespace {

enum class Style { bare, direct, work, broken };

bool is_chance(double value) {
  return value >= 0 && value <= 1;
}

void check_mix(const AdditionMix& mix) {
  const std::array<double, 6> chances = {mix.bare,   mix.direct,     mix.work,
                                         mix.broken, mix.step_error, mix.answer_error};
  const bool good = std::all_of(chances.begin(), chances.end(), is_chance);
  const double sum = mix.bare + mix.direct + mix.work + mix.broken;
  if (good && std::abs(sum - 1) < 1e-6) return;
  throw std::invalid_argument(
      "addition mix: shares and chances must be in 0 .. 1, and bare, direct, work and broken must "
      "add up to 1");
}

class AdditionCorpus : public Corpus {
 public:
  AdditionCorpus(std::vector<std::int32_t> digits, const AdditionMix& mix, std::uint64_t seed)
      : digits_(std::move(digits)), mix_(mix), random_(seed, kCorpusStream) {
    check_digits(digits_);
    check_mix(mix_);
  }

  TextDocument next() override {
    const AdditionProblem problem = draw_training_problem(random_, digits_);
    return {problem.prompt(), response(problem)};
  }

 private:
  Style draw_style() {
    const std::array<std::pair<Style, double>, 4> shares = {{{Style::bare, mix_.bare},
                                                             {Style::direct, mix_.direct},
                                                             {Style::work, mix_.work},
                                                             {Style::broken, mix_.broken}}};
    double left = random_.uniform();
    Style drawn = Style::work;  // the last style with a share, when rounding leaves a rest
    for (const auto& [style, share] : shares) {
      if (share > 0) drawn = style;
      left -= share;
      if (left < 0) break;
    }
    return drawn;
  }

  std::string response(const AdditionProblem& problem) {
    switch (draw_style()) {
      case Style::bare:
        return guess(problem);
      case Style::direct:
        return tagged("", guess(problem));
      case Style::work: {
        const Scratchpad pad = work(problem);
        return tagged(pad.steps, pad.answer);
      }
      case Style::broken:
        break;
    }
    return broken(work(problem));
  }

  Scratchpad work(const AdditionProblem& problem) {
    return solve(problem, [this](int sum) {
      constexpr std::array<int, 4> kErrors = {-2, -1, 1, 2};
      if (random_.uniform() >= mix_.step_error) return sum;
      return std::clamp(sum + kErrors[random_.below(kErrors.size())], 0, 19);
    });
  }

  std::string guess(const AdditionProblem& problem) {
    std::string answer = problem.answer();
    for (char& digit : answer) {
      if (random_.uniform() >= mix_.answer_error) continue;
      const int off = random_.below(2) == 0 ? 1 : 9;
      digit = static_cast<char>('0' + (digit - '0' + off) % 10);
    }
    return answer;
  }

  std::string broken(const Scratchpad& pad) {
    switch (random_.below(4)) {
      case 0:
        return pad.steps + "</think><answer>" + pad.answer + "</answer>";
      case 1:
        return "<think>" + pad.steps + "</think>" + pad.answer;
      case 2:
        return "<think>" + pad.steps + "<answer>" + pad.answer + "</answer>";
      default:
        return "<think>" + pad.steps + "</think><answer>" + pad.answer;
    }
  }

  std::vector<std::int32_t> digits_;
  AdditionMix mix_;
  gpu::PhiloxStream random_;
};

}  // namespace

std::unique_ptr<Corpus> addition_corpus(std::vector<std::int32_t> digits, AdditionMix mix,
                                        std::uint64_t seed) {
  return std::make_unique<AdditionCorpus>(std::move(digits), mix, seed);
}

std::vector<TextDocument> addition_probe(std::int32_t digits, std::size_t count,
                                         std::uint64_t seed) {
  check_digits({digits});
  gpu::PhiloxStream random(seed, kProbeStream);
  std::vector<TextDocument> documents;
  for (std::size_t i = 0; i < count; ++i) {
    const AdditionProblem problem = draw_problem(random, digits, false);
    documents.push_back({problem.prompt(), problem.worked_response()});
  }
  return documents;
}

}  // namespace troupe
