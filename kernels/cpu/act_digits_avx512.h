/* act_digits_avx512.h: activations in bf16 as whole numbers, for the tiles of int8 that one row of x is multiplied by.
 *
 * Their products with integer codes have no exponent that is theirs alone, so that tdpbssd can add them: a row is one
 * power of two times whole numbers X of 63 bits, each of which is eight signed bytes, its digits: X = sum of
 * d_i * 256^i. A row of eight digits costs a tile product no more than a row of one. Digits hold a row if no value
 * but zero is below 2^-54 of its largest magnitude. Of any other, and with NaN or Inf in it, digits are 0 and the power
 * NaN: what is multiplied then are the row's bf16 values (digits_amx.h), for what is small may be all that counts where
 * weights of what is large are zero. Where no value but zero is below 2^-22, as in most rows, the lower four digits are
 * zero and left out: half as much of x to load and of sums to store, and the same results, bit by bit.
 *
 * A prepared row: what lb_act_bf16_prepare leaves; at the next multiple of 64 bytes an lb_act_digits; 64 bytes behind
 * it tiles, each of 64 k (zeros behind K): a row of 64 bytes for each digit that is there, the lowest first. */
#pragma once
#include "act_bf16_avx512.h"

enum { LB_DIGITS = 8, LB_DIGITS_FEW = 4, LB_DIGITS_STEP = 64 /* k in a tile */ };

typedef struct lb_act_digits {
    float exponent; /* of the power of two that the whole numbers are times; NaN: digits do not hold the row */
    int32_t count;  /* of digits: LB_DIGITS or LB_DIGITS_FEW */
} lb_act_digits;

#define LB_ACT_KIND_DIGITS "bf16/digits"
#define LB_ACT_KIND_DIGITS_PAIRS "bf16/digits/pairs"
#define LB_ACT_KIND_DIGITS_SIXES "bf16/digits/sixes"

size_t lb_act_digits_bytes(const struct lb_quantizer *q, int64_t k);
/* Value order[t] of each eight stands at k = t of the tiles. */
static const uint8_t lb_act_digits_order[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
static const uint8_t lb_act_digits_pairs_order[8] = { 0, 4, 1, 5, 2, 6, 3, 7 }; /* rows32_int_pack.h's nibbles */
static const uint8_t lb_act_digits_sixes_order[8] = { 0, 2, 1, 3, 4, 6, 5, 7 }; /* rows32_float_pack.h's six bits */

/* k in their order. */
void lb_act_digits_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act);
/* In the order of pairs. */
void lb_act_digits_pairs_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act);
/* In that of codes of six bits. */
void lb_act_digits_sixes_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act);

/* `act` is a prepared row. */
static inline const lb_act_digits *lb_act_digits_of(const void *act, int64_t k) {
    return (const lb_act_digits *)(((uintptr_t)act + lb_act_bf16_bytes(0, k) + 63) / 64 * 64);
}
static inline const int8_t *lb_act_digits_tiles(const void *act, int64_t k) {
    return (const int8_t *)(const void *)lb_act_digits_of(act, k) + 64;
}
/* Bytes of a tile. */
static inline int64_t lb_act_digits_tile(int count) { return 64 * count; }
