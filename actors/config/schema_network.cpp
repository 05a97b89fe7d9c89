#include "actors/config/schema_rows.hpp"

namespace troupe::config {

namespace {

template <auto Member>
auto link_limit() {
  return inside<&NetworkConfig::limits, Member>();
}

}  // namespace

Section network_section() {
  using C = NetworkConfig;
  using L = wire::LinkLimits;
  return section<C>(
      "network",
      "More than one process: where they meet (troupe up, troupe serve) and what a link may cost.",
      &Config::network,
      {
          {"director", &C::director, any(), "",
           "host:port of the director's process, which the others dial."},
          {"replay-buffer", &C::replay_buffer, any(), "",
           "host:port of the replay buffer's process, which then everyone dials, the director too; "
           "director: it is in the director's."},
          {"learner", &C::learner, any(), "",
           "Where the learner runs: director: beside the replay buffer; apart: in its own process, "
           "which dials that; host:port: likewise, with a gate there at which a broadcaster of its "
           "own process takes each version, so that none passes through another."},
          {"broadcaster", &C::broadcaster, any(), "",
           "host:port of the broadcaster's process; director: it is beside the replay buffer."},
          {"learner-ranks", &C::learner_ranks, any(), "",
           "threads: learner.ranks are threads of the learner's process; or host:port of each "
           "rank's process, rank 0 first, with commas between. Rank 1 is the learner called "
           "learner-1, and so on."},
          {"listen", &C::listen, any(), "",
           "host:port that a process which is dialled listens on; own: that of its role, above. * "
           "is every address, port 0 any free one."},
          {"pki", &C::pki, path(PathKind::later_folder), "",
           "Folder with ca.pem, crl.pem and each process's NAME.pem and NAME.key (troupe pki)."},
          {"revocation-list", &C::revocation_list, any(), "",
           "Whom crl.pem names is refused, and it must be there. false: there is none, as with "
           "cert-manager, and a certificate is good until it ends."},
          {"insecure", &C::insecure, any(), "",
           "Plain TCP without certificates, on loopback addresses only."},
          {"lease-seconds", &C::lease_seconds, between(0, 3600), "seconds",
           "A generator's link may be lost that long before its tickets are issued again."},
          {"learner-lease-seconds", &C::learner_lease_seconds, between(0, 1e6), "seconds",
           "Likewise that of a learner apart; without a learner the run ends."},
          {"join-deadline-seconds", &C::join_deadline_seconds, positive(1e6), "seconds",
           "A stage without a generator or a verifier ends the run after that long."},
          {"away-deadline-seconds", &C::away_deadline_seconds, positive(1e6), "seconds",
           "A process that cannot reach the one that it dials ends after that long; a replay "
           "buffer apart likewise without a director."},
          {"drain-seconds", &C::drain_seconds, between(0, 3600), "seconds",
           "A generator that is asked to leave has that long to hand over what it finished."},
          {"silence-seconds", link_limit<&L::silence_seconds>(), positive(3600), "seconds",
           "A peer that completes no frame for that long is taken for dead."},
          {"heartbeat-seconds", link_limit<&L::heartbeat_seconds>(), positive(3600), "seconds",
           "Between two pings; well below silence-seconds."},
          {"call-seconds", link_limit<&L::call_seconds>(), positive(3600), "seconds",
           "Deadline of a call."},
          {"redial-first-seconds", link_limit<&L::redial_first_seconds>(), positive(3600),
           "seconds", "Pause after the first failed dial; it doubles with each one, with jitter."},
          {"redial-longest-seconds", link_limit<&L::redial_longest_seconds>(), positive(3600),
           "seconds", "Longest pause between two dials."},
          {"frame-bytes", link_limit<&L::frame_bytes>(), between(65536, 512 << 20), "bytes",
           "Largest message; a larger one ends the session."},
          {"unanswered-bytes", link_limit<&L::unanswered_bytes>(), between(65536, 1e12), "bytes",
           "Reading stops beyond that many bytes of calls that are not answered."},
          {"unsent-bytes", link_limit<&L::unsent_bytes>(), between(65536, 1e12), "bytes",
           "Reading stops beyond that many bytes of answers that the peer has not taken."},
          {"unsent-frames", link_limit<&L::unsent_frames>(), between(1, 1e9), "",
           "Likewise, counted in answers."},
          {"open-calls", link_limit<&L::open_calls>(), between(16, 1e9), "",
           "More calls that their caller has not finished end the session."},
          {"handshakes", link_limit<&L::handshakes>(), between(1, 1e6), "",
           "Connections at once that have not proven who they are."},
          {"handshake-seconds", link_limit<&L::handshake_seconds>(), positive(3600), "seconds",
           "For that proof."},
          {"sessions", link_limit<&L::sessions>(), between(1, 1e6), "",
           "Connections at once that have."},
      });
}

}  // namespace troupe::config
