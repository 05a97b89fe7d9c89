#include "actors/link/roster.hpp"

namespace troupe {

Roster::Decision Roster::join(const std::string& name, const std::string& role,
                              std::uint64_t session, std::uint64_t lease) {
  Decision decision;
  const auto found = stays_.find(name);
  if (found != stays_.end() && found->second.lease == lease && found->second.role == role) {
    decision.entry = Entry::resumed;
    decision.lease = lease;
    decision.replaced = found->second.session;
    found->second.session = session;
    return decision;
  }
  if (found != stays_.end() && found->second.session) {
    decision.entry = Entry::name_taken;
    return decision;
  }
  decision.gave_up = found != stays_.end();
  decision.fenced = lease != 0;
  decision.lease = ++last_lease_;
  stays_[name] = {role, decision.lease, session};
  return decision;
}

bool Roster::away(const std::string& name, std::uint64_t session) {
  const auto found = stays_.find(name);
  if (found == stays_.end() || found->second.session != session) return false;
  found->second.session.reset();
  return true;
}

bool Roster::give_up(const std::string& name, std::uint64_t lease) {
  const auto found = stays_.find(name);
  if (found == stays_.end() || found->second.lease != lease || found->second.session) return false;
  stays_.erase(found);
  return true;
}

bool Roster::present(const std::string& name, std::uint64_t lease) const {
  const auto found = stays_.find(name);
  return found != stays_.end() && found->second.lease == lease;
}

}  // namespace troupe
