#pragma once
// The files of actors/dashboard/web and the chart library, compiled in by CMake.
#include <string_view>

namespace troupe {

struct WebAsset {
  std::string_view path, content_type, content;
};

/// Null if there is none.
const WebAsset* web_asset(std::string_view path);

}  // namespace troupe
