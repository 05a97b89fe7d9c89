#pragma once
// Whether the files of a certificate are good for a link, told before the first connection fails.
#include "messages/pki/certificate.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace troupe::pki {

/// What a process needs for its links.
struct LeafFiles {
  std::filesystem::path certificate, key;
  std::filesystem::path authority;  // whom it trusts
  std::filesystem::path revoked;    // and whom not, though the authority signed them
};

enum class State { good, not_yet_valid, expired, revoked, unusable };
std::string_view state_name(State state);

struct Inspection {
  std::filesystem::path file;
  Certificate certificate;
  State state = State::good;
  std::string problem;  // empty if good; else the file, a reason and a remedy
};

/// Checks the certificate against the other files; one whose path is empty is not asked. Errors:
/// throws Error naming the file that is missing or malformed.
Inspection inspect(const LeafFiles& files, Time now);

/// Whether there is a list of revocations at all. `none` must be asked for: a list that is merely
/// missing is an error, or whoever can remove a file could let the revoked in.
enum class Revocations { listed, none };

/// What a process calls before it listens or dials. Errors: throws Error unless it is good, all
/// files are there (with `none` no crl.pem), and the certificate names a role.
Certificate require_usable(const LeafFiles& files, Time now,
                           Revocations revocations = Revocations::listed);

/// Of one certificate, an authority's too, with those of its key, ca.pem and crl.pem that lie
/// beside.
Inspection inspect_file(const std::filesystem::path& file, Time now);

/// Keys that others can read, directories that others can write to: a sentence with a remedy for
/// each.
std::vector<std::string> exposed_files(const std::filesystem::path& directory);

}  // namespace troupe::pki
