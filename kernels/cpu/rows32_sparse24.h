/* rows32_sparse24.h: gemm over 2:4 sparse weights in panels of 32 rows (rows32_sparse24_pack.h).
 *
 * Values are spread out, zeros between, by vpshufb, whose bytes a table has for the four bits of two places: in
 * registers for few columns, 32 rows by 256 k in L1 for many, so that sums have the same bits; with AMX into the pairs
 * that bf16_panel_amx.h and gemm_tiles.h multiply. Sums of int8 are exact in any order: of few columns each row picks
 * the activations that its values meet. */
#pragma once
#include "rows32_float.h"
#include "rows32_sparse24_pack.h"

/* ---- where kept values stand ---- */

/* Eight bytes at `p` in every qword. */
LB_INLINE __m512i s24_spread(const void *p) {
    typedef int64_t any __attribute__((may_alias, aligned(2)));
    __m512i v;
    __asm__("vpaddq %2%{1to8%}, %1, %0" : "=v"(v) : "v"(_mm512_setzero_si512()), "m"(*(const any *)p));
    return v;
}

/* The bytes of eight codes that the four kept values of step s (of 4) meet. */
LB_INLINE __m512i s24_pick_four(__m512i places, int s) {
    uint64_t low = 8 * (uint64_t)s, control = 0;
    for (int j = 0; j < 8; j++) control |= (low + 2 * (uint64_t)(j % 4) + (j < 4 ? 0 : 32)) << (8 * j);
    __m512i v = _mm512_multishift_epi64_epi8(_mm512_set1_epi64((long long)control), places);
    return _mm512_ternarylogic_epi32(v, lb_bytes(3), _mm512_set1_epi32(0x04040000), 0xea);
}

/* Shuffles by the four bits that say where two values stand: which byte (counted from `first`) goes to each byte of a
 * dword, 0x80 = none. Of `width` 2 the dword is elements 2 * half and 2 * half + 1, of width 1 all four. */
typedef struct s24_table { int32_t of[16]; } s24_table;
static inline s24_table s24_table_of(const int width, int half, int first) {
    s24_table t;
    for (int code = 0; code < 16; code++) {
        uint32_t dword = 0;
        for (int byte = 0; byte < 4; byte++) {
            int element = width == 2 ? 2 * half + byte / 2 : byte;
            uint32_t from = 0x80;
            for (int v = 0; v < 2; v++)
                if ((code >> (2 * v) & 3) == element) from = (uint32_t)(first + v * width + byte % width);
            dword |= from << (8 * byte);
        }
        t.of[code] = (int32_t)dword;
    }
    return t;
}

/* Kept values of 16 rows spread out; `places` has their code in its lowest bits. */
LB_INLINE __m512i s24_spread_out(__m512i values, __m512i places, __m512i table) {
    const __m512i lane = _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0);
    __m512i order = _mm512_or_si512(_mm512_permutexvar_epi32(places, table), lane);
    return _mm512_shuffle_epi8(values, order);
}

/* ---- floats: bf16 kept values, or e4m3 through f's tables ---- */

LB_INLINE int s24_bytes(const float_format f) { return f.bits == 8 ? 1 : 2; }

/* Shuffles that bring kept pairs to elements 0 and 1 of four, and to 2 and 3. */
typedef struct s24_regs { float_regs t; __m512i low, high; } s24_regs;

LB_INLINE s24_regs s24_open(const float_format f, const float_table *table) {
    const s24_table low = s24_table_of(2, 0, 0), high = s24_table_of(2, 1, 0);
    return (s24_regs){ float_open(f, table), _mm512_loadu_si512(low.of), _mm512_loadu_si512(high.of) };
}

/* 8 k of half h, steps s and s + 1 (of 8), as four pair vectors. */
LB_INLINE void s24_dense(const float_format f, const s24_regs *r, const uint8_t *run, __m512i places, int s, int h,
                         __m512i w[4]) {
    __m512i kept[2];
    if (f.bits == 8) float_decode(f, &r->t, run + S24_PLACES + 256 * h + 32 * s, kept);
    LB_UNROLL for (int i = 0; i < 2; i++) {
        if (f.bits != 8) kept[i] = _mm512_load_si512(run + S24_PLACES + 128 * (s + i) + 64 * h);
        __m512i code = s + i ? _mm512_srli_epi32(places, (unsigned)(4 * (s + i))) : places;
        w[2 * i] = s24_spread_out(kept[i], code, r->low);
        w[2 * i + 1] = s24_spread_out(kept[i], code, r->high);
    }
}

/* `some` k of 32 rows, from a run on, as pairs. */
LB_INLINE void s24_expand(const float_format f, const s24_regs *r, const uint8_t *run, int64_t some, __m512i (*to)[2]) {
    for (int64_t i = 0; i < some / 32; i++, run += s24_run_bytes(s24_bytes(f)))
        LB_UNROLL for (int h = 0; h < 2; h++) {
            __m512i places = _mm512_load_si512(run + 64 * h);
            LB_UNROLL for (int s = 0; s < 8; s += 2) {
                __m512i w[4];
                s24_dense(f, r, run, places, s, h, w);
                LB_UNROLL for (int j = 0; j < 4; j++) to[16 * i + 2 * s + j][h] = w[j];
            }
        }
}

#if defined(LB_BF16_PANEL)
/* ---- tiles of bf16, any number of columns (bf16_panel_amx.h) ---- */

enum { S24_AHEAD = 8192 };

LB_INLINE const uint8_t *s24_panel_expand(const float_format f, const s24_regs *r, const uint8_t *run, pairs_run *to) {
    const size_t bytes = s24_run_bytes(s24_bytes(f));
    LB_UNROLL for (size_t l = 0; l < bytes; l += 64) lb_ask(run + l, S24_AHEAD);
    LB_UNROLL for (int h = 0; h < 2; h++) {
        const __m512i places = _mm512_load_si512(run + 64 * h);
        LB_UNROLL for (int s = 0; s < 8; s += 2) s24_dense(f, r, run, places, s, h, &to->of[h][2 * s]);
    }
    return run + bytes;
}

LB_INLINE void s24_panels(const float_format f, const pairs_format pairs, const float_table *table, const void *panels,
                          int count, const void *act, size_t stride, int64_t k, int cols, float *out,
                          int64_t out_stride) {
    const s24_regs r = s24_open(f, table);
    pairs_run_panels(pairs, (pairs_problem){
        .of = &r, .panels = panels, .codes = (const uint8_t *)panels + S24_HEAD,
        .panel_bytes = s24_panel_bytes(s24_bytes(f), k), .count = count, .act = act, .stride = stride,
        .padded = lb_act_bf16_padded(k), .span = FLOAT_CHUNK, .cols = cols, .out = out, .out_stride = out_stride });
}

/* The functions of a file from FORMAT and TABLE. */
#define LB_S24_FLOAT(prepare, bytes, kind)                                                                           \
    LB_INLINE const uint8_t *open_row(const void *of, const uint8_t *panel, const uint8_t *p, int64_t i,             \
                                      pairs_head *to) {                                                              \
        (void)of, (void)i;                                                                                           \
        for (int h = 0; h < 2; h++) to->s[h] = _mm512_load_ps((const float *)(const void *)panel + 16 * h);          \
        return p;                                                                                                    \
    }                                                                                                                \
    LB_INLINE const uint8_t *expand(const void *of, const uint8_t *panel, const uint8_t *p, int64_t i,               \
                                    pairs_run *to) {                                                                 \
        (void)panel, (void)i;                                                                                        \
        return s24_panel_expand(FORMAT, of, p, to);                                                                  \
    }                                                                                                                \
    static void run_panels(const lb_quantizer *q, const void *panels, int count, const void *act, size_t stride,     \
                           size_t step, int64_t k, int cols, float *out, int64_t out_stride) {                       \
        (void)q, (void)step;                                                                                         \
        const pairs_format f = { .of_row = true, .open = open_row, .expand = expand, .act_apart = 256,               \
                                 .act_scaled = FORMAT.act == FLOAT_ACT_ROW };                                        \
        s24_panels(FORMAT, f, TABLE, panels, count, act, stride, k, cols, out, out_stride);                          \
    }                                                                                                                \
    LB_PAIRS_RUN                                                                                                     \
    LB_S24_LAYOUT(s24_bytes(FORMAT), false)                                                                          \
    LB_ROWS32_PANELS(prepare, bytes, kind, &panels_ops)
#define S24_WITH(how) "tdpbf16ps on tiles, the sum of all K"
#elif defined(__AMX_TILE__)
/* tiles_format.expand of a format: the kept values' scales are the row's. */
LB_INLINE const void *s24_pairs(const float_format f, const float_table *table, const uint8_t *panel, int64_t at,
                                int64_t some, tiles_pairs *to) {
    const s24_regs r = s24_open(f, table);
    const uint8_t *run = panel + S24_HEAD + (size_t)(at / 32) * s24_run_bytes(s24_bytes(f));
    s24_expand(f, &r, run, some, to->w);
    return run + (size_t)(some / 32) * s24_run_bytes(s24_bytes(f));
}

/* The functions of a file from FORMAT and TABLE. */
#define FLOAT_SCALES FLOAT_OF_ROW
#define LB_S24_FLOAT(prepare, bytes, kind)                                                                           \
    static const void *expand(const lb_quantizer *q, const uint8_t *panel, int64_t rows, int64_t k, int64_t at,      \
                              int64_t some, tiles_pairs *to) {                                                       \
        (void)q, (void)rows, (void)k;                                                                                \
        return s24_pairs(FORMAT, TABLE, panel, at, some, to);                                                        \
    }                                                                                                                \
    LB_TILES_ROW_SCALES                                                                                              \
    LB_S24_LAYOUT(s24_bytes(FORMAT), false)                                                                          \
    LB_ROWS32_PANEL(prepare, bytes, kind)
#define S24_WITH(how) "tdpbf16ps on tiles, sums of 32 x 32"
#else
/* A run's lines, 12 KiB ahead (8: 5 to 10 % less where memory gives 83 GB/s). Bursts; again nearer: some find no
 * room. */
LB_INLINE void s24_ask(const float_format f, const uint8_t *run) {
    LB_UNROLL for (int l = 0; l < (int)(s24_run_bytes(s24_bytes(f)) / 64); l++)
        for (int again = 0; again < 2; again++)
            _mm_prefetch((const char *)run + 12288 - 2048 * again + 64 * l, _MM_HINT_T0);
}

/* Dense again, so that sums have the bits that many columns give. */
LB_INLINE void s24_few_run(const float_format f, const s24_regs *r, const uint8_t *run, const void *act, size_t stride,
                           int64_t k, __m512 sum[2][FLOAT_GEMV_COLS], const int cols) {
    LB_UNROLL for (int h = 0; h < 2; h++) {
        __m512i places = _mm512_load_si512(run + 64 * h);
        LB_UNROLL for (int s = 0; s < 8; s += 2) {
            __m512i w[4];
            s24_dense(f, r, run, places, s, h, w);
            LB_UNROLL for (int i = 0; i < 4; i++)
                LB_UNROLL for (int c = 0; c < cols; c++)
                    sum[h][c] = float_dot2(sum[h][c], w[i], float_act(act, stride, k + 4 * s + 2 * i, c));
        }
    }
}

/* The row's scale, and the token's if activations have one. */
LB_INLINE __m512 s24_scaled(const float_format f, const uint8_t *panel, const void *act, size_t stride, int64_t k,
                            int c, int h, __m512 total) {
    total = _mm512_mul_ps(total, _mm512_load_ps((const float *)(const void *)panel + 16 * h));
    if (f.act != FLOAT_ACT_ROW) return total;
    return _mm512_mul_ps(total, float_act_scale(f, act, stride, lb_act_bf16_padded(k), c));
}

LB_INLINE void s24_few(const float_format f, const float_table *table, const uint8_t *panel, const void *act,
                       size_t stride, int64_t k, float *out, int64_t out_stride, const int cols) {
    const s24_regs r = s24_open(f, table);
    const uint8_t *run = panel + S24_HEAD;
    __m512 total[2][FLOAT_GEMV_COLS];
    LB_UNROLL for (int h = 0; h < 2; h++)
        LB_UNROLL for (int c = 0; c < cols; c++) total[h][c] = _mm512_setzero_ps();
    int64_t at = 0;
    const size_t bytes = s24_run_bytes(s24_bytes(f));
    /* One column: chunks by twos, because a chain's step takes 6 cycles. Lines are asked for in the order of
     * addresses. */
    for (; cols == 1 && k - at >= 2 * FLOAT_CHUNK; at += 2 * FLOAT_CHUNK) {
        const uint8_t *second = run + FLOAT_CHUNK / 32 * bytes, *asked = run;
        __m512 sum[2][2][FLOAT_GEMV_COLS];
        LB_UNROLL for (int h = 0; h < 2; h++) sum[0][h][0] = sum[1][h][0] = _mm512_setzero_ps();
        for (int64_t i = at; i < at + FLOAT_CHUNK; i += 32, run += bytes, second += bytes, asked += 2 * bytes) {
            s24_ask(f, asked);
            s24_few_run(f, &r, run, act, stride, i, sum[0], 1);
            s24_ask(f, asked + bytes);
            s24_few_run(f, &r, second, act, stride, i + FLOAT_CHUNK, sum[1], 1);
        }
        run = second;
        LB_UNROLL for (int h = 0; h < 2; h++)
            total[h][0] = _mm512_add_ps(_mm512_add_ps(total[h][0], sum[0][h][0]), sum[1][h][0]);
    }
    for (; at < k; at += FLOAT_CHUNK) {
        int64_t end = k - at < FLOAT_CHUNK ? k : at + FLOAT_CHUNK;
        __m512 sum[2][FLOAT_GEMV_COLS];
        LB_UNROLL for (int h = 0; h < 2; h++)
            LB_UNROLL for (int c = 0; c < cols; c++) sum[h][c] = _mm512_setzero_ps();
        for (int64_t i = at; i < end; i += 32, run += bytes) {
            s24_ask(f, run);
            s24_few_run(f, &r, run, act, stride, i, sum, cols);
        }
        LB_UNROLL for (int h = 0; h < 2; h++)
            LB_UNROLL for (int c = 0; c < cols; c++) total[h][c] = _mm512_add_ps(total[h][c], sum[h][c]);
    }
    LB_UNROLL for (int h = 0; h < 2; h++)
        LB_UNROLL for (int c = 0; c < cols; c++)
            _mm512_storeu_ps(out + c * out_stride + 16 * h, s24_scaled(f, panel, act, stride, k, c, h, total[h][c]));
}

LB_INLINE void s24_many(const float_format f, const float_table *table, const uint8_t *panel, const void *act,
                        size_t stride, int64_t k, int cols, float *out, int64_t out_stride) {
    const s24_regs r = s24_open(f, table);
    const int lines = (int)(FLOAT_CHUNK / 32 * s24_run_bytes(s24_bytes(f)) / 64);
    int64_t padded = lb_act_bf16_padded(k);
    float *acc = lb_panel_sums_take(cols);
    float_expanded e;
    memset(acc, 0, (size_t)cols * FLOAT_ROWS * sizeof *acc);
    for (int i = 0; i < FLOAT_CHUNK / 16; i++) e.scale[i][0] = e.scale[i][1] = _mm512_set1_ps(1.0f);
    int count = (cols + TILE32_COLS - 1) / TILE32_COLS;
    for (int64_t at = 0; at < padded; at += FLOAT_CHUNK) {
        int64_t some = padded - at < FLOAT_CHUNK ? padded - at : FLOAT_CHUNK;
        const uint8_t *run = panel + S24_HEAD + (size_t)(at / 32) * s24_run_bytes(s24_bytes(f));
        s24_expand(f, &r, run, some, e.w);
        for (int i = 0; i < count; i++) { /* what is spread out next comes between the tiles */
            int c0 = cols * i / count, c1 = cols * (i + 1) / count;
            for (int l = lines * i / count; l < lines * (i + 1) / count; l++)
                _mm_prefetch((const char *)run + 64 * (lines + l), _MM_HINT_T0);
            if (at + some == padded) t32_results_soon(out + c0 * out_stride, out_stride, c1 - c0);
            float_meet(FLOAT_CHUNK, &e, act, stride, at, some, c0, c1, cols, acc);
            for (int c = c0; c < c1 && at + some == padded;
                 c++) /* tile by tile: misses hide behind the next one's work */
                LB_UNROLL for (int h = 0; h < 2; h++) {
                    __m512 total = _mm512_load_ps(acc + FLOAT_ROWS * c + 16 * h);
                    _mm512_storeu_ps(out + c * out_stride + 16 * h, s24_scaled(f, panel, act, stride, k, c, h, total));
                }
        }
    }
    for (int c = 0; c < cols && padded == 0; c++)
        LB_UNROLL for (int h = 0; h < 2; h++) _mm512_storeu_ps(out + c * out_stride + 16 * h, _mm512_setzero_ps());
    lb_panel_sums_give(acc, cols);
}

LB_INLINE void s24_run(const float_format f, const float_table *table, const void *panel, const void *act,
                       size_t stride, int64_t k, int cols, float *out, int64_t out_stride) {
    switch (cols) {
    case 1: s24_few(f, table, panel, act, stride, k, out, out_stride, 1); break;
    case 2: s24_few(f, table, panel, act, stride, k, out, out_stride, 2); break;
    case 3: s24_few(f, table, panel, act, stride, k, out, out_stride, 3); break;
    case 4: s24_few(f, table, panel, act, stride, k, out, out_stride, 4); break;
    default: s24_many(f, table, panel, act, stride, k, cols, out, out_stride);
    }
}

/* The functions of a file from FORMAT and TABLE. */
#define LB_S24_FLOAT(prepare, bytes, kind)                                                                           \
    static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,   \
                    float *out, int64_t out_stride) {                                                                \
        (void)q;                                                                                                     \
        s24_run(FORMAT, TABLE, panel, act, stride, k, cols, out, out_stride);                                        \
    }                                                                                                                \
    LB_S24_LAYOUT(s24_bytes(FORMAT), false)                                                                          \
    LB_ROWS32_PANEL(prepare, bytes, kind)
#define S24_WITH(how) "vdpbf16ps in sums of 256" how
#endif
