/* attention_int8_flash_avx512.c: attention by tiles over packed caches (q8_0, q4_0): scores by vpdpbusd on the codes
 * as they are stored, values by vpdpwssd; the template of flash.h.
 *
 * q becomes int8 in blocks of 32 (LB_ACT_Q8_32). A block of keys gives an exact integer that is scaled by the block's
 * two factors. The factor of a block of values goes into the probabilities that meet it; those of 64 positions become
 * int16, relative to the row's largest probability and the positions' largest factor, and their sums with the codes are
 * exact. */

/* Codes, a factor a block, and what the keys' shift to unsigned takes off: minus the sum of the codes. */
#define Q_BYTES(d) ((size_t)(d) + (size_t)BLOCKS(d) * 8)
/* Four neighbouring codes of a position are a 32-bit element: [dim / 4][64 positions]; then the factors [block][64]. */
#define KEY_BYTES(d) ((size_t)((d) + 63) / 64 * 64 * 64 + (size_t)BLOCKS(d) * 64 * 4)
/* Pairs of positions: [32][vpad]; the factors, as parts of FULL of the largest [block][64]; the largest [block]. */
#define VALUE_BYTES(v) ((size_t)(v) * 64 * 2 + (size_t)BLOCKS(v) * 64 * 4 + (size_t)BLOCKS(v) * 4)
#include "attention_int8.h"
#include "attention_tables.h"
#include "transpose16.h"

enum { NR = 2 };

/* ---- packing ---- */

static void pack_row(const float *x, int64_t dim, void *out) {
    int8_t *codes = out;
    float *d = (float *)(void *)((char *)out + dim);
    int32_t *less = (int32_t *)(void *)(d + BLOCKS(dim));
    float scales[DIM_MOST / SPAN];
    lb_act_quantize_row(LB_ACT_Q8_32, x, dim, codes, scales);
    memcpy(d, scales, (size_t)BLOCKS(dim) * sizeof *d);
    for (int64_t b = 0; b < BLOCKS(dim); b++) {
        less[b] = 0;
        for (int i = 0; i < SPAN; i++) less[b] -= codes[b * SPAN + i];
    }
}

/* Factors of all blocks of 64 rows: [block][64]. First all that the rows hold, in the upper half of its place: what was
 * just stored in small pieces cannot be loaded at once. */
static void pack_factors(int packed, const char *const *row, int64_t blocks, float *out) {
    int64_t bytes = lb_packed_bytes(packed), b = 0;
    uint16_t *half = (uint16_t *)(void *)(out + blocks * BLOCK / 2);
    for (; b + 4 <= blocks; b += 4)
        for (int i = 0; i < BLOCK; i++)
            UNROLL for (int j = 0; j < 4; j++) memcpy(half + (b + j) * BLOCK + i, row[i] + (b + j) * bytes, 2);
    for (; b < blocks; b++)
        for (int i = 0; i < BLOCK; i++) memcpy(half + b * BLOCK + i, row[i] + b * bytes, 2);
    for (int64_t i = 0; i < blocks * BLOCK; i += 16) /* never ahead of what is still to be read */
        _mm512_storeu_ps(out + i, number_or_nan(_mm512_cvtph_ps(_mm256_loadu_si256((const void *)(half + i)))));
}

/* Codes of q8_0 are shifted to unsigned by 128; those of q4_0 are unsigned already, shifted by 8. */
static inline __attribute__((always_inline)) void keys_of(int packed, const char *const *row, int64_t blocks,
                                                          uint32_t *k) {
    const __m512i flip = _mm512_set1_epi8(packed == LB_PACKED_Q8_0 ? (char)0x80 : 0);
    int64_t bytes = packed == LB_PACKED_Q8_0 ? 34 : 18;
    for (int64_t b = 0; b < blocks; b += 2)
        for (int i = 0; i < BLOCK; i += 16) {
            __m512i r[16];
            UNROLL for (int j = 0; j < 16; j++) {
                const char *p = row[i + j] + b * bytes;
                __m256i second = b + 1 < blocks ? load_codes(packed, p + bytes) : _mm256_setzero_si256();
                r[j] = _mm512_inserti64x4(_mm512_castsi256_si512(load_codes(packed, p)), second, 1);
            }
            transpose16(r);
            UNROLL for (int j = 0; j < 16; j++)
                _mm512_store_si512(k + (b * SPAN / 4 + j) * BLOCK + i, _mm512_xor_si512(r[j], flip));
        }
}

static float *key_factors(const task *t, const void *k) {
    return (float *)(void *)((char *)(uintptr_t)k + (size_t)(t->dim + 63) / 64 * 64 * 64);
}
static float *value_factors(const task *t, const void *v) { return (float *)(void *)((char *)(uintptr_t)v +
    (size_t)t->vpad * 64 * 2); }

static void pack_keys(const task *t, const char *const *row, void *out) {
    if (t->k.packed == LB_PACKED_Q8_0) keys_of(LB_PACKED_Q8_0, row, BLOCKS(t->dim), out);
    else keys_of(LB_PACKED_Q4_0, row, BLOCKS(t->dim), out);
    pack_factors(t->k.packed, row, BLOCKS(t->dim), key_factors(t, out));
}

/* 32 codes as int16. */
static inline __attribute__((always_inline)) __m512i codes_i16(int packed, const char *block) {
    __m256i codes = load_codes(packed, block);
    if (packed == LB_PACKED_Q4_0) codes = _mm256_sub_epi8(codes, _mm256_set1_epi8(8));
    return _mm512_cvtepi8_epi16(codes);
}

static inline __attribute__((always_inline)) void values_of(int packed, const char *const *row, int64_t vpad,
                                                            uint32_t *v) {
    const __m512i first = _mm512_load_si512(lb_pairs_q8_0.words[0]);
    const __m512i second = _mm512_load_si512(lb_pairs_q8_0.words[1]);
    int64_t bytes = packed == LB_PACKED_Q8_0 ? 34 : 18;
    for (int i = 0; i < BLOCK; i += 2, v += vpad) {
        const char *a = row[i], *b = row[i + 1];
        for (int64_t d = 0; d < vpad; d += SPAN, a += bytes, b += bytes) {
            __m512i x = codes_i16(packed, a), y = codes_i16(packed, b);
            _mm512_store_si512(v + d, _mm512_permutex2var_epi16(x, first, y));
            _mm512_store_si512(v + d + 16, _mm512_permutex2var_epi16(x, second, y));
        }
    }
}

static void pack_values(const task *t, const char *const *row, void *out) {
    if (t->v.packed == LB_PACKED_Q8_0) values_of(LB_PACKED_Q8_0, row, t->vpad, out);
    else values_of(LB_PACKED_Q4_0, row, t->vpad, out);
    float *f = value_factors(t, out);
    pack_factors(t->v.packed, row, BLOCKS(t->vpad), f);
    relative_factors(f, BLOCKS(t->vpad), f + BLOCKS(t->vpad) * BLOCK);
}

/* ---- products ---- */

/* Of NR times 16 positions from k, factors and s on. */
static inline __attribute__((always_inline)) void score_tile(const char *q, const uint32_t *k, const float *factors,
                                                             int64_t dim, int shift, int rows, float *s, soon next) {
    size_t row_bytes = Q_BYTES(dim);
    for (int64_t b = 0; b < BLOCKS(dim); b++) {
        __m512i acc[MR][NR];
        UNROLL for (int r = 0; r < rows; r++) {
            int32_t less;
            memcpy(&less, q + (size_t)r * row_bytes + (size_t)dim + (size_t)(BLOCKS(dim) + b) * 4, 4);
            UNROLL for (int j = 0; j < NR; j++) acc[r][j] = _mm512_set1_epi32(shift * less);
        }
        UNROLL for (int i = 0; i < SPAN / 4; i++) {
            __m512i c[NR];
            ask(&next);
            UNROLL for (int j = 0; j < NR; j++) c[j] = _mm512_load_si512(k + (b * SPAN / 4 + i) * BLOCK + j * 16);
            UNROLL for (int r = 0; r < rows; r++) {
                __m512i x = spread(q + (size_t)r * row_bytes + (size_t)(b * SPAN + i * 4));
                UNROLL for (int j = 0; j < NR; j++) acc[r][j] = dot4(acc[r][j], c[j], x);
            }
        }
        UNROLL for (int r = 0; r < rows; r++) {
            float factor;
            memcpy(&factor, q + (size_t)r * row_bytes + (size_t)dim + (size_t)b * 4, 4);
            UNROLL for (int j = 0; j < NR; j++) {
                float *to = s + r * BLOCK + j * 16;
                __m512 f = _mm512_mul_ps(_mm512_loadu_ps(factors + b * BLOCK + j * 16), _mm512_set1_ps(factor));
                __m512 before = b ? _mm512_load_ps(to) : _mm512_setzero_ps();
                _mm512_store_ps(to, _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[r][j]), f, before));
            }
        }
    }
}

/* One block of values: v has the pairs of its column block. p: [row][block][32 pairs]; the sums are in units of
 * `unit`[row]. */
static inline __attribute__((always_inline)) void value_tile(const uint32_t *p, const uint32_t *v, int64_t vpad,
                                                             int rows, const float *factor, const float *unit,
                                                             float *out, soon next) {
    int64_t stride = BLOCKS(vpad) * BLOCK / 2;
    __m512i acc[MR][NR];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int j = 0; j < NR; j++) acc[r][j] = _mm512_setzero_si512();
    for (int s = 0; s < BLOCK / 2; s++) {
        __m512i b[NR];
        ask(&next);
        UNROLL for (int j = 0; j < NR; j++) b[j] = _mm512_load_si512(v + s * vpad + j * 16);
        UNROLL for (int r = 0; r < rows; r++) {
            __m512i x = spread(p + r * stride + s);
            UNROLL for (int j = 0; j < NR; j++) acc[r][j] = dot2(acc[r][j], b[j], x);
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int j = 0; j < NR; j++) {
            float *to = out + r * vpad + j * 16;
            __m512 before = _mm512_mul_ps(_mm512_load_ps(to), _mm512_set1_ps(factor[r]));
            _mm512_store_ps(to, _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[r][j]), _mm512_set1_ps(unit[r]), before));
        }
}

static void scores(const task *t, const char *q, const char *kc, int rows, float *s, ahead *h) {
    const uint32_t *k = (const void *)kc;
    const float *f = key_factors(t, kc);
    int shift = t->k.packed == LB_PACKED_Q8_0 ? 128 : 8;
    for (int i = 0; i < BLOCK; i += 16 * NR) {
        soon next = soon_of(h ? (const char *const *)h->row : NULL, row_bytes_of(lb_arg(t->a, LB_ATTENTION_K)),
                            i / (16 * NR), BLOCK / (16 * NR), t->dim / 4);
#define CALL(n) score_tile(q, k + i, f + i, t->dim, shift, n, s + i, next)
        BY_ROWS(rows, CALL)
#undef CALL
    }
}

static void weigh(const task *t, const float *p, const char *vc, char *scratch, const float *factor, int rows,
                  float *out, ahead *h) {
    const uint32_t *v = (const void *)vc, *w = (const void *)scratch;
    int64_t vpad = t->vpad, blocks = BLOCKS(vpad);
    const float *f = value_factors(t, vc), *most = f + blocks * BLOCK;
    float tops[MR], units[MR];
    for (int r = 0; r < rows; r++)
        tops[r] = weights_i16(p + r * BLOCK, f, blocks, scratch + r * blocks * BLOCK * 2, BLOCK * 2);
    const char *const *asked = h && h->row ? (const char *const *)h->row + BLOCK : NULL;
    int64_t bytes = lb_packed_bytes(t->v.packed);
    for (int64_t b = 0; b < blocks; b++) {
        soon next = soon_of(asked, bytes * blocks, b, blocks, BLOCK / 2);
        for (int r = 0; r < rows; r++) units[r] = tops[r] * most[b];
#define CALL(n) value_tile(w + b * SPAN, v + b * SPAN, vpad, n, factor, units, out + b * SPAN, next)
        BY_ROWS(rows, CALL)
#undef CALL
    }
}

static bool supports(const lb_args *a, const char **why) {
    const lb_tensor *v = lb_arg(a, LB_ATTENTION_V), *q = lb_arg(a, LB_ATTENTION_Q);
    if (lb_arg(a, LB_ATTENTION_K)->dtype == LB_U8 && (!v || v->dtype == LB_U8) && q->dims[2] <= DIM_MOST &&
        lb_arg(a, LB_ATTENTION_OUT)->dims[2] <= DIM_MOST)
        return rows_fit(a, why);
    *why = "takes packed caches with heads of at most 4096 values";
    return false;
}

const lb_kernel lb_kernel_attention_int8_flash_avx512 = {
    .name = "attention.int8.flash_avx512", .op = "attention", .device = "cpu",
    .about = "tiles of 64 positions; keys' codes turned and multiplied as they are stored (vpdpbusd), values' codes "
             "meet probabilities of int16 (vpdpwssd), a running softmax in f32; with few rows the positions are split "
             "over the parts and added up after",
    .source = "luabench; Dao et al., FlashAttention-2 and Flash-Decoding",
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_VNNI, .act = LB_ACT_Q8_32, .acc = LB_ACC_I32_F32,
    .compute = LB_COMPUTE_INT8, .tolerance = 1e-5,
    .tolerance_why = "each probability times its value's factor is rounded to 2^-16 of the largest of 64, the "
                     "exponential to 4e-5",
    .priority = 20, .supports = supports, .phases = phases, .workspace_bytes = workspace_bytes, .launch = launch,
};
