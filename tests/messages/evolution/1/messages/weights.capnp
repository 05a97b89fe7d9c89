@0xa8f2e6b41c7d9053;
# Announcement of published weights. The values travel beside it: in one process as a shared pointer.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("troupe::wire");

struct WeightsHeader {
  version @0 :UInt64;        # Policy version: number of published updates of the run.
  digest @1 :Text;           # XXH3-128 over the float32 values, 32 hex digits. REQUIRES: that length.
  elements @2 :UInt64;       # float32 values in the flat buffer. REQUIRES: > 0.
}
