/* gemm_sparse24_int8dq.h: gemm over sparse24-int8dq weights in panels of 32 rows: two int8 of every four, times int8,
 * scales of row and token last. Sums are exact in int32. For AVX-512 and AMX. */
#pragma once
#define I8_SPARSE
#include "rows32_i8.h"
#include "rows32_sparse24.h"

/* Few columns: activations + 128 are the unsigned side, so that what a row picks needs no sum of its own: 128 times the
 * sum of its codes is taken off. */
LB_INLINE void few(const uint8_t *panel, const void *act, size_t stride, int64_t k, float *out, int64_t out_stride,
                   const int cols) {
    const uint8_t *run = panel + S24_HEAD;
    __m512i sum[I8_GEMV_COLS][2];
    LB_UNROLL for (int h = 0; h < 2; h++) {
        __m512i start = _mm512_mullo_epi32(_mm512_load_si512(panel + S24_SCALES + 64 * h), _mm512_set1_epi32(-128));
        LB_UNROLL for (int c = 0; c < cols; c++) sum[c][h] = start;
    }
    for (int64_t at = 0; at < k; at += 32, run += s24_run_bytes(1)) {
        __m512i places[2];
        LB_UNROLL for (int h = 0; h < 2; h++) places[h] = lb_load_ahead(run + 64 * h);
        LB_UNROLL for (int s = 0; s < 4; s++) {
            __m512i x[I8_GEMV_COLS];
            LB_UNROLL for (int c = 0; c < cols; c++)
                x[c] = _mm512_xor_si512(s24_spread(i8_act(act, stride, c)->q + at + 8 * s), lb_bytes(0x80));
            LB_UNROLL for (int h = 0; h < 2; h++) {
                __m512i w = lb_load_ahead(run + S24_PLACES + 128 * s + 64 * h), pick = s24_pick_four(places[h], s);
                LB_UNROLL for (int c = 0; c < cols; c++)
                    sum[c][h] = lb_dot4_regs(sum[c][h], _mm512_shuffle_epi8(x[c], pick), w);
            }
        }
    }
    LB_UNROLL for (int c = 0; c < cols; c++)
        i8_finish(panel, i8_act(act, stride, c), sum[c][0], sum[c][1], out + c * out_stride);
}

/* 32 k of 32 rows, spread out, plus `offset`: pairs of vectors as in rows32_i8_pack.h. */
LB_INLINE void spread(const uint8_t *run, const s24_table tables[2], const int offset, uint8_t *to) {
    __m512i low = _mm512_loadu_si512(tables[0].of), high = _mm512_loadu_si512(tables[1].of);
    LB_UNROLL for (int h = 0; h < 2; h++) {
        __m512i places = _mm512_load_si512(run + 64 * h);
        LB_UNROLL for (int s = 0; s < 4; s++) {
            __m512i w = _mm512_load_si512(run + S24_PLACES + 128 * s + 64 * h);
            __m512i first = s24_spread_out(w, _mm512_srli_epi32(places, (unsigned)(8 * s)), low);
            __m512i second = s24_spread_out(w, _mm512_srli_epi32(places, (unsigned)(8 * s + 4)), high);
            if (offset) first = _mm512_xor_si512(first, lb_bytes((uint32_t)offset));
            if (offset) second = _mm512_xor_si512(second, lb_bytes((uint32_t)offset));
            _mm512_store_si512(to + 256 * s + 64 * h, first);
            _mm512_store_si512(to + 256 * s + 128 + 64 * h, second);
        }
    }
}

LB_S24_LAYOUT(1, true)

#if defined(__AMX_INT8__)
#include "sparse_i8_amx.h"

static void expand(const uint8_t *panel, int64_t k, int64_t at, int64_t some, sparse_blocks *to) {
    const s24_table tables[2] = { s24_table_of(1, 0, 0), s24_table_of(1, 0, 2) };
    const int64_t runs = (k + 31) / 32;
    for (int64_t i = 0; i < some; i += 32) {
        if ((at + i) / 32 < runs)
            spread(panel + S24_HEAD + (size_t)((at + i) / 32) * s24_run_bytes(1), tables, 0, to->codes + I8_ROWS * i);
        else memset(to->codes + I8_ROWS * i, 0, I8_ROWS * 32); /* half a block behind the last */
    }
    to->count = (int)(some / SPARSE_BLOCK);
    for (int i = 0; i < to->count; i++) to->place[i] = i;
    to->next = panel + S24_HEAD + (size_t)((at + some) / 32) * s24_run_bytes(1);
    to->next_bytes = (size_t)(some / 32) * s24_run_bytes(1);
}

LB_SPARSE_I8_PANELS(I8_ACT_8)
#undef I8_ISA
#define I8_ISA (LB_ISA_AVX512 | LB_ISA_AVX512_VNNI | LB_ISA_AVX512_VBMI | LB_ISA_AMX_INT8)
#define MANY_WITH "tdpbssd"
#else
static void many(const uint8_t *panel, const void *act, size_t stride, int64_t k, int cols, float *out,
                 int64_t out_stride) {
    enum { CHUNK = 512 };
    const s24_table tables[2] = { s24_table_of(1, 0, 0), s24_table_of(1, 0, 2) };
    uint8_t bytes[I8_ROWS * CHUNK] __attribute__((aligned(64)));
    int32_t *acc = lb_panel_sums_take(cols);
    int64_t padded = lb_act_bf16_padded(k);
    int count = (cols + TILE32_COLS - 1) / TILE32_COLS;
    for (int c = 0; c < cols; c++) {
        __m512i start = _mm512_set1_epi32(-128 * i8_act(act, stride, c)->sum);
        _mm512_store_si512(acc + 32 * c, start);
        _mm512_store_si512(acc + 32 * c + 16, start);
    }
    for (int64_t at = 0; at < padded; at += CHUNK) {
        int64_t some = padded - at < CHUNK ? padded - at : CHUNK;
        for (int64_t i = 0; i < some; i += 32)
            spread(panel + S24_HEAD + (size_t)((at + i) / 32) * s24_run_bytes(1), tables, 0x80, bytes + I8_ROWS * i);
        const uint8_t *later = panel + S24_HEAD + (size_t)((at + some) / 32) * s24_run_bytes(1);
        const size_t piece = i8_piece(CHUNK / 32 * s24_run_bytes(1), (size_t)(count * (some / 16)));
        for (int t = 0; t < count; t++) {
            int c0 = cols * t / count, c1 = cols * (t + 1) / count;
            ptrdiff_t far = t + 1 < count ? (ptrdiff_t)stride * (c1 - c0) : (ptrdiff_t)CHUNK - (ptrdiff_t)stride * c0;
            if (at + some == padded) t32_results_soon(out + c0 * out_stride, out_stride, c1 - c0);
            i8_tiles[c1 - c0](bytes, i8_act(act, stride, c0)->q + at, stride, some / 16, acc + 32 * c0, far,
                              later + (size_t)(t * (some / 16)) * piece, piece);
            for (int c = c0; c < c1 && at + some == padded;
                 c++) /* tile by tile: misses hide behind the next one's work */
                i8_finish(panel, i8_act(act, stride, c), _mm512_load_si512(acc + 32 * c),
                          _mm512_load_si512(acc + 32 * c + 16), out + c * out_stride);
        }
    }
    for (int c = 0; c < cols && padded == 0; c++)
        i8_finish(panel, i8_act(act, stride, c), _mm512_setzero_si512(), _mm512_setzero_si512(), out + c * out_stride);
    lb_panel_sums_give(acc, cols);
}

LB_ROWS32_RUN
LB_ROWS32_I8_PANEL(I8_ACT_8)
#undef I8_ISA
#define I8_ISA (LB_ISA_AVX512 | LB_ISA_AVX512_VNNI | LB_ISA_AVX512_VBMI)
#define MANY_WITH "vpdpbusd"
#endif

const lb_kernel LB_ROWS32_SYMBOL(gemm_sparse24_int8dq) = {
    .name = "gemm.sparse24-int8dq." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; up to four columns: rows pick their activations by vpshufb, vpdpbusd over what is "
             "kept; more: spread out in L1, " MANY_WITH "; scales of token and row at the end",
    .format = "sparse24-int8dq",
    .supports = i8_supports,
    LB_ROWS32_I8_KERNEL,
};
