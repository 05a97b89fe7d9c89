@0xcaf03cda6748c59b;
# An interface for the tests and benchmarks of the links.
using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("troupe::wire");

interface Probe {
  echo @0 (bytes :Data) -> (bytes :Data);
  push @1 (bytes :Data) -> stream;
  count @2 () -> (bytes :UInt64);      # Pushed so far.
  fetch @3 (size :UInt32) -> (bytes :Data);
  hang @4 () -> ();                    # Never answers.
  call @5 (probe :Probe) -> ();        # Echoes a byte through the caller's probe.
}
