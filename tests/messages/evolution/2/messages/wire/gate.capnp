@0xef9ba234eece4a0d;
# How two processes meet.
#
# A peer proves who it is by its TLS certificate. The serving side answers `join` with exactly the capability of
# that peer's role. Holding a capability is the permission: there is no other access check.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("troupe::wire");

const protocolVersion :UInt32 = 1;
# Grows with every change that an older peer cannot read.

interface Gate {
  # The bootstrap interface: the only object that a new connection can reach.

  join @0 (hello :Hello) -> (welcome :Welcome);
  # Once per connection. A refusal is an exception whose text names one reason word (JoinRefusal in gate.hpp).

  ping @1 (sequence :UInt64) -> (sequence :UInt64);
  # The heartbeat. TCP keeps a stopped process alive; only an answer proves life.
}

struct Hello {
  # Who asks to join, and what it believes the run to be.
  name @0 :Text;             # REQUIRES: the name in the certificate.
  role @1 :Text;             # REQUIRES: the role in the certificate.
  protocol @2 :UInt32;       # REQUIRES: protocolVersion of the serving side.
  runId @3 :Text;            # Empty: any run.
  configDigest @4 :Text;     # Empty: not checked.
  host @5 :Text;             # Where the process runs; for people.
  processId @6 :UInt64;      # Likewise.
  lease @7 :UInt64;          # Lease of the last welcome of this process from this server; 0: none.
  incarnation @8 :UInt64;    # Grows with every start of a process of this name.
}

struct Welcome {
  # What the serving side grants for the life of the connection.
  runId @0 :Text;
  epoch @1 :UInt64;          # Grows when the serving side's state fell back; what an older epoch granted is void.
  lease @2 :UInt64;          # Names this stay. What is sent under an older lease is counted and dropped. Not 0.
  role @3 :Capability;       # The interface of the peer's role, and nothing else.
}
