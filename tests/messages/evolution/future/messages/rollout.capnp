@0xd3c5a1f07b9e2c41;
# As a program after today's may have it: with more fields, and with more in a list's elements.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("troupe::wire");

struct VersionRun {
  version @0 :UInt64;
  count @1 :UInt32;
  host @2 :Text;
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
  truncated @9 :Bool;
  generator @10 :Text;
  unknown11 @11 :UInt64;
  unknown12 @12 :Text;
  unknown13 @13 :List(Float32);
}
