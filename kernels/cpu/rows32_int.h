/* rows32_int.h: what the kernels of weight-only integer formats with groups share: codes of 1 to 8 bits to bf16 (exact), a
 * scale and a zero a group, vdpbf16ps with f32 sums, panels of 32 rows.
 *
 * A panel is one stream, group by group: a head, then runs of 32 k, rows 0..15 before rows 16..31. The head is 32 f32 scales
 * and 32 f32 zeros, or the pair of f16 scale and f16 integer zero point of each row. A pair vector is what vdpbf16ps
 * multiplies: 16 rows, of each elements 2p and 2p + 1 of a run, p = 0..15. Of 16 rows of a run there are `bits` vectors: in
 * the stream that a row's words make, one for either element, the code of pair p stands at bit p * bits.
 *
 * w = level * s + z; the level is code - 2^(bits - 1); with 7 bits code + 128, with 8 the code. For every 256 k, sums of
 * a group start at zero and are scaled onto the total in f32, in the order of K; then the group's zeros meet the sums of
 * its activations. No step depends on the number of columns, so a row's result has the same bits in every batch. */
#pragma once
#include "rows32_float.h"

/* A format; always a constant, so that the inlined functions below know it. */
typedef struct int_format {
    int bits;
    bool narrow;             /* heads of f16 pairs: z = (level's offset - zero point) * s */
} int_format;

#define INT_ABS(v) ((v) < 0 ? -(v) : (v))
#define INT_LOG2(v) ((v) >= 32 ? 5 : (v) >= 16 ? 4 : (v) >= 8 ? 3 : (v) >= 4 ? 2 : (v) >= 2 ? 1 : 0)
#define INT_BF16(v)                                                                                                  \
    ((v) ? ((v) < 0 ? 0x8000 : 0) | (127 + INT_LOG2(INT_ABS(v))) << 7 | ((INT_ABS(v) << (7 - INT_LOG2(INT_ABS(v)))) & 127) \
         : 0)
#define INT_1(c) INT_BF16(((c) & 1) - 1)
#define INT_2(c) INT_BF16(((c) & 3) - 2)
#define INT_3(c) INT_BF16(((c) & 7) - 4)
#define INT_4(c) INT_BF16(((c) & 15) - 8)
#define INT_5(c) INT_BF16(((c) & 31) - 16)
#define INT_6(c) INT_BF16(((c) & 63) - 32)
/* Levels by the low bits of what they are looked up with. */
static const uint16_t int_levels[7][64] __attribute__((aligned(64))) = {
    { 0 }, { FLOAT_64(FLOAT_WHOLE, INT_1, 0) }, { FLOAT_64(FLOAT_WHOLE, INT_2, 0) }, { FLOAT_64(FLOAT_WHOLE, INT_3, 0) },
    { FLOAT_64(FLOAT_WHOLE, INT_4, 0) }, { FLOAT_64(FLOAT_WHOLE, INT_5, 0) }, { FLOAT_64(FLOAT_WHOLE, INT_6, 0) }
};

/* Level = code - int_offset. */
LB_INLINE float int_offset(const int_format f) {
    return f.bits == 8 ? 0.0f : f.bits == 7 ? -128.0f : (float)(1 << (f.bits - 1));
}
LB_INLINE size_t int_head_bytes(const int_format f) { return f.narrow ? 128 : 256; }
LB_INLINE size_t int_run_bytes(const int_format f) { return (size_t)f.bits * 64; } /* of 16 rows */
LB_INLINE size_t int_group_bytes(const int_format f, int64_t group) {
    return int_head_bytes(f) + (size_t)(group / 32) * 2 * int_run_bytes(f);
}
LB_INLINE size_t int_panel_bytes(const int_format f, const lb_quantizer *q, int64_t k) {
    return (size_t)(k / q->group) * int_group_bytes(f, q->group);
}

/* Scales and zeros of rows 0..15 (half 0) or 16..31 of the group at `p`. */
LB_INLINE void int_head(const int_format f, const uint8_t *p, int half, __m512 *s, __m512 *z) {
    if (f.narrow) {
        __m512i pair = _mm512_load_si512(p + 64 * half);
        *s = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(pair));
        __m512 point = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(pair, 16)));
        *z = _mm512_mul_ps(_mm512_sub_ps(_mm512_set1_ps(int_offset(f)), point), *s);
    } else {
        *s = _mm512_load_ps((const float *)(const void *)p + 16 * half);
        *z = _mm512_load_ps((const float *)(const void *)p + 32 + 16 * half);
    }
}

/* The 16 pair vectors of 16 rows of the run at `p`. */
LB_INLINE void int_decode(const int_format f, const uint8_t *p, __m512i w[16], const bool ahead) {
    const __m512i low = _mm512_load_si512(int_levels[f.bits < 7 ? f.bits : 0]);
    const __m512i high = _mm512_load_si512(int_levels[f.bits < 7 ? f.bits : 0] + 32);
    __m512i v[8];
    LB_UNROLL for (int i = 0; i < f.bits; i++) v[i] = float_load(p + 64 * i, ahead);
    LB_UNROLL for (int i = 0; i < 16; i++) {
        int at = i * f.bits, from = at % 16;
        __m512i x = from ? _mm512_srli_epi16(v[at / 16], (unsigned)from) : v[at / 16];
        if (from + f.bits > 16) x = _mm512_or_si512(x, _mm512_slli_epi16(v[at / 16 + 1], (unsigned)(16 - from)));
        if (f.bits <= 5) {
            w[i] = _mm512_permutexvar_epi16(x, low);
        } else if (f.bits == 6) {
            w[i] = _mm512_permutex2var_epi16(low, x, high);
        } else if (f.bits == 7) { /* 128 + code: a bf16's mantissa has seven bits */
            w[i] = _mm512_ternarylogic_epi32(x, _mm512_set1_epi16(0x7f), _mm512_set1_epi16(0x4300), 0xea);
        } else {
            const __m512i byte = _mm512_set1_epi32(255);
            __m512i even = _mm512_castps_si512(_mm512_cvtepi32_ps(_mm512_and_si512(x, byte)));
            __m512i odd = _mm512_castps_si512(_mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(x, 16), byte)));
            w[i] = _mm512_or_si512(_mm512_srli_epi32(even, 16), odd); /* 8 bits: the low halves are zero */
        }
    }
}

/* The sum of a group's activations from sums of 32. */
LB_INLINE float int_act_sum(const void *act, size_t stride, int64_t padded, int64_t at, int64_t group, int c) {
    const float *sums = (const float *)(const void *)(float_act(act, stride, padded, c)) + at / 32;
    float sum = sums[0];
    for (int64_t i = 1; i < group / 32; i++) sum += sums[i];
    return sum;
}

/* ---- few columns: every weight byte is read once, codes stay in registers ---- */

/* total += a group's sums times its scales; its zeros are kept for later. */
LB_INLINE void int_few_group(const int_format f, const uint8_t *p, const void *act, size_t stride, int64_t at,
                             int64_t group, __m512 total[2][FLOAT_GEMV_COLS], __m512 zeros[2], const int cols) {
    __m512 sum[2][FLOAT_GEMV_COLS];
    LB_UNROLL for (int h = 0; h < 2; h++)
        LB_UNROLL for (int c = 0; c < cols; c++) sum[h][c] = _mm512_setzero_ps();
    for (size_t i = 0; i < int_head_bytes(f); i += 64) _mm_prefetch((const char *)p + LB_PREFETCH_BYTES + i, _MM_HINT_T0);
    const uint8_t *run = p + int_head_bytes(f);
    for (int64_t i = 0; i < group; i += 32)
        LB_UNROLL for (int h = 0; h < 2; h++, run += int_run_bytes(f)) {
            __m512i w[16];
            int_decode(f, run, w, true);
            LB_UNROLL for (int j = 0; j < 16; j++)
                LB_UNROLL for (int c = 0; c < cols; c++)
                    sum[h][c] = float_dot2(sum[h][c], w[j], float_act(act, stride, at + i, c) + 2 * j);
        }
    LB_UNROLL for (int h = 0; h < 2; h++) {
        __m512 s;
        int_head(f, p, h, &s, &zeros[h]);
        LB_UNROLL for (int c = 0; c < cols; c++) total[h][c] = _mm512_fmadd_ps(sum[h][c], s, total[h][c]);
    }
}

LB_INLINE void int_few(const int_format f, const lb_quantizer *q, const uint8_t *panel, const void *act, size_t stride,
                       int64_t k, float *out, int64_t out_stride, const int cols) {
    __m512 total[2][FLOAT_GEMV_COLS];
    size_t bytes = int_group_bytes(f, q->group);
    LB_UNROLL for (int h = 0; h < 2; h++)
        LB_UNROLL for (int c = 0; c < cols; c++) total[h][c] = _mm512_setzero_ps();
    for (int64_t at = 0; at < k; at += FLOAT_CHUNK) {
        __m512 zeros[FLOAT_CHUNK / 32][2];
        int64_t some = k - at < FLOAT_CHUNK ? k - at : FLOAT_CHUNK, groups = some / q->group;
        for (int64_t i = 0; i < groups; i++, panel += bytes)
            int_few_group(f, panel, act, stride, at + i * q->group, q->group, total, zeros[i], cols);
        for (int64_t i = 0; i < groups; i++)
            LB_UNROLL for (int c = 0; c < cols; c++) {
                __m512 sum = _mm512_set1_ps(int_act_sum(act, stride, k, at + i * q->group, q->group, c));
                LB_UNROLL for (int h = 0; h < 2; h++) total[h][c] = _mm512_fmadd_ps(zeros[i][h], sum, total[h][c]);
            }
    }
    LB_UNROLL for (int h = 0; h < 2; h++)
        LB_UNROLL for (int c = 0; c < cols; c++) _mm512_storeu_ps(out + c * out_stride + 16 * h, total[h][c]);
}

/* ---- many columns: 32 x 256 are expanded to bf16 in L1 once and meet all of them ---- */

LB_INLINE void int_expand(const int_format f, const uint8_t *p, int64_t group, int64_t groups, float_expanded *e,
                          __m512 zeros[][2]) {
    for (int64_t i = 0; i < groups; i++) {
        LB_UNROLL for (int h = 0; h < 2; h++) int_head(f, p, h, &e->scale[i][h], &zeros[i][h]);
        p += int_head_bytes(f);
        for (int64_t run = i * group / 32; run < (i + 1) * group / 32; run++)
            LB_UNROLL for (int h = 0; h < 2; h++, p += int_run_bytes(f)) {
                __m512i w[16];
                int_decode(f, p, w, false);
                LB_UNROLL for (int j = 0; j < 16; j++) e->w[16 * run + j][h] = w[j];
            }
    }
}

static inline void int_add_zeros(const void *act, size_t stride, int64_t k, int64_t at, int64_t group, int64_t groups,
                                 __m512 zeros[][2], int c, float *acc) {
    __m512 low = _mm512_load_ps(acc), high = _mm512_load_ps(acc + 16);
    for (int64_t i = 0; i < groups; i++) {
        __m512 sum = _mm512_set1_ps(int_act_sum(act, stride, k, at + i * group, group, c));
        low = _mm512_fmadd_ps(zeros[i][0], sum, low);
        high = _mm512_fmadd_ps(zeros[i][1], sum, high);
    }
    _mm512_store_ps(acc, low);
    _mm512_store_ps(acc + 16, high);
}

LB_INLINE void int_many(const int_format f, const lb_quantizer *q, const uint8_t *panel, const void *act, size_t stride,
                        int64_t k, int cols, float *out, int64_t out_stride) {
    float acc[FLOAT_ROWS * LB_PANEL_MAX_COLS] __attribute__((aligned(64)));
    float_expanded e;
    __m512 zeros[FLOAT_CHUNK / 32][2];
    memset(acc, 0, (size_t)cols * FLOAT_ROWS * sizeof *acc);
    int count = (cols + TILE32_COLS - 1) / TILE32_COLS;
    size_t bytes = int_group_bytes(f, q->group);
    for (int64_t at = 0; at < k; at += FLOAT_CHUNK) {
        int64_t some = k - at < FLOAT_CHUNK ? k - at : FLOAT_CHUNK, groups = some / q->group;
        int_expand(f, panel, q->group, groups, &e, zeros);
        panel += (size_t)groups * bytes; /* what is expanded next is prefetched between the tiles */
        int lines = (int)((size_t)groups * bytes / 64);
        for (int i = 0; i < count; i++) {
            int c0 = cols * i / count, c1 = cols * (i + 1) / count;
            for (int l = lines * i / count; l < lines * (i + 1) / count; l++)
                _mm_prefetch((const char *)panel + 64 * l, _MM_HINT_T0);
            float_meet((int)q->group, &e, (const char *)act + (size_t)c0 * stride, stride, at, some, c1 - c0,
                       acc + FLOAT_ROWS * c0);
            for (int c = c0; c < c1; c++)
                int_add_zeros(act, stride, k, at, q->group, groups, zeros, c, acc + FLOAT_ROWS * c);
        }
    }
    for (int c = 0; c < cols; c++) memcpy(out + c * out_stride, acc + FLOAT_ROWS * c, FLOAT_ROWS * sizeof *out);
}

LB_INLINE void int_run(const int_format f, const lb_quantizer *q, const void *panel, const void *act, size_t stride,
                       int64_t k, int cols, float *out, int64_t out_stride) {
    switch (cols) {
    case 1: int_few(f, q, panel, act, stride, k, out, out_stride, 1); break;
    case 2: int_few(f, q, panel, act, stride, k, out, out_stride, 2); break;
    case 3: int_few(f, q, panel, act, stride, k, out, out_stride, 3); break;
    case 4: int_few(f, q, panel, act, stride, k, out, out_stride, 4); break;
    default: int_many(f, q, panel, act, stride, k, cols, out, out_stride);
    }
}

/* ---- packing ---- */

/* Row r's codes of a run to its words; `run` is 16 rows. */
static inline void int_pack_run(int bits, const uint8_t codes[32], int r, uint8_t *run) {
    for (int j = 0; j < 2; j++) {
        uint16_t words[9] = { 0 };
        for (int p = 0; p < 16; p++) {
            uint32_t two = (uint32_t)codes[2 * p + j] << p * bits % 16;
            words[p * bits / 16] |= (uint16_t)two;
            words[p * bits / 16 + 1] |= (uint16_t)(two >> 16);
        }
        for (int v = 0; v < bits; v++) memcpy(run + v * 64 + 4 * r + 2 * j, &words[v], 2);
    }
}

/* Codes [at, at + 32) of a row, a byte each; the scale and the zero point of one of its groups. */
typedef void (*int_unpack)(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t at,
                           uint8_t codes[32]);
typedef void (*int_scale)(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t group,
                          float *scale, float *zero);

/* Missing rows are zero. */
static inline void int_repack(const int_format f, int_unpack unpack, int_scale scale_of, const lb_quantizer *q,
                              const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1, void *dst) {
    size_t bytes = int_panel_bytes(f, q, k);
    for (int64_t row = row0; row < row1; row += FLOAT_ROWS) {
        uint8_t *panel = (uint8_t *)dst + (size_t)(row / FLOAT_ROWS) * bytes;
        memset(panel, 0, bytes);
        for (int64_t i = 0; i < k / q->group; i++, panel += int_group_bytes(f, q->group))
            for (int r = 0; r < FLOAT_ROWS && row + r < n; r++) {
                float s, zero;
                scale_of(q, native, n, k, row + r, i, &s, &zero);
                if (f.narrow) {
                    uint16_t pair[2] = { lb_f32_to_f16(s), lb_f32_to_f16(zero) };
                    memcpy(panel + 4 * r, pair, 4);
                } else {
                    ((float *)(void *)panel)[r] = s;
                    ((float *)(void *)panel)[32 + r] = (int_offset(f) - zero) * s;
                }
                for (int64_t at = 0; at < q->group; at += 32) {
                    uint8_t codes[32];
                    unpack(q, native, n, k, row + r, i * q->group + at, codes);
                    int_pack_run(f.bits, codes, r % 16,
                                 panel + int_head_bytes(f) + (size_t)(at / 32 * 2 + r / 16) * int_run_bytes(f));
                }
            }
    }
}

/* Codes [at, at + 32) of a row whose codes are one stream of q->bits each, the first in the lowest bits. */
static inline void int_unpack_stream(const lb_quantizer *q, const void *native, int64_t k, int64_t row, int64_t at,
                                     uint8_t codes[32]) {
    const uint8_t *p = (const uint8_t *)native + (row * k + at) * q->bits / 8;
    for (int i = 0; i < 32; i++) {
        int bit = i * q->bits;
        uint32_t two = p[bit / 8] | (bit % 8 + q->bits > 8 ? (uint32_t)p[bit / 8 + 1] << 8 : 0);
        codes[i] = (uint8_t)(two >> bit % 8 & ((1u << q->bits) - 1));
    }
}

/* A function for each width, so that each knows its shifts. */
#define INT_RUN(b, is_narrow)                                                                                        \
    static __attribute__((noinline)) void run_##b(const lb_quantizer *q, const void *panel, const void *act,         \
                                                  size_t stride, int64_t k, int cols, float *out,                    \
                                                  int64_t out_stride) {                                              \
        int_run((int_format){ b, is_narrow }, q, panel, act, stride, k, cols, out, out_stride);                      \
    }

/* The functions of a file from NARROW, runs[] by bits, unpack() and scale_of(). */
#define LB_INT_PANEL                                                                                                 \
    static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,   \
                    float *out, int64_t out_stride) {                                                                \
        runs[q->bits](q, panel, act, stride, k, cols, out, out_stride);                                              \
    }                                                                                                                \
    static size_t panel_bytes(const lb_quantizer *q, int64_t k) {                                                    \
        return int_panel_bytes((int_format){ q->bits, NARROW }, q, k);                                               \
    }                                                                                                                \
    static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,  \
                       void *dst) {                                                                                  \
        int_repack((int_format){ q->bits, NARROW }, unpack, scale_of, q, native, n, k, row0, row1, dst);             \
    }                                                                                                                \
    LB_ROWS32_PANEL(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)
typedef void (*int_run_fn)(const lb_quantizer *, const void *, const void *, size_t, int64_t, int, float *, int64_t);
