/* rows32_g32_any.h: for formats that are written once for all instruction sets: the products of the one this file is
 * compiled for. */
#pragma once
#if defined(LB_PLANES)
#include "rows32_planes_amx.h"
#define H32_WITH
#elif defined(__AVX512F__)
#include "rows32_g32.h"
#define H32_WITH "vpdpbusd"
#else
#include "rows32_g32_avx2.h"
#define H32_WITH "vpmaddubsw or vpmaddwd"
#endif

/* What a kernel says of itself. */
#if defined(LB_PLANES)
#define H32_ABOUT(...) LB_PLANES_ABOUT
#else
#define H32_ABOUT(...) __VA_ARGS__
#endif
