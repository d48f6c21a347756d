/* f8_bf16.h: e4m3 as bf16, which holds it exactly, by tables of 128 bytes. */
#pragma once
#include "attention_tables.h"
#include "vec.h"

typedef struct tables { __m512i high[2], low[2]; } tables;

static tables tables_of(void) {
    return (tables){ { _mm512_loadu_si512(lb_f8_bf16_high), _mm512_loadu_si512(lb_f8_bf16_high + 64) },
                     { _mm512_loadu_si512(lb_f8_bf16_low), _mm512_loadu_si512(lb_f8_bf16_low + 64) } };
}

/* 64 bytes of e4m3: the bytes of bf16, high and low apart. The tables' index has 7 bits: the sign is left out by
 * itself. */
static inline void f8_bytes(__m512i x, const tables *t, __m512i *high, __m512i *low) {
    __m512i h = _mm512_permutex2var_epi8(t->high[0], x, t->high[1]);
    *low = _mm512_permutex2var_epi8(t->low[0], x, t->low[1]);
    *high = _mm512_ternarylogic_epi32(h, x, _mm512_set1_epi8((char)0x80), 0xf8); /* h | (x & 0x80) */
}
