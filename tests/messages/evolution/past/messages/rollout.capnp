@0xd3c5a1f07b9e2c41;
# As a program before today's might have had it: without the last fields.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("troupe::wire");

struct VersionRun {
  version @0 :UInt64;
  count @1 :UInt32;
}

struct Rollout {
  id @0 :UInt64;
  ticket @1 :UInt64;
  index @2 :UInt32;
  attempt @3 :UInt32;
  promptUid @4 :UInt64;
  tokens @5 :List(Int32);
  promptLength @6 :UInt32;
  logProbs @7 :List(Float32);
  versions @8 :List(VersionRun);
}
