#include "actors/telemetry/status.hpp"

#include "actors/telemetry/text.hpp"
#include "tests/actors/telemetry/sample_run.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

namespace {

StatusView sample_view() {
  StatusView view;
  view.run = "demo";
  view.stage = "rl";
  view.update = 12;
  view.updates = 50;
  view.stage_seconds = 6;
  view.rollout_update = sample_update(12);
  view.ledger = sample_ledger();
  view.staleness_bound = 2;
  view.generator_tokens_per_second = 98123;
  view.learner_tokens_per_second = 81000;
  view.idle = {
      {"generator-0", 0.1}, {"generator-1", 0.14}, {"learner", 0.31}, {"verifier-0", 0.97}};
  return view;
}

std::string text_of(const std::vector<std::string>& block) {
  std::string text;
  for (const auto& line : block) text += line + "\n";
  return text;
}

/// What a stream received.
struct Captured {
  char* data = nullptr;
  std::size_t size = 0;
  std::FILE* file = open_memstream(&data, &size);
  std::string text() {
    std::fflush(file);
    return {data, size};
  }
  ~Captured() {
    std::fclose(file);
    free(data);
  }
};

}  // namespace

TEST_CASE("a plain line tells all of an update") {
  CHECK(plain_line(sample_view()) ==
        "rl 12/50 reward 0.912 pass 0.86 length 28.4 lag 1.2/2 gap 1.1e-06 gen 98k tok/s learn 81k "
        "tok/s "
        "idle gen 12% learn 31%");
}

TEST_CASE("figures that are not known are left out of a plain line") {
  StatusView view = sample_view();
  view.generator_tokens_per_second = view.learner_tokens_per_second = 0;
  view.idle.clear();
  view.staleness_bound.reset();
  view.rollout_update->log_prob_gap_tokens = 0;
  CHECK(plain_line(view) == "rl 12/50 reward 0.912 pass 0.86 length 28.4 lag 1.2/2 gap n/a");
  view.rollout_update->refused = true;
  CHECK(plain_line(view).find("REFUSED") != std::string::npos);
}

TEST_CASE("a supervised stage shows loss and rate and a probed gate") {
  StatusView view;
  view.stage = "base";
  view.update = 200;
  view.updates = 1200;
  view.supervised = sample_run().stages[0].supervised_updates.back();
  CHECK(plain_line(view) == "base 200/1200 loss 0.2500 lr 5.0e-04 48k pos/s gate 0.938");
}

TEST_CASE("at a gate the progress is the gate's and nobody knows how long it takes") {
  StatusView view;
  view.run = "demo";
  view.stage = "base";
  view.update = 400;
  view.updates = 100;
  view.stage_seconds = 8;
  view.supervised = SupervisedRecord{.loss = 0.25, .gate = 0.93, .gate_limit = 6000};
  CHECK(plain_line(view).starts_with("base 400 of at most 6000, gate ?/0.930 loss"));
  view.gate_share = 0.8125;
  CHECK(plain_line(view).starts_with("base 400 of at most 6000, gate 0.812/0.930 loss"));
  CHECK_FALSE(view.seconds_left());
  const std::string head = status_block(view, 100, false)[0];
  CHECK(head == "demo  base  400 of at most 6000, gate 0.812/0.930 [#.......................]");
  view.gate_share = 0.9375;
  CHECK(plain_line(view).starts_with("base 400/100 loss"));
}

TEST_CASE("before its planned updates are made a gated stage counts them") {
  StatusView view;
  view.stage = "base";
  view.update = 99;
  view.updates = 100;
  view.stage_seconds = 99;
  view.supervised = SupervisedRecord{.gate = 0.93, .gate_limit = 6000};
  CHECK(plain_line(view).starts_with("base 99/100 loss"));
  CHECK(view.seconds_left() == 1);
}

TEST_CASE("the learner's speed is a mean over the last updates") {
  CHECK(recent_tokens_per_second({}) == 0);
  std::vector<RolloutUpdateRecord> updates(3);
  updates[0].trained_tokens = 100;
  updates[0].train_seconds = 1;
  updates[1].trained_tokens = 500;  // a mean of the updates' speeds would be 366.7
  updates[1].train_seconds = 0.5;
  updates[2].train_seconds = 0.5;
  CHECK(recent_tokens_per_second(updates) == 300);
  updates.insert(updates.end(), kRecentUpdates, updates[0]);
  CHECK(recent_tokens_per_second(updates) == 100);
}

TEST_CASE("an evaluation has a line of its own") {
  CHECK(plain_line({9, 10, 128, 0.86, 0.97, 0.99, 29.75, 0.4}, "rl") ==
        "rl evaluation at 10: sampled 0.860 greedy 0.970 format 0.990 length 29.8 (128 prompts in "
        "0.4 s)");
}

TEST_CASE("the time left follows from the pace so far") {
  CHECK(sample_view().seconds_left() == 19);  // 0.5 s each, 38 left
  StatusView view = sample_view();
  view.update = 0;
  CHECK_FALSE(view.seconds_left());
}

TEST_CASE("the block shows progress and every actor's idle share") {
  const std::string text = text_of(status_block(sample_view(), 100, false));
  for (const char* part :
       {"demo  rl  12/50 [#####...................]  ETA 19.0 s", "reward 0.912", "pass 0.86",
        "length 28.4", "lag 1.2/2", "gap 1.1e-06", "generator 98k tok/s", "learner 81k tok/s",
        "open 7", "buffered 20", "generator-1 14%", "verifier-0 97%"}) {
    CAPTURE(part);
    CHECK(text.find(part) != std::string::npos);
  }
  CHECK(text.find("IMBALANCE") == std::string::npos);
}

TEST_CASE("an imbalance of the ledger shows in the block") {
  StatusView view = sample_view();
  view.ledger->imbalance_rollouts = 4;
  CHECK(text_of(status_block(view, 100, false)).find("LEDGER IMBALANCE 4") != std::string::npos);
}

TEST_CASE("every line of the block fits a narrow terminal and the empty one") {
  for (const std::size_t width : {0u, 1u, 20u, 33u}) {
    for (const auto& line : status_block(sample_view(), width, false))
      CHECK(columns(line) <= width);
  }
}

TEST_CASE("without colour there is no escape and colours do not change the text") {
  const std::string plain = text_of(status_block(sample_view(), 60, false));
  CHECK(plain.find('\x1b') == std::string::npos);
  std::string coloured = text_of(status_block(sample_view(), 60, true));
  CHECK(coloured.find('\x1b') != std::string::npos);
  for (std::size_t at; (at = coloured.find('\x1b')) != std::string::npos;)
    coloured.erase(at, coloured.find('m', at) - at + 1);
  CHECK(coloured == plain);
}

TEST_CASE("a line printed above takes the block away and brings it back in one piece") {
  Captured out;
  {
    LiveTerminal terminal(out.file);
    terminal.print_above("before");
    CHECK(out.text() == "before\n");
    terminal.draw({"one", "two"});
    CHECK(out.text() == "before\none\ntwo\n");
    terminal.print_above("log");
    CHECK(out.text() == "before\none\ntwo\n\x1b[2A\r\x1b[Jlog\none\ntwo\n");
    terminal.draw({"three"});
    CHECK(out.text() == "before\none\ntwo\n\x1b[2A\r\x1b[Jlog\none\ntwo\n\x1b[2A\r\x1b[Jthree\n");
  }
  const std::string all = out.text();
  CHECK(all.substr(all.size() - 8) == "\x1b[1A\r\x1b[J");  // nothing of the block stays
}

TEST_CASE("a block that a narrowed terminal has wrapped is taken away as a whole") {
  Captured out;
  std::size_t width = 80;
  {
    LiveTerminal terminal(out.file, [&] { return width; });
    terminal.draw({"\x1b[1m0123456789\x1b[0m", "four", ""});
    width = 4;
    terminal.draw({"x"});
    width = 0;
  }
  CHECK(out.text() == "\x1b[1m0123456789\x1b[0m\nfour\n\n\x1b[5A\r\x1b[Jx\n\x1b[1A\r\x1b[J");
}

TEST_CASE("a stream that is no terminal is taken as 80 columns") {
  std::FILE* file = std::tmpfile();
  {
    LiveTerminal terminal(file);
    CHECK(terminal.width() == 80);
  }
  std::fclose(file);
}

}  // namespace troupe
