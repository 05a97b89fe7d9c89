#include "tests/chaos/weather.hpp"

#include <algorithm>
#include <sstream>
#include <stdexcept>

namespace troupe::chaos {

double Passage::share() {
  return std::uniform_real_distribution<double>(0, 1)(random_);
}

double Passage::due(double now, std::size_t bytes, const Weather& weather) {
  double at = now + weather.delay + weather.jitter * share();
  if (share() < weather.loss) at += weather.stall;
  if (weather.bytes_per_second > 0) {
    line_free_ = std::max(line_free_, now) + static_cast<double>(bytes) / weather.bytes_per_second;
    at = std::max(at, line_free_);
  }
  last_due_ = std::max(last_due_, at);
  return last_due_;
}

bool Passage::damage(std::string& chunk, Weather& weather) {
  if (weather.chunks_to_damage == 0 || chunk.empty()) return false;
  --weather.chunks_to_damage;
  const std::size_t at = random_() % chunk.size();
  chunk[at] = static_cast<char>(chunk[at] ^ (1 << (random_() % 8)));
  return true;
}

namespace {

void change(Weather& weather, const std::string& what, std::istringstream& rest) {
  std::string word;
  if (what == "delay") {
    rest >> weather.delay >> weather.jitter;
  } else if (what == "loss") {
    rest >> weather.loss >> weather.stall;
  } else if (what == "rate") {
    rest >> weather.bytes_per_second;
  } else if (what == "corrupt") {
    rest >> weather.chunks_to_damage;
  } else if (what == "cut") {
    rest >> word;
    weather.cut = word == "on";
    if (word != "on" && word != "off") rest.setstate(std::ios::failbit);
  } else {
    throw std::runtime_error("unknown weather: " + what);
  }
  if (rest.fail()) throw std::runtime_error("bad figures for " + what);
}

}  // namespace

void apply(const std::string& command, Weather& up, Weather& down) {
  std::istringstream words(command);
  std::string direction, what;
  words >> direction >> what;
  if (direction == "clear") {
    up = down = {};
    return;
  }
  if (direction != "up" && direction != "down" && direction != "both")
    throw std::runtime_error("not a direction: " + direction);
  const auto figures = words.tellg();
  if (direction != "down") change(up, what, words);
  words.clear();
  words.seekg(figures);
  if (direction != "up") change(down, what, words);
}

}  // namespace troupe::chaos
