#pragma once
// The certificates of one training cluster: who may join as what.
#include "messages/pki/inspect.hpp"
#include "messages/pki/registry.hpp"
#include "messages/pki/request.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace troupe::pki {

/// Everything is valid from an hour ago, for hosts whose clocks are behind.
inline constexpr std::chrono::hours kClockTolerance{1};

/// A directory with ca.pem, ca.key, crl.pem, index.json, and NAME.pem and NAME.key for each name.
///
/// Keys are P-256, readable by their owner alone and written once: a key is replaced only by renew,
/// or by issue after revoke. The record of a certificate is on disk before the certificate is, so
/// whatever exists can be revoked; after a crash between the two, renew completes it. Every change
/// also writes crl.pem anew. Processes and threads may work on one directory at a time each.
///
/// Errors: everything throws Error naming file or value, reason and remedy, and then has changed
/// nothing unless the disk failed.
class Authority {
 public:
  /// Makes the directory (mode 0700) if need be. Errors: one is there already.
  static Authority create(const std::filesystem::path& directory,
                          const AuthorityOptions& options = {}, Clock clock = wall_clock);
  static Authority open(const std::filesystem::path& directory, Clock clock = wall_clock);

  /// Errors: bad name or host, a name that has a certificate, a lifetime beyond the authority's.
  LeafFiles issue(const LeafRequest& request);

  /// A new key and serial for the same role, name, hosts and lifetime; the old certificate stays
  /// valid until it ends or the name is revoked. Key and certificate are replaced one after the
  /// other: whoever reads between finds that they do not belong together, and reads again. Errors:
  /// an unknown or revoked name.
  LeafFiles renew(const std::string& name);

  /// Names with `within` or less left (the expired too), without the revoked.
  std::vector<std::string> due(std::chrono::days within) const;

  /// Every certificate the name ever had; peers refuse them once they have the new crl.pem. Gives
  /// how many were not revoked before. Errors: an unknown name.
  std::size_t revoke(const std::string& name);

  /// The authority's own certificate, then the newest of each name. Needs no key.
  std::vector<Inspection> inspect_all() const;

  std::vector<std::string> names() const;
  LeafFiles files_of(const std::string& name) const;
  const std::filesystem::path& directory() const { return directory_; }

 private:
  Authority(std::filesystem::path directory, Clock clock);

  struct Signer;
  Signer load_signer() const;
  void require_free(const Registry& registry, const std::string& name) const;
  /// `record` lacks what this makes: serial, fingerprint, not_before.
  LeafFiles issue_locked(Registry& registry, const Signer& signer, Record record);
  Inspection inspect_record(const Record& record) const;
  void write_revocations(Registry& registry, const Signer& signer) const;
  std::filesystem::path file(const char* name) const { return directory_ / name; }

  std::filesystem::path directory_;
  Clock clock_;
};

}  // namespace troupe::pki
