#pragma once
// What a certificate says, as plain values.
#include "messages/pki/identity.hpp"
#include "messages/pki/openssl.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace troupe::pki {

using Time = std::chrono::time_point<std::chrono::system_clock, std::chrono::seconds>;
/// Where the present comes from: validity is about wall time, and tests bring their own.
using Clock = std::function<Time()>;
Time wall_clock();

struct Certificate {
  std::optional<Identity> identity;  // none: an authority, or not one of ours
  bool authority = false;
  std::string subject;             // its common name
  std::vector<std::string> hosts;  // DNS names and IP addresses
  std::string serial;              // hexadecimal, lower case
  std::string fingerprint;         // SHA-256 of the whole, hexadecimal, lower case
  Time not_before, not_after;
};

/// Texts have only printable ASCII, whatever the certificate holds. An identity needs exactly one
/// URI name. Errors: throws Error if its times cannot be read.
Certificate describe(const X509& certificate);

/// Whole days until then, rounded down; negative once it has passed.
std::int64_t days_left(Time until, Time now);
/// "2026-11-28T15:00:00Z"
std::string format_time(Time time);
std::optional<Time> parse_time(const std::string& text);

}  // namespace troupe::pki
