/* f8_bf16.h: e4m3 as bf16, which holds it exactly, by tables of 128 bytes. */
#pragma once
#include "vec.h"

/* bf16 of the e4m3 with these 7 bits: high and low bytes. */
static uint8_t f8_high[128], f8_low[128];
static __attribute__((constructor)) void fill_f8_tables(void) {
    for (int i = 0; i < 128; i++) {
        uint16_t h = lb_f32_to_bf16(lb_f8e4m3_to_f32((uint8_t)i));
        f8_high[i] = (uint8_t)(h >> 8), f8_low[i] = (uint8_t)h;
    }
}

typedef struct tables { __m512i high[2], low[2]; } tables;

static tables tables_of(void) {
    return (tables){ { _mm512_loadu_si512(f8_high), _mm512_loadu_si512(f8_high + 64) },
                     { _mm512_loadu_si512(f8_low), _mm512_loadu_si512(f8_low + 64) } };
}

/* 64 bytes of e4m3: the bytes of bf16, high and low apart. The tables' index has 7 bits: the sign is left out by
 * itself. */
static inline void f8_bytes(__m512i x, const tables *t, __m512i *high, __m512i *low) {
    __m512i h = _mm512_permutex2var_epi8(t->high[0], x, t->high[1]);
    *low = _mm512_permutex2var_epi8(t->low[0], x, t->low[1]);
    *high = _mm512_ternarylogic_epi32(h, x, _mm512_set1_epi8((char)0x80), 0xf8); /* h | (x & 0x80) */
}
