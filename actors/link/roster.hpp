#pragma once
// Who is there, and under which lease. Plain rules: no sockets, no clock, no actors.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// Used by one thread at a time. `first_lease` should differ from run to run, so that a lease of another run is none here.
class Roster {
 public:
  explicit Roster(std::uint64_t first_lease) : last_lease_(first_lease) {}

  enum class Entry {
    fresh,      // a new stay: nothing of an earlier one holds
    resumed,    // the same stay over a new connection
    name_taken  // somebody of this name is connected
  };
  struct Decision {
    Entry entry = Entry::fresh;
    std::uint64_t lease = 0;
    std::optional<std::uint64_t> replaced;  // session of this stay that must be closed
    bool gave_up = false;  // an earlier stay of this name that was away has ended by this
    bool fenced = false;   // the peer came with a lease that is not valid any more
  };

  /// A peer asks to join over `session` with the lease of its last stay (0: none).
  Decision join(const std::string& name, const std::string& role, std::uint64_t session,
                std::uint64_t lease);
  /// The connection ended; true if it carried a stay, which is away from now on.
  bool away(const std::string& name, std::uint64_t session);
  /// Ends the stay if it is still `lease` and away; true if it did.
  bool give_up(const std::string& name, std::uint64_t lease);
  bool present(const std::string& name, std::uint64_t lease) const;  // there or away
  std::size_t size() const { return stays_.size(); }

 private:
  struct Stay {
    std::string role;
    std::uint64_t lease = 0;
    std::optional<std::uint64_t> session;  // none: away
  };
  std::map<std::string, Stay> stays_;
  std::uint64_t last_lease_;
};

}  // namespace troupe
