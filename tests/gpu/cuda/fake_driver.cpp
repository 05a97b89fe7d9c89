// A libcuda.so.1 of one function.
#ifndef CU_INIT_RESULT
#define CU_INIT_RESULT 0
#endif

// NOLINTNEXTLINE(readability-identifier-naming): the driver gives it this name.
extern "C" int cuInit(unsigned /*flags*/) {
  return CU_INIT_RESULT;
}
