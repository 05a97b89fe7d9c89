#include "tests/chaos/checks.hpp"

#include "tests/chaos/sample_run.hpp"

#include <doctest/doctest.h>

#include <algorithm>

TEST_SUITE_BEGIN("chaos");

namespace troupe::chaos {
namespace {

using State = Finding::State;

std::string broken_invariants(const Run& run, const Expectations& expected = {}) {
  std::string names;
  for (const Finding& finding : check(run, expected))
    if (finding.state == State::broken) names += (names.empty() ? "" : " ") + finding.invariant;
  return names;
}

bool names(const std::string& list, const std::string& invariant) {
  return (" " + list + " ").find(" " + invariant + " ") != std::string::npos;
}

Finding finding_of(const Run& run, const std::string& invariant,
                   const Expectations& expected = {}) {
  for (const Finding& finding : check(run, expected))
    if (finding.invariant == invariant) return finding;
  return {};
}

std::string text_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

void write_text(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file, std::ios::binary) << text;
}

constexpr std::size_t kDropped = 4, kFirstUpdate = 5, kSecondUpdate = 7;  // lines of the lineage

}  // namespace

TEST_CASE("a run that kept its promises has nothing broken") {
  SampleRun sample;
  const Run run = sample.read();
  CHECK(broken_invariants(run) == "");
  for (const char* invariant : {"I2", "I3", "I4", "I5", "I8", "I10", "I11", "I12", "I14", "I17"}) {
    CAPTURE(invariant);
    CHECK(finding_of(run, invariant).state == State::holds);
  }
  CHECK(check(run, {}).size() == 17);
}

TEST_CASE("any changed byte of the lineage is noticed") {
  SampleRun sample;
  sample.read();
  for (const char* file : {"lineage.jsonl", "processes/gen-0/lineage.jsonl"}) {
    const std::string text = text_of(sample.folder / file);
    for (std::size_t i = 0; i < text.size(); i += 7) {
      std::string changed = text;
      changed[i] = static_cast<char>(changed[i] ^ 1);
      write_text(sample.folder / file, changed);
      CAPTURE(i);
      CHECK_FALSE(read_run(sample.folder).damage.empty());
    }
    write_text(sample.folder / file, text);
  }
  CHECK(read_run(sample.folder).damage.empty());
}

TEST_CASE("a lineage that was cut off is noticed") {
  SampleRun sample;
  sample.read();
  const std::string text = text_of(sample.folder / "lineage.jsonl");
  write_text(sample.folder / "lineage.jsonl", text.substr(0, text.rfind("{\"")));
  CHECK(names(broken_invariants(read_run(sample.folder)), "I10"));
}

TEST_CASE("half a last line is forgiven to a process that was killed and to nobody else") {
  SampleRun sample;
  sample.read();
  const auto append = [&](const char* file) {
    std::ofstream(sample.folder / file, std::ios::app) << "{\"type\":\"he";
  };
  append("processes/gen-0/lineage.jsonl");
  CHECK(read_run(sample.folder).damage.empty());
  append("lineage.jsonl");
  CHECK_FALSE(read_run(sample.folder).damage.empty());
}

TEST_CASE("a rollout that was trained in two updates breaks I2") {
  SampleRun sample;
  sample.lineage[kSecondUpdate]["rollouts"][0] = sample.lineage[kFirstUpdate]["rollouts"][0];
  CHECK(names(broken_invariants(sample.read()), "I2"));
  CHECK(finding_of(sample.read(), "I2").text.find("update 1 of stage 2 and in update 2") !=
        std::string::npos);
}

TEST_CASE("an attempt that was trained and dropped breaks I2") {
  SampleRun sample;
  sample.lineage[kDropped]["attempt"] = 1;
  CHECK(names(broken_invariants(sample.read()), "I2"));
}

TEST_CASE("a ledger that does not balance breaks I3 wherever it says so") {
  for (const char* term : {"imbalance_tokens", "imbalance_rollouts"}) {
    SampleRun sample;
    sample.metrics[3][term] = 1;
    CHECK(broken_invariants(sample.read()) == "I3");
  }
}

TEST_CASE("a ledger that counts what the lineage does not list breaks I3") {
  for (const char* term :
       {"trained_rollouts", "trained_tokens", "generated_rollouts", "tickets_granted"}) {
    SampleRun sample;
    sample.metrics[3][term] = sample.metrics[3][term].get<int>() + 1;
    CAPTURE(term);
    CHECK(broken_invariants(sample.read()) == "I3");
  }
  SampleRun sample;
  sample.metrics[3]["dropped_tokens"]["stale"] = 3;
  CHECK(broken_invariants(sample.read()) == "I3");
}

TEST_CASE("a token beyond the bound breaks I4") {
  SampleRun sample;
  sample.lineage[kSecondUpdate]["rollouts"][1]["versions"] = {{4, 2}, {6, 10}};
  sample.lineage[2] = SampleRun::published(4);
  CHECK(names(broken_invariants(sample.read()), "I4"));
}

TEST_CASE("a token of the future or without a version breaks I4") {
  SampleRun sample;
  sample.lineage[kFirstUpdate]["rollouts"][1]["versions"] = {{6, 10}};
  CHECK(broken_invariants(sample.read()) == "I4");
  sample.lineage[kFirstUpdate]["rollouts"][1]["versions"] = {{5, 9}};
  CHECK(broken_invariants(sample.read()) == "I4");
}

TEST_CASE("versions that go back break I5") {
  SampleRun sample;
  std::swap(sample.lineage[2], sample.lineage[3]);
  CHECK(broken_invariants(sample.read()) == "I5");
  SampleRun generator;
  std::swap(generator.held[1], generator.held[2]);
  CHECK(broken_invariants(generator.read()) == "I5");
  SampleRun learner;
  learner.lineage[kSecondUpdate]["version"] = 7;
  CHECK(names(broken_invariants(learner.read()), "I5"));
}

TEST_CASE("weights other than those published break I8") {
  SampleRun generator;
  generator.held[1]["digest"] = "other";
  CHECK(broken_invariants(generator.read()) == "I8");
  SampleRun learner;
  learner.metrics[1]["weights_digest"] = "other";
  CHECK(broken_invariants(learner.read()) == "I8");
  SampleRun unknown;
  unknown.held.pop_back();  // and rollouts claim to be of that version
  CHECK(broken_invariants(unknown.read()) == "I8");
  SampleRun other;  // somebody else held it
  for (Json& line : other.held) line["generator"] = "gen-1";
  CHECK(broken_invariants(other.read()) == "I8");
}

TEST_CASE("a rollout may have been begun by another generator") {
  SampleRun sample;
  sample.held[1]["generator"] = "gen-1";  // version 5
  Json& first = sample.lineage[kFirstUpdate]["rollouts"];
  for (Json& rollout : first) rollout["generator"] = "gen-1";
  Json& second = sample.lineage[kSecondUpdate]["rollouts"];
  second[0]["generator"] = "gen-1";
  second[1]["versions"] = Json::parse("[[5, 3], [6, 9]]");  // finished by gen-0
  CHECK(broken_invariants(sample.read()) == "");
  second[1]["generator"] = "gen-1";  // which never held version 6
  CHECK(broken_invariants(sample.read()) == "I8");
}

TEST_CASE("more rollouts under way than admission allows break I11") {
  SampleRun sample;
  sample.metrics[3]["open_rollouts"] = 9;  // (1 + 1) * 2 * 2 and one
  sample.metrics.push_back(SampleRun::ledger());
  CHECK(broken_invariants(sample.read()) == "I11");
}

TEST_CASE("more memory than expected breaks I11") {
  SampleRun sample;
  Expectations expected;
  expected.memory_bytes = 999;
  CHECK(broken_invariants(sample.read(), expected) == "I11");
  expected.memory_bytes = 1000;
  CHECK(broken_invariants(sample.read(), expected) == "");
}

TEST_CASE("a run that ends early or rests after the last fault breaks I12") {
  SampleRun sample;
  sample.summary["ended"] = "interrupted";
  CHECK(broken_invariants(sample.read()) == "I12");
  SampleRun shorter;
  shorter.lineage[1]["updates"] = 3;
  CHECK(broken_invariants(shorter.read()) == "I12");
  SampleRun slow;
  slow.metrics[2]["seconds"] = 100;
  CHECK(broken_invariants(slow.read()) == "I12");
}

TEST_CASE("lengths of another distribution break I13 and those of the same do not") {
  std::vector<std::uint64_t> even, other, longer;
  for (std::uint64_t i = 0; i < 400; ++i) {
    even.push_back(10 + i % 20);
    other.push_back(10 + (i * 7 + 3) % 20);
    longer.push_back(i % 3 == 0 ? 10 + i % 10 : 10 + i % 20);
  }
  const auto same = length_distance(even, 400, other, 400);
  CHECK(same.distance < same.limit);
  const auto biased = length_distance(even, 400, longer, 400);
  CHECK(biased.distance > biased.limit);
  CHECK(length_distance({1, 2, 3, 4}, 4, {3, 4, 5, 6}, 4).distance == doctest::Approx(0.5));
  CHECK(length_distance({1}, 100, {1}, 100).limit == doctest::Approx(0.2757).epsilon(1e-3));
}

TEST_CASE("runs that never learned must have trained the same rollouts") {
  SampleRun clean, faulty;
  for (SampleRun* sample : {&clean, &faulty})
    for (std::size_t i : {1, 2}) sample->metrics[i]["weights_digest"] = "same";
  Expectations expected;
  const Run reference = clean.read();
  expected.clean = &reference;
  CHECK(finding_of(faulty.read(), "I13", expected).state == State::holds);
  faulty.lineage[kSecondUpdate]["rollouts"][2]["tokens"] = 12;
  CHECK(finding_of(faulty.read(), "I13", expected).state == State::broken);
  faulty.lineage[kSecondUpdate]["rollouts"].erase(2);
  CHECK(finding_of(faulty.read(), "I13", expected).state == State::broken);
}

TEST_CASE("an update without its rollouts breaks I14") {
  SampleRun missing;
  missing.lineage.pop_back();
  CHECK(names(broken_invariants(missing.read()), "I14"));
  SampleRun fewer;
  fewer.metrics[2]["trained_rollouts"] = 3;
  CHECK(broken_invariants(fewer.read()) == "I14");
  SampleRun nameless;
  nameless.lineage[kFirstUpdate]["rollouts"][0]["verifier"] = "";
  CHECK(broken_invariants(nameless.read()) == "I14");
  SampleRun other_prompt;
  other_prompt.lineage[kFirstUpdate]["rollouts"][0]["prompt"] = "000000000000002b";
  CHECK(broken_invariants(other_prompt.read()) == "I14");
}

TEST_CASE("a broadcaster elsewhere hands on what was published and nothing else") {
  SampleRun sample;
  sample.held.push_back(SampleRun::published(5));
  sample.held.push_back(SampleRun::published(7));
  CHECK(broken_invariants(sample.read()).empty());
  sample.held.back()["digest"] = "other";
  CHECK(broken_invariants(sample.read()) == "I8");
  sample.held.back() = SampleRun::published(4);  // back again
  CHECK(broken_invariants(sample.read()) == "I5");
}

TEST_CASE("weights other than those of the twin break I16") {
  SampleRun sample, twin;
  const Run same = twin.read();
  Expectations expected;
  expected.twin = &same;
  CHECK(finding_of(sample.read(), "I16", expected).state == State::holds);
  twin.metrics[2]["weights_digest"] = "other";
  const Run other = twin.read();
  expected.twin = &other;
  CHECK(broken_invariants(sample.read(), expected) == "I16");
}

TEST_CASE("an unexpected exit code breaks I17") {
  SampleRun sample;
  sample.faults[1]["code"] = 1;
  CHECK(broken_invariants(sample.read()) == "I17");
}

}  // namespace troupe::chaos
