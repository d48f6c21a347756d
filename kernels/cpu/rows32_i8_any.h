/* rows32_i8_any.h: for formats that are written once for all instruction sets: the products of the one this file is
 * compiled for. */
#pragma once
#if defined(__AVX512F__)
#include "rows32_i8.h"
#else
#include "rows32_i8_avx2.h"
#endif
