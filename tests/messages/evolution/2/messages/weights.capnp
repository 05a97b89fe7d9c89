@0xa8f2e6b41c7d9053;
# Announcement of published weights. The values travel beside it: in one process as a shared pointer, between processes by
# one of the carriers of roles.capnp.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("troupe::wire");

struct WeightTensor {
  # Where one tensor lies in the flat buffer.
  name @0 :Text;             # Hugging Face's name. REQUIRES: not empty.
  dtype @1 :Text;            # REQUIRES: "float32", "bfloat16" or "float16".
  shape @2 :List(UInt64);    # REQUIRES: 1 to 8 dimensions, none of them 0.
  offset @3 :UInt64;         # Bytes from the start of the buffer. REQUIRES: where the tensor before it ends; the first: 0.
}

struct WeightsHeader {
  version @0 :UInt64;        # Policy version: number of published updates of the run.
  digest @1 :Text;           # XXH3-128 over the float32 values, 32 hex digits. REQUIRES: that length.
  elements @2 :UInt64;       # float32 values in the flat buffer. REQUIRES: > 0.
  tensors @3 :List(WeightTensor);
  # REQUIRES: empty, or the last one ends where the buffer does. Empty inside a process, whose actors share the model's
  # config; between processes the receiver compares it with its own model's.
  sha256 @4 :Data;
  # Over all bytes of the buffer. REQUIRES: 32 bytes, or none inside a process, where nothing is carried.
}
