/* gpu_matrix_kernels.c: tests/c/test_matrix_kernels.c with the CUDA kernels, on a GPU; make gpu-check runs it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "on_gpu.h"

#include "../c/test_matrix_kernels.c"
