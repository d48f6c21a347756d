/* iq4_nl.c: 4 bits that name one of 16 unevenly spaced levels, one f16 scale per 32; 18 bytes for 32 weights (4.5
 * bits). */
#include "iq4.h"

extern const lb_quantizer_family lb_quantizer_iq4_nl;

enum { BATCH = 16 };

/* Block: f16 d, 16 bytes: byte j holds element j (low nibble) and j + 16 (high). The codes follow from the unrounded d.
 * Scales are searched for BATCH blocks at a time, each on its own. */
LB_WIDE static void quantize_blocks(const float *src, int64_t count, uint8_t *dst) {
    const lb_kquant_search *search = lb_kquant_search_get();
    for (int64_t b = 0; b < count; b += BATCH) {
        float x[BATCH * 32], scale[BATCH], inverse[BATCH];
        uint8_t q[BATCH * 32];
        int64_t some = count - b < BATCH ? count - b : BATCH;
        if (some < BATCH) memset(x, 0, sizeof x);
        lb_clean_copy(src + 32 * b, 32 * some, x);
        search->codebook(x, lb_iq4_levels, scale);
        for (int i = 0; i < BATCH; i++) inverse[i] = lb_finite_ratio(1.0f, scale[i]);
        search->codebook_codes(x, lb_iq4_levels, inverse, q);
        for (int64_t i = 0; i < some; i++) {
            uint8_t *to = dst + 18 * (b + i);
            lb_put_f16(to, lb_f16_scale(inverse[i] != 0 ? scale[i] : 0.0f));
            for (int j = 0; j < 16; j++) to[2 + j] = (uint8_t)(q[32 * i + j] | q[32 * i + 16 + j] << 4);
        }
    }
}

LB_WIDE static void dequantize_blocks(const uint8_t *src, int64_t count, float *dst) {
    for (int64_t b = 0; b < count; b++, src += 18, dst += 32) lb_iq4_values(src + 2, lb_get_f16(src), dst);
}

LB_BLOCK_QUANTIZER(
    iq4_nl, 32, 18, 4,
    "w = d * T[q]; q 4 bits, T = -127 -104 -83 -65 -49 -35 -22 -10 1 13 25 38 53 69 89 113, d f16 per 32. "
    "d by a search for least error weighted with w^2 (15 trials and a least-squares fit each).",
    "llama.cpp (GGUF type 20)")
