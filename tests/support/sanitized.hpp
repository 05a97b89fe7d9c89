#pragma once
// Whether the address sanitizer watches, where the same work takes ten times as long. g++ and clang say so each in its way.

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TROUPE_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define TROUPE_SANITIZED 1
#endif

namespace troupe {

#if defined(TROUPE_SANITIZED)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace troupe
