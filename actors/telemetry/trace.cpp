#include "actors/telemetry/trace.hpp"

#include "actors/telemetry/text.hpp"

#include <nlohmann/json.hpp>

namespace troupe {

namespace {

using Json = nlohmann::ordered_json;

constexpr int kProcess = 1;
constexpr int kStagesThread = 0;  // actors count from 1

Json name_of(const char* what, int thread, const std::string& name) {
  return {
      {"name", what}, {"ph", "M"}, {"pid", kProcess}, {"tid", thread}, {"args", {{"name", name}}}};
}

Json complete(const std::string& name, const char* category, int thread, double begin, double end) {
  return {{"name", name},
          {"cat", category},
          {"ph", "X"},
          {"pid", kProcess},
          {"tid", thread},
          {"ts", 1e6 * begin},
          {"dur", 1e6 * (end - begin)}};
}

Json instant(const EventRecord& event) {
  return {{"name", event.kind},
          {"cat", "event"},
          {"ph", "i"},
          {"s", "g"},
          {"pid", kProcess},
          {"tid", kStagesThread},
          {"ts", 1e6 * event.seconds_since_start},
          {"args", {{"text", event.text}}}};
}

}  // namespace

std::string trace_json(const RunLog& run) {
  // One event per line: the events are many, and a document tree of them would be large.
  std::string out = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";
  const auto add = [&](const Json& event) { out += dump_json(event) + ",\n"; };
  add(name_of("thread_name", kStagesThread, "stages"));
  for (const StageLog& stage : run.stages)
    add(complete(stage.name, "stage", kStagesThread, stage.begin,
                 stage.end.value_or(run.wall_seconds)));
  int thread = kStagesThread;
  for (const ActorSpans& actor : run.actors) {
    add(name_of("thread_name", ++thread, actor.actor));
    for (const auto& span : actor.spans)
      add(complete(span.phase, span.busy ? "work" : "wait", thread, span.begin, span.end));
  }
  for (const EventRecord& event : run.events) add(instant(event));
  return out + dump_json(name_of("process_name", kStagesThread, "troupe " + run.name)) + "\n]}\n";
}

}  // namespace troupe
