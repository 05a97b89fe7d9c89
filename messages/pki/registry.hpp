#pragma once
// Every certificate an authority has issued: its index.json.
#include "messages/pki/certificate.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::pki {

struct Record {
  std::string serial, fingerprint;  // as in Certificate
  Identity identity;
  std::vector<std::string> hosts;
  std::chrono::days lifetime{};  // asked for, and asked for again on renewal
  Time not_before, not_after;
  std::optional<Time> revoked;
};

/// Records in the order of issue; the newest of a name is the one in its files. No serial is ever
/// forgotten, so that it can be revoked. Plain values; changed under the directory's lock.
struct Registry {
  std::uint64_t crl_number = 0;
  std::vector<Record> records;

  const Record* newest(std::string_view name) const;
  bool has_serial(std::string_view serial) const;
  /// The newest record of each name, in order of first issue.
  std::vector<const Record*> current() const;
  /// A name that is not revoked and overlaps this one, but is not it.
  const Record* in_the_way_of(std::string_view name, Time now) const;
};

/// Errors: both throw Error naming the file; on reading also what is wrong with it.
Registry read_registry(const std::filesystem::path& file);
void write_registry(const std::filesystem::path& file, const Registry& registry);

}  // namespace troupe::pki
