/* rows32_i8_pack.h: panels of 32 rows of formats with one scale a row, as rows32_i8.h (AVX-512) and rows32_i8_avx2.h
 * read them.
 *
 * A panel is 32 rows: 32 f32 scales, then codes as u8 with an offset, in pairs of 64-byte vectors (rows 0..15, rows
 * 16..31) whose lane r holds four consecutive k of row r.
 *   8 bits: codes + 128; a pair for every 4 k.
 *   4 bits: codes + 8; a pair for every 8 k, the first four in the low nibbles.
 * K is padded to a multiple of 64; what is added meets activations of zero. */
#pragma once
#include "rows32.h"

enum { I8_ROWS = 32, I8_MOST_K = 131071, I8_HEAD = I8_ROWS * 4, I8_PAD = 64 };

/* A format; always a constant, so that the inlined functions below know it. */
typedef struct i8_format {
    int bits;        /* 8 or 4 */
} i8_format;

LB_INLINE int i8_offset(const i8_format f) { return 1 << (f.bits - 1); }
LB_INLINE size_t i8_codes_bytes(const i8_format f, int64_t k) { return (size_t)(k * I8_ROWS * f.bits / 8); }
LB_INLINE size_t i8_panel_bytes(const i8_format f, int64_t k) {
    return I8_HEAD + i8_codes_bytes(f, (k + I8_PAD - 1) / I8_PAD * I8_PAD);
}

/* Rows [row0, row1): code(native, i, bits' worth) is row-major int8 codes for 8 bits, signed nibbles (low first) for 4;
 * `scales` are f32, one a row. */
LB_INLINE void i8_repack(const i8_format f, const uint8_t *codes, const float *scales, int64_t n, int64_t k,
                         int64_t row0, int64_t row1, void *dst) {
    size_t bytes = i8_panel_bytes(f, k);
    for (int64_t row = row0; row < row1; row += I8_ROWS) {
        uint8_t *panel = (uint8_t *)dst + (size_t)(row / I8_ROWS) * bytes;
        memset(panel, 0, bytes);
        for (int r = 0; r < I8_ROWS && row + r < n; r++) {
            memcpy(panel + 4 * r, scales + row + r, 4);
            uint8_t *lane = panel + I8_HEAD + 4 * r;
            if (f.bits == 8) {
                const uint8_t *from = codes + (row + r) * k;
                for (int64_t i = 0; i < k; i++) lane[i / 4 * 128 + i % 4] = from[i] ^ 0x80;
            } else {
                const uint8_t *from = codes + (row + r) * ((k + 1) / 2);
                for (int64_t i = 0; i < k; i++) {
                    uint8_t code = (uint8_t)((from[i / 2] >> i % 2 * 4 & 15) ^ 8);
                    lane[i / 8 * 128 + i % 4] |= (uint8_t)(code << (i & 4));
                }
            }
        }
    }
}

/* Sums over more would leave int32. */
static inline bool i8_supports(const lb_args *a, const char **why) {
    *why = "sums of K above 131071 may leave int32";
    return lb_arg(a, LB_GEMM_X)->dims[1] <= I8_MOST_K;
}

/* run(), panel_bytes(), layout, panel and driver of a file from its FORMAT and repack(). */
#define LB_I8_PANEL(...)                                                                                            \
    static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,   \
                    float *out, int64_t out_stride) {                                                                \
        (void)q;                                                                                                     \
        i8_run(FORMAT, panel, act, stride, k, cols, out, out_stride);                                                \
    }                                                                                                                \
    static size_t panel_bytes(const lb_quantizer *q, int64_t k) {                                                    \
        (void)q;                                                                                                     \
        return i8_panel_bytes(FORMAT, k);                                                                            \
    }                                                                                                                \
    I8_PANELS(__VA_ARGS__)
#if defined(__AMX_INT8__)
#define I8_PANELS(...)                                                                                               \
    static void run_panels(const lb_quantizer *q, const void *panels, int count, const void *act, size_t stride,     \
                           size_t step, int64_t k, int cols, float *out, int64_t out_stride) {                       \
        (void)q;                                                                                                     \
        i8_run_panels(FORMAT, panels, count, act, stride, step, k, cols, out, out_stride);                           \
    }                                                                                                                \
    static const lb_panels panels_ops = { .most = LB_PANELS_MOST, .run = run_panels,                                 \
                                          .act_head = sizeof(lb_act_i8_token) };                                     \
    LB_ROWS32_PANELS_OF(__VA_ARGS__, &panels_ops)
#else
#define I8_PANELS(...) LB_ROWS32_PANEL_OF(__VA_ARGS__)
#endif
/* The layout, the panel and its driver from the file's run(), panel_bytes() and repack(). */
#define LB_ROWS32_I8_PANEL(...) LB_ROWS32_PANEL(__VA_ARGS__)

#define LB_ROWS32_I8_KERNEL                                                                                          \
    LB_ROWS32_KERNEL, .isa = I8_ISA, .act = LB_ACT_I8_TOKEN, .acc = LB_ACC_I32_F32,      \
    .compute = LB_COMPUTE_INT8, .tolerance = 1e-10,                                                                  \
    .tolerance_why = "sums are exact in int32; one conversion and two products round: NMSE of about 1e-14"
