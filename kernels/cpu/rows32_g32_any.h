/* rows32_g32_any.h: for formats that are written once for all instruction sets: the products of the one this file is
 * compiled for. */
#pragma once
#if defined(__AVX512F__)
#include "rows32_g32.h"
#define H32_WITH "vpdpbusd"
#else
#include "rows32_g32_avx2.h"
#define H32_WITH "vpmaddubsw or vpmaddwd"
#endif
