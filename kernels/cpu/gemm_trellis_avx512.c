/* gemm_trellis_avx512.c: gemm over trellis-2, -3 and -4 in panels of 32 rows. The transform of the weights is its own
 * inverse and symmetric, so that activations take it instead, once: what is multiplied are the hashes of the states.
 *
 * A piece (rows32_trellis_pack.h) is four vectors of 8 rows. vpmultishiftqb takes the 16 bits that end at any place
 * out of 64, for four weights of each row at once; those that begin in the 64 before come from the halves of both. The
 * hash is made of products of 16 bits: one of 32 takes two turns of a multiplier on Zen 5. Its bytes' sum less 510 is
 * an integer up to 510, too long for int8 and for bf16: activations are int16 with a scale for each 128, over which
 * int32 holds every sum. Sums are exact, so that a row has the same bits in every batch. */
#include <immintrin.h>
#include <math.h>

#include "rows32_trellis_pack.h"

enum { GROUPS = 4 /* of 8 rows */, FEW = 4 };

/* ---- activations: signs, transform, int16 ---- */

/* The step of the transform that adds and subtracts values `half` apart within a vector: partner + (-1 or 1) * own. */
#define WITHIN(v, partner, mask) _mm512_mask_sub_ps(_mm512_add_ps(v, partner), mask, partner, v)

LB_INLINE void transform(__m512 v[8]) {
    LB_UNROLL for (int i = 0; i < 8; i++) {
        v[i] = WITHIN(v[i], _mm512_permute_ps(v[i], 0xb1), 0xaaaa);
        v[i] = WITHIN(v[i], _mm512_permute_ps(v[i], 0x4e), 0xcccc);
        v[i] = WITHIN(v[i], _mm512_shuffle_f32x4(v[i], v[i], 0xb1), 0xf0f0);
        v[i] = WITHIN(v[i], _mm512_shuffle_f32x4(v[i], v[i], 0x4e), 0xff00);
    }
    LB_UNROLL for (int half = 1; half < 8; half *= 2)
        LB_UNROLL for (int i = 0; i < 8; i++) {
            if (i & half) continue;
            __m512 a = v[i], b = v[i + half];
            v[i] = _mm512_add_ps(a, b), v[i + half] = _mm512_sub_ps(a, b);
        }
}

/* A block with NaN or Inf has codes of 0 and a scale of NaN. */
static void act_prepare(const lb_quantizer *q, const float *x, int64_t k, void *act) {
    (void)q;
    act_block *b = act;
    for (int64_t at = 0; at < k; at += BLOCK, b++) {
        float signs[BLOCK];
        __m512 v[8], most = _mm512_setzero_ps();
        for (int i = 0; i < BLOCK; i++) signs[i] = lb_trellis_sign(at + i);
        for (int i = 0; i < 8; i++)
            v[i] = _mm512_mul_ps(_mm512_loadu_ps(x + at + 16 * i), _mm512_loadu_ps(signs + 16 * i));
        transform(v);
        __mmask16 bad = 0;
        for (int i = 0; i < 8; i++) {
            __m512 a = _mm512_abs_ps(v[i]);
            bad |= _mm512_cmp_ps_mask(a, _mm512_set1_ps(INFINITY), _CMP_NLT_UQ);
            most = _mm512_max_ps(a, most);
        }
        float amax = bad ? 0 : _mm512_reduce_max_ps(most), step = amax / 32767.0f;
        __m512 inverse = _mm512_set1_ps(step > 1e-37f ? 1.0f / step : 0);
        __m512i sum = _mm512_setzero_si512();
        for (int i = 0; i < 8; i++) {
            __m512i code = bad ? _mm512_setzero_si512() : _mm512_cvtps_epi32(_mm512_mul_ps(v[i], inverse));
            sum = _mm512_add_epi32(sum, code);
            _mm256_storeu_si256((__m256i *)(b->q + 16 * i), _mm512_cvtsepi32_epi16(code));
        }
        b->d = bad ? NAN : step * 0.08838834764831845f; /* 1 / sqrt(128) */
        b->start = -CENTRE * _mm512_reduce_add_epi32(sum);
    }
}

/* ---- states and hashes ---- */

typedef struct controls { __m512i at[16], mask; } controls;

/* For each four of a period from which bits their states come. */
LB_INLINE void open_controls(const lb_quantizer *q, const int bits, controls *c) {
    for (int p = 0; p < period_fours(bits); p++) {
        int end = 64 * (piece_of(bits, p) + 1) - (straddles(bits, p) ? 32 : 0);
        uint64_t from = 0;
        for (int i = 0; i < 4; i++) {
            uint64_t first = (uint64_t)(end - (4 * p + 1 + i) * bits);
            from |= (first | (first + 8) << 8) << (16 * i);
        }
        c->at[p] = _mm512_set1_epi64((long long)from);
    }
    c->mask = _mm512_set1_epi16((short)((1 << q->param[1]) - 1));
}

/* The sums of the hashes' bytes: four int16 of each of the 8 rows whose piece it is. */
LB_INLINE __m512i levels(const controls *c, int p, __m512i piece) {
    const __m512i low = _mm512_set1_epi16((short)0xD12D), high = _mm512_set1_epi16((short)0x83DC);
    const __m512i one = _mm512_set1_epi8(1);
    __m512i state = _mm512_and_si512(_mm512_multishift_epi64_epi8(c->at[p], piece), c->mask);
    __m512i upper = _mm512_add_epi16(_mm512_mulhi_epu16(state, low), _mm512_mullo_epi16(state, high));
    __m512i lower = _mm512_mullo_epi16(state, low);
    return _mm512_add_epi16(_mm512_maddubs_epi16(lower, one), _mm512_maddubs_epi16(upper, one));
}

/* The last half of the piece before, and the first of this one; both turned by 32. */
LB_INLINE __m512i between(__m512i before, __m512i now) { return _mm512_mask_mov_epi32(now, 0xaaaa, before); }

/* ---- few columns ---- */

/* Four activations in every qword. */
LB_INLINE __m512i fours(const char *a) {
    typedef int64_t any __attribute__((may_alias));
    __m512i v;
    __asm__("vpaddq %2%{1to8%}, %1, %0" : "=v"(v) : "v"(_mm512_setzero_si512()), "m"(*(const any *)(const void *)a));
    return v;
}

typedef struct few_state { __m512i sum[FEW][GROUPS], before[GROUPS]; } few_state;

/* One piece of each row, number i of the period, whose activations begin at `act`. */
LB_INLINE void few_piece(const int bits, const controls *c, const uint8_t *w, int i, const char *act, size_t stride,
                         few_state *s, const int cols) {
    __m512i now[GROUPS], mid[GROUPS];
    LB_UNROLL for (int g = 0; g < GROUPS; g++) {
        now[g] = lb_load_ahead(w + 64 * g);
        __m512i turned = _mm512_ror_epi64(now[g], 32);
        mid[g] = between(s->before[g], turned);
        s->before[g] = turned;
    }
    LB_UNROLL for (int p = first_four(bits, i); p < first_four(bits, i + 1); p++) {
        __m512i x[FEW];
        LB_UNROLL for (int n = 0; n < cols; n++) x[n] = fours(act + (size_t)n * stride + 8 * p);
        LB_UNROLL for (int g = 0; g < GROUPS; g++) {
            __m512i v = levels(c, p, straddles(bits, p) ? mid[g] : now[g]);
            LB_UNROLL for (int n = 0; n < cols; n++) s->sum[n][g] = lb_dot2_regs(s->sum[n][g], v, x[n]);
        }
    }
}

/* The streams are cyclic: before the first piece is the last. */
LB_INLINE void open_tile(const int bits, const uint8_t *w, few_state *s) {
    LB_UNROLL for (int g = 0; g < GROUPS; g++)
        s->before[g] = _mm512_ror_epi64(_mm512_load_si512(w + (4 * bits - 1) * PIECE + 64 * g), 32);
}

LB_INLINE const act_block *act_of(const act_block *b, size_t stride, int n) {
    return (const act_block *)(const void *)((const char *)b + (size_t)n * stride);
}

/* total += d * sums, of which every row has two halves. */
LB_INLINE void few_close(const act_block *b, __m512i sum[GROUPS], __m512 total[GROUPS]) {
    LB_UNROLL for (int g = 0; g < GROUPS; g++) {
        __m512i both = _mm512_add_epi32(sum[g], _mm512_shuffle_epi32(sum[g], _MM_PERM_CDAB));
        total[g] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(both), _mm512_set1_ps(b->d), total[g]);
    }
}

LB_INLINE void few(const lb_quantizer *q, const int bits, const uint8_t *panel, const void *act, size_t stride,
                   int64_t k, float *out, int64_t out_stride, const int cols) {
    const uint8_t *w = panel + HEAD;
    controls c;
    few_state s = { 0 };
    __m512 total[FEW][GROUPS];
    open_controls(q, bits, &c);
    LB_UNROLL for (int n = 0; n < cols; n++)
        LB_UNROLL for (int g = 0; g < GROUPS; g++) total[n][g] = _mm512_setzero_ps();
    for (int64_t at = 0; at < k / BLOCK; at++) {
        const act_block *b = (const act_block *)act + at;
        if (at % 2 == 0) open_tile(bits, w, &s);
        LB_UNROLL for (int n = 0; n < cols; n++) {
            uint32_t start = (uint32_t)act_of(b, stride, n)->start;
            LB_UNROLL for (int g = 0; g < GROUPS; g++) s.sum[n][g] = _mm512_set1_epi64((long long)(uint64_t)start);
        }
        for (int p = 0; p < BLOCK / 4; p += period_fours(bits))
            LB_UNROLL for (int i = 0; i < period_pieces(bits); i++, w += PIECE)
                few_piece(bits, &c, w, i, (const char *)(b->q + 4 * p), stride, &s, cols);
        LB_UNROLL for (int n = 0; n < cols; n++) few_close(act_of(b, stride, n), s.sum[n], total[n]);
    }
    const float *scales = (const float *)(const void *)panel;
    LB_UNROLL for (int n = 0; n < cols; n++)
        LB_UNROLL for (int h = 0; h < 2; h++)
            _mm512_storeu_ps(out + n * out_stride + 16 * h,
                             _mm512_mul_ps(_mm512_shuffle_ps(total[n][2 * h], total[n][2 * h + 1], 0x88),
                                           _mm512_load_ps(scales + 16 * h)));
}

/* ---- many columns: 32 rows by 256 become int16 in L1 once and meet all of them ---- */

typedef struct expanded { __m512i w[LB_TRELLIS_TILE / 2][2]; } expanded; /* pairs; rows 0..15, rows 16..31 */

LB_INLINE void expand(const int bits, const controls *c, const uint8_t *w, expanded *e) {
    __m512i before[GROUPS], now[GROUPS], mid[GROUPS];
    LB_UNROLL for (int g = 0; g < GROUPS; g++)
        before[g] = _mm512_ror_epi64(_mm512_load_si512(w + (4 * bits - 1) * PIECE + 64 * g), 32);
    for (int at = 0; at < LB_TRELLIS_TILE / 4; at += period_fours(bits))
        LB_UNROLL for (int i = 0; i < period_pieces(bits); i++, w += PIECE) {
            LB_UNROLL for (int g = 0; g < GROUPS; g++) {
                now[g] = _mm512_load_si512(w + 64 * g);
                __m512i turned = _mm512_ror_epi64(now[g], 32);
                mid[g] = between(before[g], turned);
                before[g] = turned;
            }
            LB_UNROLL for (int p = first_four(bits, i); p < first_four(bits, i + 1); p++) {
                __m512 v[GROUPS];
                LB_UNROLL for (int g = 0; g < GROUPS; g++)
                    v[g] = _mm512_castsi512_ps(_mm512_sub_epi16(levels(c, p, straddles(bits, p) ? mid[g] : now[g]),
                                                                _mm512_set1_epi16(CENTRE)));
                LB_UNROLL for (int h = 0; h < 2; h++) {
                    e->w[2 * (at + p)][h] = _mm512_castps_si512(_mm512_shuffle_ps(v[2 * h], v[2 * h + 1], 0x88));
                    e->w[2 * (at + p) + 1][h] = _mm512_castps_si512(_mm512_shuffle_ps(v[2 * h], v[2 * h + 1], 0xdd));
                }
            }
        }
}

/* acc += the sums, as floats, times the scale behind the block. */
#define TRELLIS_ADD(low, high, temp, other, address, at, ...)                                                        \
    "vbroadcastss " address ", %%zmm" #temp "\n\t"                                                                   \
    "vcvtdq2ps %%zmm" #low ", %%zmm" #low "\n\tvcvtdq2ps %%zmm" #high ", %%zmm" #high "\n\t"                         \
    "vfmadd213ps " #at "(%[acc]), %%zmm" #temp ", %%zmm" #low "\n\tvmovaps %%zmm" #low ", " #at "(%[acc])\n\t"      \
    "vfmadd213ps 64+" #at "(%[acc]), %%zmm" #temp ", %%zmm" #high "\n\tvmovaps %%zmm" #high ", 64+" #at "(%[acc])\n\t"
/* acc[col][32] += two blocks of 128 k, each in 16 times 8. */
#define TRELLIS_TILE(n)                                                                                              \
    static __attribute__((noinline)) void trellis_tile_##n(const void *w, const void *act, size_t s, float *acc) {   \
        const char *a = act, *b = a + 3 * s, *c = a + 6 * s, *d = a + 9 * s;                                         \
        int64_t i, blocks = LB_TRELLIS_TILE / BLOCK;                                                                 \
        __asm__ volatile("2:\n\t" T32_##n(T32_ZERO, ) "mov $16, %[i]\n\t.p2align 5\n"                                \
                         "1:\n\t" T32_FOUR_STEPS(n, "vpdpwssd") "dec %[i]\n\tjnz 1b\n\t" T32_##n(TRELLIS_ADD, )      \
                         "add $64, %[a]\n\tadd $64, %[b]\n\tadd $64, %[c]\n\tadd $64, %[d]\n\t"                      \
                         "dec %[blocks]\n\tjnz 2b\n\t"                                                               \
                         : [w] "+r"(w), [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [i] "=&r"(i),            \
                           [blocks] "+r"(blocks)                                                                     \
                         : [s] "r"(s), [acc] "r"(acc)                                                                \
                         : T32_CLOBBERS);                                                                            \
    }
T32_EACH(TRELLIS_TILE)
typedef void (*tile_fn)(const void *, const void *, size_t, float *);
static const tile_fn tiles[] = { NULL, trellis_tile_1, trellis_tile_2, trellis_tile_3, trellis_tile_4, trellis_tile_5,
                                 trellis_tile_6, trellis_tile_7, trellis_tile_8, trellis_tile_9, trellis_tile_10,
                                 trellis_tile_11, trellis_tile_12 };

LB_INLINE void many(const lb_quantizer *q, const int bits, const uint8_t *panel, const void *act, size_t stride,
                    int64_t k, int cols, float *out, int64_t out_stride) {
    const size_t tile_bytes = (size_t)(4 * bits) * 64 * GROUPS;
    const uint8_t *w = panel + HEAD;
    float *acc = lb_panel_sums_take(cols);
    expanded e;
    controls c;
    open_controls(q, bits, &c);
    memset(acc, 0, (size_t)cols * 32 * sizeof *acc);
    int count = (cols + TILE32_COLS - 1) / TILE32_COLS, lines = (int)(tile_bytes / 64);
    for (int64_t at = 0; at < k; at += LB_TRELLIS_TILE, w += tile_bytes) {
        const char *a = (const char *)act + (size_t)(at / BLOCK) * sizeof(act_block);
        expand(bits, &c, w, &e);
        for (int i = 0; i < count; i++) { /* what is expanded next comes between the tiles */
            int c0 = cols * i / count, c1 = cols * (i + 1) / count;
            for (int l = lines * i / count; l < lines * (i + 1) / count; l++)
                _mm_prefetch((const char *)w + tile_bytes + 64 * l, _MM_HINT_T0);
            tiles[c1 - c0](&e, a + (size_t)c0 * stride, stride, acc + 32 * c0);
        }
    }
    const float *scales = (const float *)(const void *)panel;
    for (int n = 0; n < cols; n++)
        LB_UNROLL for (int h = 0; h < 2; h++)
            _mm512_storeu_ps(out + n * out_stride + 16 * h, _mm512_mul_ps(_mm512_load_ps(acc + 32 * n + 16 * h),
                                                                          _mm512_load_ps(scales + 16 * h)));
    lb_panel_sums_give(acc, cols);
}

/* ---- the panel ---- */

#define TRELLIS_RUN(bits)                                                                                            \
    static void run_##bits(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k,      \
                           int cols, float *out, int64_t out_stride) {                                               \
        switch (cols) {                                                                                              \
        case 1: few(q, bits, panel, act, stride, k, out, out_stride, 1); break;                                      \
        case 2: few(q, bits, panel, act, stride, k, out, out_stride, 2); break;                                      \
        case 3: few(q, bits, panel, act, stride, k, out, out_stride, 3); break;                                      \
        case 4: few(q, bits, panel, act, stride, k, out, out_stride, 4); break;                                      \
        default: many(q, bits, panel, act, stride, k, cols, out, out_stride);                                        \
        }                                                                                                            \
    }
TRELLIS_RUN(2)
TRELLIS_RUN(3)
TRELLIS_RUN(4)

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    (q->bits == 2 ? run_2 : q->bits == 3 ? run_3 : run_4)(q, panel, act, stride, k, cols, out, out_stride);
}

LB_ROWS32_PANEL(act_prepare, act_bytes, "trellis/i16")

const lb_kernel lb_kernel_gemm_trellis_avx512 = {
    .name = "gemm.trellis.avx512",
    .about = "panels of 32 rows; activations take the signs and the transform, and are int16 with a scale for each "
             "128; states by vpmultishiftqb, hashed by products of 16 bits; vpdpwssd, which has the rate of vdpbf16ps",
    .format = "trellis",
    LB_ROWS32_KERNEL,
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_VNNI | LB_ISA_AVX512_VBMI,
    .act = LB_ACT_F32,
    .acc = LB_ACC_I32_F32,
    .compute = LB_COMPUTE_BF16,
    .tolerance = 2e-8,
    .tolerance_why = "transformed activations are rounded to int16, a step of the largest of 128 over 32767: NMSE of "
                     "about 1e-9, 1e-8 where one of them has all the weight",
};
