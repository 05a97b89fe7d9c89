#pragma once
// How the tables of keys are written (schema_*.cpp), for those files alone.
#include "actors/config/schema.hpp"

#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace troupe::config {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr Kinds kSupervised = kPretrain | kSft, kTraining = kSupervised | kRl;

/// A rule and where the key belongs, written left to right in the tables below.
struct Terms {
  Rule rule{-kInfinity, kInfinity, false, false, {}, PathKind::input_file};
  Kinds kinds = kPretrain | kSft | kRl | kEval;
  Needs needs = Needs::nothing;

  Terms in(Kinds stages) const {
    Terms result = *this;
    result.kinds = stages;
    return result;
  }
  Terms if_own(Needs what) const {
    Terms result = *this;
    result.needs = what;
    return result;
  }
  Terms own_model() const { return if_own(Needs::own_model); }
  Terms own_corpus() const { return if_own(Needs::own_corpus); }
};

inline Terms any() {
  return {};
}
inline Terms range(double least, double most, bool least_excluded = false,
                   bool most_excluded = false) {
  return {{least, most, least_excluded, most_excluded, {}, PathKind::input_file}};
}
inline Terms at_least(double least) {
  return range(least, kInfinity);
}
inline Terms between(double least, double most) {
  return range(least, most);
}
/// (0, most]
inline Terms positive(double most) {
  return range(0, most, true);
}
/// [0, 1)
inline Terms below_one() {
  return range(0, 1, false, true);
}
inline Terms one_of(std::vector<std::string> choices) {
  return {{-kInfinity, kInfinity, false, false, std::move(choices), PathKind::input_file}};
}
inline Terms path(PathKind kind) {
  return {{-kInfinity, kInfinity, false, false, {}, kind}};
}

/// One line of a table. `member`: a pointer to a member of the section's struct, or a function from
/// the struct to the member.
template <class Owner>
struct Row {
  template <class Member>
  Row(const char* key, Member member, Terms when, const char* unit_text, const char* text)
      : name(key),
        terms(std::move(when)),
        unit(unit_text),
        comment(text),
        get([member](Owner& owner) { return slot(std::invoke(member, owner)); }) {}

  std::string name;
  Terms terms;
  std::string unit, comment;
  std::function<Slot(Owner&)> get;
};

template <class Owner>
Key make_key(const Row<Owner>& row, Kinds kinds, std::function<Owner&(Target)> owner) {
  return {row.name,
          row.terms.rule,
          kinds,
          row.terms.needs,
          row.unit,
          row.comment,
          [get = row.get, owner](Target to) { return get(owner(to)); }};
}

template <class Owner>
Section section(const char* name, const char* comment, Owner Config::*part,
                const std::vector<Row<Owner>>& rows) {
  Section result{name, comment, {}};
  for (const auto& row : rows)
    result.keys.push_back(
        make_key<Owner>(row, 0, [part](Target to) -> Owner& { return to.config.*part; }));
  return result;
}

inline Section stage_table(const char* comment, const std::vector<Row<StageConfig>>& rows) {
  Section result{"stage", comment, {}};
  for (const auto& row : rows)
    result.keys.push_back(make_key<StageConfig>(
        row, row.terms.kinds, [](Target to) -> StageConfig& { return *to.stage; }));
  return result;
}

inline gpu::ObjectiveConfig& objective(LearnerConfig& learner) {
  return learner.update.objective;
}
inline gpu::AdamW& adamw(LearnerConfig& learner) {
  return learner.update.adamw;
}

// A member of an inner struct, as a function of the section's struct.
template <auto Inner, auto Member>
auto inside() {
  return [](auto& owner) -> auto& {
    return std::invoke(Member, std::invoke(Inner, owner));
  };
}
template <auto Member>
auto objective_member() {
  return inside<&objective, Member>();
}
template <auto Member>
auto adamw_member() {
  return inside<&adamw, Member>();
}
template <auto Member>
auto mix_member() {
  return inside<&StageConfig::mix, Member>();
}

// The sections, in the order of the printed file.
Section run_section();
Section model_section();
Section task_section();
Section director_section();
Section generator_section();
Section verifier_section();
Section replay_buffer_section();
Section learner_section();
Section evaluation_section();
Section metrics_section();
Section broadcaster_section();
Section network_section();
Section stages_section();

}  // namespace troupe::config
