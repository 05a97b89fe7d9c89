#pragma once
// What a role is cast for. Fields as CallSheet in roles.capnp.
#include "messages/rollout.hpp"
#include "messages/wire/roles.capnp.h"

#include <cstdint>

namespace troupe {

struct CallSheet {
  std::uint64_t cast = 0;
  std::uint32_t stage = 0;
  PolicyVersion first_version = 0;
};

inline CallSheet read_sheet(wire::CallSheet::Reader sheet) {
  return {sheet.getCast(), sheet.getStage(), sheet.getFirstVersion()};
}
inline void write(const CallSheet& from, wire::CallSheet::Builder sheet) {
  sheet.setCast(from.cast);
  sheet.setStage(from.stage);
  sheet.setFirstVersion(from.first_version);
}

}  // namespace troupe
