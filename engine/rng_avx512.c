/* rng_avx512.c: the random blocks, compiled for AVX512. */
#include "device.h"

#if defined(__AVX512F__)
#define LB_RNG_IMPLEMENT
#include "rng_block.h"

/* Every extension that this file is compiled with, since the compiler may use any of them. */
const lb_rng_impl lb_rng_avx512 = {
    "avx512",
    LB_ISA_AVX2 | LB_ISA_AVX512 | LB_ISA_AVX512_VNNI | LB_ISA_AVX512_BF16 | LB_ISA_AVX512_VBMI,
    block_words, block_uniform, block_normal,
};
#endif
