/* rows32_int_pack.h: panels of 32 rows of weight-only integer formats with groups, as rows32_int.h (AVX-512) and
 * rows32_int_avx2.h read them.
 *
 * A panel is one stream, group by group: a head, then runs of 32 k, rows 0..15 before rows 16..31. The head is 32 f32
 * scales and 32 f32 zeros, or a pair for each row: f16 scale and f16 integer zero point, or bf16 scale and bf16 zero. A
 * pair vector is what vdpbf16ps multiplies: 16 rows, of each elements 2p and 2p + 1 of a run, p = 0..15. Of 16 rows of
 * a run there are `bits` vectors: in the stream that a row's words make, one for either element, the code of pair p
 * stands at bit p * bits. With INT_POINTS the zero points stand by themselves, as bytes, 32 for each group, before the
 * stream, so that it has nothing but scales in its heads: no more bytes than the format itself.
 *
 * w = level * s + z; the level is code - int_offset. */
#pragma once
#include "rows32.h"
#include "rows32_float_pack.h"

enum { INT_F32, INT_F16 /* z = (level's offset - zero point) * s */, INT_BF16, INT_POINTS /* z as with INT_F16 */ };

/* A format; always a constant, so that the inlined functions below know it. */
typedef struct int_format {
    int bits;
    int head;                /* INT_F32, ... */
} int_format;

/* Level = code - int_offset. */
LB_INLINE float int_offset(const int_format f) {
    return f.bits == 8 ? 0.0f : f.bits == 7 ? -128.0f : (float)(1 << (f.bits - 1));
}
LB_INLINE size_t int_head_bytes(const int_format f) { return f.head == INT_F32 ? 256 : 128; }
LB_INLINE size_t int_run_bytes(const int_format f) { return (size_t)f.bits * 64; } /* of 16 rows */
LB_INLINE size_t int_group_bytes(const int_format f, int64_t group) {
    return int_head_bytes(f) + (size_t)(group / 32) * 2 * int_run_bytes(f);
}
/* Before a panel's stream. */
LB_INLINE size_t int_points_bytes(const int_format f, const lb_quantizer *q, int64_t k) {
    return f.head == INT_POINTS ? ((size_t)(k / q->group) * LB_PANEL_ROWS + 63) / 64 * 64 : 0;
}
LB_INLINE size_t int_panel_bytes(const int_format f, const lb_quantizer *q, int64_t k) {
    return int_points_bytes(f, q, k) + (size_t)(k / q->group) * int_group_bytes(f, q->group);
}

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

/* Codes [at, at + 32) of a row, a byte each; the scale and the zero point (INT_BF16: the zero) of one of its groups. */
typedef void (*int_unpack)(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t at,
                           uint8_t codes[32]);
typedef void (*int_scale)(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t group,
                          float *scale, float *zero);

/* Row r's scale and zero, or zero point, of a group whose head this is; `point` is where the point goes with
 * INT_POINTS. */
static inline void int_pack_head(const int_format f, float s, float zero, int r, uint8_t *head, uint8_t *point) {
    if (f.head == INT_F32 || f.head == INT_POINTS) {
        ((float *)(void *)head)[r] = s;
        if (f.head == INT_POINTS) *point = (uint8_t)zero;
        else ((float *)(void *)head)[32 + r] = (int_offset(f) - zero) * s;
        return;
    }
    uint16_t pair[2] = { f.head == INT_F16 ? lb_f32_to_f16(s) : lb_f32_to_bf16(s),
                         f.head == INT_F16 ? lb_f32_to_f16(zero) : lb_f32_to_bf16(zero) };
    memcpy(head + 4 * r, pair, 4);
}

/* Missing rows are zero. */
static inline void int_repack(const int_format f, int_unpack unpack, int_scale scale_of, const lb_quantizer *q,
                              const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1, void *dst) {
    const size_t bytes = int_panel_bytes(f, q, k), each = int_group_bytes(f, q->group);
    for (int64_t row = row0; row < row1; row += LB_PANEL_ROWS) {
        uint8_t *points = (uint8_t *)dst + (size_t)(row / LB_PANEL_ROWS) * bytes;
        uint8_t *group = points + int_points_bytes(f, q, k);
        memset(points, 0, bytes);
        for (int64_t i = 0; i < k / q->group; i++, group += each, points += LB_PANEL_ROWS)
            for (int r = 0; r < LB_PANEL_ROWS && row + r < n; r++) {
                float s, zero;
                scale_of(q, native, n, k, row + r, i, &s, &zero);
                int_pack_head(f, s, zero, r, group, points + r);
                for (int64_t at = 0; at < q->group; at += 32) {
                    uint8_t codes[32];
                    unpack(q, native, n, k, row + r, i * q->group + at, codes);
                    int_pack_run(f.bits, codes, r % 16,
                                 group + int_head_bytes(f) + (size_t)(at / 32 * 2 + r / 16) * int_run_bytes(f));
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

#if !defined(__AMX_TILE__)
/* A function for each width, so that each knows its shifts; of one panel, or two that stand one behind the other. */
#define INT_RUN(b, its_head)                                                                                         \
    static __attribute__((noinline)) void run_##b(const int panels, const lb_quantizer *q, const void *panel,        \
                                                  const void *act, size_t stride, int64_t k, int cols, float *out,   \
                                                  int64_t out_stride) {                                              \
        (void)panels;                                                                                                \
        int_run(((int_format){ b, its_head }), panels, q, panel, act, stride, k, cols, out, out_stride);             \
    }

typedef void (*int_run_fn)(int, const lb_quantizer *, const void *, const void *, size_t, int64_t, int, float *,
                           int64_t);
#define INT_DEFINE_RUN                                                                                               \
    static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,   \
                    float *out, int64_t out_stride) {                                                                \
        runs[q->bits](1, q, panel, act, stride, k, cols, out, out_stride);                                           \
    }
#endif

/* The functions of a file from HEAD, runs[] by bits, unpack() and scale_of(). */
#define LB_INT_PANEL                                                                                                 \
    INT_DEFINE_RUN                                                                                                   \
    INT_DEFINE_PANELS                                                                                                \
    static size_t panel_bytes(const lb_quantizer *q, int64_t k) {                                                    \
        return int_panel_bytes((int_format){ q->bits, HEAD }, q, k);                                               \
    }                                                                                                                \
    static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,  \
                       void *dst) {                                                                                  \
        int_repack((int_format){ q->bits, HEAD }, unpack, scale_of, q, native, n, k, row0, row1, dst);             \
    }                                                                                                                \
    LB_ROWS32_PANELS_OF(INT_ACT, INT_PANELS)
