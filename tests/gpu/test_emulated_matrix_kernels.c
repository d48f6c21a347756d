/* test_emulated_matrix_kernels.c: tests/c/test_matrix_kernels.c with the CUDA kernels, run by the emulator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "emulated.h"

/* A product costs the emulator microseconds: each way that kernels take by their rows, and a long K once. */
#if defined __SANITIZE_ADDRESS__ /* three times that: where memory goes wrong, it does at the tails */
#define TEST_ROWS { 17, 1 }
#define TEST_TOO_SLOW(n, k) ((k) > 1000)
#else
#define TEST_ROWS { M_MAX, 17, 9, 2, 1, 0 }
#define TEST_TOO_SLOW(n, k) ((k) > 1000 && (n) != 17)
#endif

#include "../c/test_matrix_kernels.c"
