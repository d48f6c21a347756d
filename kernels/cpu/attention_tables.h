/* attention_tables.h: tables of the kernels that attend over packed caches; filled before main() by attention_tables.c,
 * which is compiled for every processor: what runs before the choice of kernels may not need any of them. */
#pragma once
#include <stdint.h>

/* bf16 of the e4m3 with these 7 bits: high and low bytes. */
extern uint8_t lb_f8_bf16_high[128], lb_f8_bf16_low[128];

/* Which bytes of (64 low ones, 64 high ones) make words in order. */
extern uint8_t lb_words_in_order[2][64];

/* What value tiles of one packing keep in registers: how words of two registers make pairs (q8_0, two vectors); or how
 * bytes do, what the low nibbles are, minus 8, and a mask of every other byte (q4_0). */
typedef union lb_pair_constants {
    uint16_t words[4][32];
    uint8_t bytes[4][64];
    uint64_t mask[4][8];
} lb_pair_constants;
extern lb_pair_constants lb_pairs_q8_0, lb_pairs_q4_0;
