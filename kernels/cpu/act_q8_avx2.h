/* act_q8_avx2.h: activations as int8 with block sums, what the AVX2 kernels of formats in blocks of 32 and 256 read.
 *
 * K is cut into pieces of 256 (the last may be short: K is a multiple of 32). Codes and scales are LB_ACT_Q8_256's or
 * LB_ACT_Q8_32's (whose pieces have up to eight scales), bit for bit. vpmaddubsw leaves two int16 in each dword, of
 * elements 4i, 4i + 1 and of 4i + 2, 4i + 3: what takes an offset out of such sums comes in two parts as well.
 *
 * "Wide" pieces have the codes as int16 too, in the order in which the bytes of a dword meet them when it is split into
 * its even and its odd bytes. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct lb_quantizer;

typedef struct lb_act_q8x2 {
    float d[8];              /* of each 32; LB_ACT_Q8_256: all the same */
    float sum[8];            /* of the codes of each 32 */
    int32_t minus[8];        /* minus that */
    int16_t minus32[8][2];   /* minus the two parts of the sum of each 32, */
    int16_t minus16[16][2];  /* of each 16 */
    int16_t sum16[16], sum32[8];
    int8_t q[256];
} lb_act_q8x2;
_Static_assert(sizeof(lb_act_q8x2) == 496, "for 256 activations");

typedef struct lb_act_q8x2_wide {
    lb_act_q8x2 narrow;
    int16_t q[256];          /* elements 4i, 4i + 2, 4i + 1, 4i + 3 */
} lb_act_q8x2_wide;

#define LB_ACT_KIND_Q8_256_X2 "q8_256/x2"
#define LB_ACT_KIND_Q8_256_X2_WIDE "q8_256/x2wide"
#define LB_ACT_KIND_Q8_32_X2 "q8_32/x2"
#define LB_ACT_KIND_Q8_32_X2_WIDE "q8_32/x2wide"

/* lb_panel.act_bytes and .act_prepare. */
size_t lb_act_q8x2_bytes(const struct lb_quantizer *q, int64_t k);
size_t lb_act_q8x2_wide_bytes(const struct lb_quantizer *q, int64_t k);
void lb_act_q8x2_prepare_256(const struct lb_quantizer *q, const float *x, int64_t k, void *act);
void lb_act_q8x2_prepare_256_wide(const struct lb_quantizer *q, const float *x, int64_t k, void *act);
void lb_act_q8x2_prepare_32(const struct lb_quantizer *q, const float *x, int64_t k, void *act);
void lb_act_q8x2_prepare_32_wide(const struct lb_quantizer *q, const float *x, int64_t k, void *act);

/* LB_ACT_I8_TOKEN_ASYM: wide pieces with the token's scale everywhere, then one f32, the scale times the zero point. */
#define LB_ACT_KIND_I8_ASYM_X2 "i8_token_asym/x2wide"
size_t lb_act_i8_asym_x2_bytes(const struct lb_quantizer *q, int64_t k);
void lb_act_i8_asym_x2_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act);

/* LB_ACT_I8_TOKEN: a head, then K codes padded with zeros to a multiple of 64, as bytes or, wide, as int16 in the order
 * above. */
typedef struct lb_act_i8x2 {
    float d;
    int32_t sum;             /* of the codes */
    int32_t unused[6];
    int8_t q[];
} lb_act_i8x2;
_Static_assert(sizeof(lb_act_i8x2) == 32, "aligned as rows are");

#define LB_ACT_KIND_I8_TOKEN_X2 "i8_token/x2"
#define LB_ACT_KIND_I8_TOKEN_X2_WIDE "i8_token/x2wide"
static inline int64_t lb_act_i8x2_padded(int64_t k) { return (k + 63) / 64 * 64; }
size_t lb_act_i8x2_bytes(const struct lb_quantizer *q, int64_t k);
size_t lb_act_i8x2_wide_bytes(const struct lb_quantizer *q, int64_t k);
void lb_act_i8x2_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act);
void lb_act_i8x2_prepare_wide(const struct lb_quantizer *q, const float *x, int64_t k, void *act);
