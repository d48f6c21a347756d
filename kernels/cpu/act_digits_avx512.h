/* act_digits_avx512.h: activations in bf16 as whole numbers, for the tiles of int8 that one row of x is multiplied by.
 *
 * Their products with integer codes have no exponent that is theirs alone, so that tdpbssd can add them: a row is one
 * power of two times whole numbers X of 63 bits, each of which is eight signed bytes, its digits: X = sum of
 * d_i * 256^i. A row of eight digits costs a tile product no more than a row of one. Digits hold a row if no value but
 * zero is below 2^-54 of the power of two of its largest magnitude. Of any other, and with NaN or Inf in it, digits are
 * 0 and the power NaN: what is multiplied then are the row's bf16 values (digits_amx.h), for what is small may be all
 * that counts where weights of what is large are zero. Where no value but zero is below 2^-22, as in most rows, the
 * lower four digits are zero and left out: half as much of x to load and of sums to store, and the same results, bit by
 * bit.
 *
 * A prepared row: what lb_act_bf16_prepare leaves; at the next multiple of 64 bytes an lb_act_digits; 64 bytes behind
 * it tiles, each of 64 k (zeros behind K): a row of 64 bytes for each digit that is there, the lowest first.
 *
 * For groups of 32 and 64 weights tiles are of several groups (`blocks`), an equal part of the k of each, one behind
 * the other: where row and k are of different groups there is zero, so that sums of all of the groups leave one tile
 * together. To store a tile takes the core 16 cycles, however few rows it has. */
#pragma once
#include "act_bf16_avx512.h"

enum { LB_DIGITS = 8, LB_DIGITS_FEW = 4, LB_DIGITS_STEP = 64 /* k in a tile */ };

typedef struct lb_act_digits {
    float exponent; /* of the power of two that the whole numbers are times; NaN: digits do not hold the row */
    int32_t count;  /* of digits: LB_DIGITS or LB_DIGITS_FEW */
} lb_act_digits;

#define LB_ACT_KIND_DIGITS "bf16/digits"
#define LB_ACT_KIND_DIGITS_GROUPS "bf16/digits/groups"
#define LB_ACT_KIND_DIGITS_SIXES "bf16/digits/sixes"

size_t lb_act_digits_bytes(const struct lb_quantizer *q, int64_t k);
size_t lb_act_digits_groups_bytes(const struct lb_quantizer *q, int64_t k);
/* Groups in a tile of so many digits: it has 16 rows at most; where groups are of 64, so many lines of x out of L2
 * would cost more than is saved. */
static inline int lb_act_digits_blocks(int64_t group, int count) {
    return group == 32 ? 16 / count : group == 64 ? 8 / count : 1;
}
/* Value order[t] of each eight stands at k = t of the tiles. */
static const uint8_t lb_act_digits_order[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
static const uint8_t lb_act_digits_pairs_order[8] = { 0, 4, 1, 5, 2, 6, 3, 7 }; /* rows32_int_pack.h's nibbles */
static const uint8_t lb_act_digits_sixes_order[8] = { 0, 2, 1, 3, 4, 6, 5, 7 }; /* rows32_float_pack.h's six bits */

/* k in their order. */
void lb_act_digits_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act);
/* In the order of pairs; tiles of groups of q. */
void lb_act_digits_groups_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act);
/* In that of codes of six bits. */
void lb_act_digits_sixes_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act);

/* `act` is a prepared row. */
static inline const lb_act_digits *lb_act_digits_of(const void *act, int64_t k) {
    return (const lb_act_digits *)(((uintptr_t)act + lb_act_bf16_bytes(0, k) + 63) / 64 * 64);
}
static inline const int8_t *lb_act_digits_tiles(const void *act, int64_t k) {
    return (const int8_t *)(const void *)lb_act_digits_of(act, k) + 64;
}
/* Bytes of a tile of one group. */
static inline int64_t lb_act_digits_tile(int count) { return 64 * count; }
