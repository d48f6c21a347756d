/* test_emulated_ops.c: tests/c/test_ops.c with the CUDA kernels, run by the emulator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "emulated.h"

#include "../c/test_ops.c"
