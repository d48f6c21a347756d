/* attention_tables.c: fills the tables of attention_tables.h. No instructions beyond the baseline's: see there. */
#include "attention_tables.h"
#include "engine/dtype.h"

#define ALIGNED __attribute__((aligned(64)))
uint8_t lb_f8_bf16_high[128] ALIGNED, lb_f8_bf16_low[128] ALIGNED;
uint8_t lb_words_in_order[2][64] ALIGNED;
lb_pair_constants lb_pairs_q8_0 ALIGNED, lb_pairs_q4_0 ALIGNED;

static __attribute__((constructor)) void fill(void) {
    for (int i = 0; i < 128; i++) {
        uint16_t h = lb_f32_to_bf16(lb_f8e4m3_to_f32((uint8_t)i));
        lb_f8_bf16_high[i] = (uint8_t)(h >> 8), lb_f8_bf16_low[i] = (uint8_t)h;
    }
    for (int i = 0; i < 64; i++) {
        int half = i / 32, at = i % 32, turn = half * 16 + at / 2 + at % 2 * 32;
        lb_words_in_order[half][2 * at] = (uint8_t)i, lb_words_in_order[half][2 * at + 1] = (uint8_t)(64 + i);
        lb_pairs_q8_0.words[half][at] = (uint16_t)turn;
        lb_pairs_q4_0.bytes[0][i] = (uint8_t)(i / 4 + i % 4 / 2 * 16);
    }
    for (int i = 0; i < 32; i++) lb_pairs_q4_0.words[1][i] = 15, lb_pairs_q4_0.words[2][i] = (uint16_t)-8;
    lb_pairs_q4_0.mask[3][0] = 0x5555555555555555;
}
