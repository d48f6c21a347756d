/* test_emulated_small_kernels.c: tests/c/test_small_kernels.c with the CUDA kernels, run by the emulator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "emulated.h"

#include "../c/test_small_kernels.c"
