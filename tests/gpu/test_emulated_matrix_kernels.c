/* test_emulated_matrix_kernels.c: tests/c/test_matrix_kernels.c with the CUDA kernels, run by the emulator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "emulated.h"

/* A product costs the emulator microseconds: each way that kernels take by their rows, each K with 16 and 17 rows of
 * weights, each number of these with K = 256; batches of experts with fewer of their tokens alone. */
#define TEST_MOST 70 /* wgmma begins at 65 */
#define TEST_TOKEN_STEP 23
#define TEST_PLANTED { 1, 9 }
#define TEST_ANY_ONCE
#define ANY(k) ((k)->format && !strcmp((k)->format, "any"))
#define TEST_WIDE { 131 } /* two of wgmma's 128 */
#if defined __SANITIZE_ADDRESS__ /* three times that: where memory goes wrong, it does at the tails */
#define TEST_ROWS { M_MAX, 17, 1 }
#define TEST_SKIPS(k, m) ((m) > ((k)->panel ? 17 : ANY(k) ? 1 : M_MAX))
#define TEST_TOO_SLOW(n, k) ((k) > 1000 || ((k) != 256 && (n) != 17 && (n) != 16))
#define TEST_BATCHES { 1, 9, TOKENS }
#else
#define TEST_ROWS { M_MAX, 17, 9, 2, 1, 0 }
#define TEST_SKIPS(k, m) (ANY(k) && (m) > 9)
#define TEST_TOO_SLOW(n, k) ((k) != 256 && (n) != 17 && ((n) != 16 || (k) > 1000))
#endif

#include "../c/test_matrix_kernels.c"
