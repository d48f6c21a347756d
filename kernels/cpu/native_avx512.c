/* native_avx512.c: products of rows of quantized weights, as files have them, with up to four rows of activations.
 *
 * A block of 256 weights becomes 256 codes in four registers, in the order of the activations, and what they are scaled
 * by; nothing is written back. Rows follow one another in memory, so that a panel is one stream. What comes out for a
 * row of activations is the same bits however many there are. */
#include "native_avx512.h"

#include <immintrin.h>
#include <string.h>

#include "act_q8_avx512.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 4")

enum { ROWS = LB_NATIVE_ROWS, COLS = 4, AHEAD = 4096 };

/* ---- pieces ---- */

INLINE __m512i load64(const uint8_t *p) { return _mm512_loadu_si512(p); }
INLINE __m512i both(const uint8_t *p) { return _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)p)); }
INLINE __m512i bytes(int b) { return _mm512_set1_epi8((char)b); }
INLINE __m512i halves(int low, int high) {
    return _mm512_inserti64x4(_mm512_set1_epi16((short)low), _mm256_set1_epi16((short)high), 1);
}

INLINE float f16_at(const uint8_t *p) {
    uint16_t h;
    memcpy(&h, p, 2);
    return _cvtsh_ss(h);
}

INLINE uint32_t u32_at(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

INLINE __m128i pair64(uint32_t low, uint32_t high) {
    return _mm_cvtsi64_si128((int64_t)((uint64_t)high << 32 | low));
}

/* 64 codes of 32 bytes: low nibbles, then high ones. */
INLINE __m512i nibbles(const uint8_t *p) {
    return _mm512_and_si512(_mm512_srlv_epi16(both(p), halves(0, 4)), bytes(15));
}

/* Which of 64 codes have the bit: `low` of the 32 bytes at p for the first 32, `high` for the others. */
INLINE __mmask64 bits(__m512i v, int low, int high) {
    const __m512i at = _mm512_inserti64x4(_mm512_set1_epi8((char)(1 << low)), _mm256_set1_epi8((char)(1 << high)), 1);
    return _mm512_test_epi8_mask(v, at);
}

/* ---- formats whose runs of 32 or 16 have integers for scales ---- */

/* 256 weights: d * scale * code - dm * min. scale[i]: 16 bits for each two codes; min: for each run of 16, or of 32 and
 * then 0. */
typedef struct scaled { __m512i code[4], scale[4]; __m256i min; __m512 d, dm; } scaled;

/* Eight scales of runs of 32, 16 bits each. */
INLINE void spread8(__m128i v, scaled *w) {
    const __m512i at = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(1), 1);
    UNROLL for (int i = 0; i < 4; i++)
        w->scale[i] = _mm512_permutexvar_epi16(_mm512_add_epi16(at, _mm512_set1_epi16((short)(2 * i))),
                                               _mm512_castsi128_si512(v));
}

/* Sixteen of runs of 16. */
INLINE void spread16(__m256i v, scaled *w) {
    const __m512i at = _mm512_set_epi64(0x0003000300030003, 0x0003000300030003, 0x0002000200020002, 0x0002000200020002,
                                        0x0001000100010001, 0x0001000100010001, 0, 0);
    UNROLL for (int i = 0; i < 4; i++)
        w->scale[i] = _mm512_permutexvar_epi16(_mm512_add_epi16(at, _mm512_set1_epi16((short)(4 * i))),
                                               _mm512_castsi256_si512(v));
}

INLINE __m512 dot_scaled(const scaled *w, const lb_act_q8_256 *x, const bool wide, __m512 acc) {
    __m512i sum = _mm512_setzero_si512();
    UNROLL for (int i = 0; i < 4; i++)
        sum = _mm512_dpwssd_epi32(sum, _mm512_maddubs_epi16(w->code[i], _mm512_loadu_si512(x->q + 64 * i)),
                                  w->scale[i]);
    __m256i s = wide ? _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *)x->sum32))
                     : _mm256_loadu_si256((const __m256i *)x->sum16);
    __m512 m = _mm512_zextps256_ps512(_mm256_cvtepi32_ps(_mm256_madd_epi16(w->min, s)));
    __m512 t = _mm512_fnmadd_ps(m, w->dm, _mm512_mul_ps(_mm512_cvtepi32_ps(sum), w->d));
    return _mm512_fmadd_ps(t, _mm512_set1_ps(x->d), acc);
}

/* d and dmin, two f16 at p. */
INLINE void open_d(const uint8_t *p, scaled *w) {
    __m128 v = _mm_cvtph_ps(_mm_cvtsi32_si128((int)u32_at(p)));
    w->d = _mm512_broadcastss_ps(v);
    w->dm = _mm512_broadcastss_ps(_mm_movehdup_ps(v));
}

/* q4_k's and q5_k's head: d, dmin, eight scales and minima of 6 bits. */
INLINE void open_scales12(const uint8_t *b, scaled *w) {
    uint32_t v0 = u32_at(b + 4), v1 = u32_at(b + 8), v2 = u32_at(b + 12);
    __m128i sc = pair64(v0 & 0x3f3f3f3f, (v2 & 0x0f0f0f0f) | (v0 >> 6 & 0x03030303) << 4);
    __m128i m = pair64(v1 & 0x3f3f3f3f, (v2 >> 4 & 0x0f0f0f0f) | (v1 >> 6 & 0x03030303) << 4);
    spread8(_mm_cvtepu8_epi16(sc), w);
    w->min = _mm256_cvtepu8_epi16(m);
    open_d(b, w);
}

INLINE void open_q4_k(const uint8_t *b, scaled *w) {
    UNROLL for (int i = 0; i < 4; i++) w->code[i] = nibbles(b + 16 + 32 * i);
    open_scales12(b, w);
}

INLINE void open_q5_k(const uint8_t *b, scaled *w) {
    __m512i high = both(b + 16);
    UNROLL for (int i = 0; i < 4; i++) {
        __m512i low = nibbles(b + 48 + 32 * i);
        w->code[i] = _mm512_mask_add_epi8(low, bits(high, 2 * i, 2 * i + 1), low, bytes(16));
    }
    open_scales12(b, w);
}

/* The two codes of 2 bits of 32 bytes at p that stand at bits 4 h and 4 h + 2, moved to bit `to`. */
INLINE __m512i twos(const uint8_t *p, int h, int to) {
    const __m512i by = _mm512_inserti64x4(_mm512_set1_epi32((32 + to - 4 * h) % 32),
                                          _mm256_set1_epi32((32 + to - 4 * h - 2) % 32), 1);
    return _mm512_rolv_epi32(both(p), by);
}

INLINE void open_q6_k(const uint8_t *b, scaled *w) {
    UNROLL for (int i = 0; i < 4; i++) {
        __m512i low = load64(b + 64 * (i / 2));
        if (i % 2) low = _mm512_srli_epi16(low, 4);
        __m512i high = _mm512_and_si512(twos(b + 128 + 32 * (i / 2), i % 2, 4), bytes(0x30));
        w->code[i] = _mm512_ternarylogic_epi32(low, high, bytes(15), 0xec); /* (low & 15) | high */
    }
    w->min = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(b + 192)));
    spread16(w->min, w);
    w->d = _mm512_set1_ps(f16_at(b + 208));
    w->dm = _mm512_mul_ps(w->d, _mm512_set1_ps(32.0f));
}

INLINE void open_q2_k(const uint8_t *b, scaled *w) {
    UNROLL for (int i = 0; i < 4; i++)
        w->code[i] = _mm512_and_si512(twos(b + 16 + 32 * (i / 2), i % 2, 0), bytes(3));
    __m256i v = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)b));
    w->min = _mm256_srli_epi16(v, 4);
    spread16(_mm256_and_si256(v, _mm256_set1_epi16(15)), w);
    open_d(b + 80, w);
}

INLINE void open_q3_k(const uint8_t *b, scaled *w) {
    __m512i high = both(b);
    UNROLL for (int i = 0; i < 4; i++) {
        __m512i low = _mm512_and_si512(twos(b + 32 + 32 * (i / 2), i % 2, 0), bytes(3));
        w->code[i] = _mm512_mask_add_epi8(low, bits(high, 2 * i, 2 * i + 1), low, bytes(4));
    }
    uint32_t v0 = u32_at(b + 96), v1 = u32_at(b + 100), v2 = u32_at(b + 104), f = 0x0f0f0f0f, t = 0x03030303;
    __m128i low = pair64((v0 & f) | (v2 & t) << 4, (v1 & f) | (v2 >> 2 & t) << 4);
    __m128i up = pair64((v0 >> 4 & f) | (v2 >> 4 & t) << 4, (v1 >> 4 & f) | (v2 >> 6 & t) << 4);
    w->min = _mm256_sub_epi16(_mm256_cvtepu8_epi16(_mm_unpacklo_epi64(low, up)), _mm256_set1_epi16(32));
    spread16(w->min, w);
    w->d = _mm512_set1_ps(f16_at(b + 108));
    w->dm = _mm512_mul_ps(w->d, _mm512_set1_ps(4.0f));
}

/* ---- formats whose runs of 32 have floats for scales ---- */

/* 256 weights: scale * code + offset. scale[i]: those of codes 64 i on; offset: of each run of 32. */
typedef struct floats { __m512i code[4]; __m512 scale[4]; __m256 offset; } floats;

INLINE void spread_floats(__m256 v, __m256 offset, floats *w) {
    const __m512i at = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi32(1), 1);
    UNROLL for (int i = 0; i < 4; i++)
        w->scale[i] = _mm512_permutexvar_ps(_mm512_add_epi32(at, _mm512_set1_epi32(2 * i)), _mm512_castps256_ps512(v));
    w->offset = offset;
}

INLINE __m512 dot_floats(const floats *w, const lb_act_q8_256 *x, const bool wide, __m512 acc) {
    (void)wide;
    __m256 s = _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)x->sum32)));
    __m512 t = _mm512_zextps256_ps512(_mm256_mul_ps(s, w->offset));
    UNROLL for (int i = 0; i < 4; i++) {
        __m512i p = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w->code[i], _mm512_loadu_si512(x->q + 64 * i));
        t = _mm512_fmadd_ps(_mm512_cvtepi32_ps(p), w->scale[i], t);
    }
    return _mm512_fmadd_ps(t, _mm512_set1_ps(x->d), acc);
}

/* Two times 16 bytes of nibbles, `step` bytes apart, as 64 codes: each one's low nibbles, then its high ones. */
INLINE __m512i nibbles16(const uint8_t *p, size_t step) {
    __m256i v = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)p)),
                                        _mm_loadu_si128((const __m128i *)(p + step)), 1);
    const __m512i by = _mm512_set_epi64(0x0004000400040004, 0x0004000400040004, 0, 0, 0x0004000400040004,
                                        0x0004000400040004, 0, 0);
    __m512i d = _mm512_permutexvar_epi64(_mm512_set_epi64(3, 2, 3, 2, 1, 0, 1, 0), _mm512_castsi256_si512(v));
    return _mm512_and_si512(_mm512_srlv_epi16(d, by), bytes(15));
}

/* Eight f16, `step` bytes apart. */
INLINE __m256 f16x8(const uint8_t *p, const size_t step) {
    uint16_t h[8];
    UNROLL for (int i = 0; i < 8; i++) memcpy(h + i, p + (size_t)i * step, 2);
    return _mm256_cvtph_ps(_mm_setr_epi16((short)h[0], (short)h[1], (short)h[2], (short)h[3], (short)h[4], (short)h[5],
                                          (short)h[6], (short)h[7]));
}

/* The eight f16 at words 0, 9, .., 63 of 128 bytes. */
INLINE __m256 f16_every18(const uint8_t *b) {
    const __m512i at = _mm512_castsi128_si512(_mm_setr_epi16(0, 9, 18, 27, 36, 45, 54, 63));
    return _mm256_cvtph_ps(_mm512_castsi512_si128(_mm512_permutex2var_epi16(load64(b), at, load64(b + 64))));
}

/* 64 codes from blocks 2 i and 2 i + 1 of eight of 18 bytes, where 16 of nibbles follow a scale. What is loaded ends
 * with the eighth block. */
INLINE __m512i nibbles18(const uint8_t *b, const int i) {
    const __m512i by = _mm512_set_epi64(0x0004000400040004, 0x0004000400040004, 0, 0, 0x0004000400040004,
                                        0x0004000400040004, 0, 0);
    const __m512i word = _mm512_set_epi64(0x00110010000f000e, 0x000d000c000b000a, 0x00110010000f000e,
                                          0x000d000c000b000a, 0x0008000700060005, 0x0004000300020001,
                                          0x0008000700060005, 0x0004000300020001);
    const __m512i at = _mm512_add_epi16(word, _mm512_set1_epi16(i == 3 ? 14 : 0));
    __m512i v = _mm512_permutexvar_epi16(at, load64(b + (i == 3 ? 80 : 36 * i)));
    return _mm512_and_si512(_mm512_srlv_epi16(v, by), bytes(15));
}

INLINE void open_q4_0(const uint8_t *b, floats *w) {
    UNROLL for (int i = 0; i < 4; i++) w->code[i] = nibbles18(b, i);
    __m256 d = f16_every18(b);
    spread_floats(d, _mm256_mul_ps(d, _mm256_set1_ps(-8.0f)), w);
}

INLINE void open_q8_0(const uint8_t *b, floats *w) {
    UNROLL for (int i = 0; i < 4; i++) {
        __m512i v = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(b + 68 * i + 2)));
        v = _mm512_inserti64x4(v, _mm256_loadu_si256((const __m256i *)(b + 68 * i + 36)), 1);
        w->code[i] = _mm512_xor_si512(v, bytes(0x80));
    }
    __m256 d = f16x8(b, 34);
    spread_floats(d, _mm256_mul_ps(d, _mm256_set1_ps(-128.0f)), w);
}

INLINE void open_q4_1(const uint8_t *b, floats *w) {
    UNROLL for (int i = 0; i < 4; i++) w->code[i] = nibbles16(b + 40 * i + 4, 20);
    spread_floats(f16x8(b, 20), f16x8(b + 2, 20), w);
}

/* Codes of 5 bits whose fifths stand in the four bytes before 16 of nibbles. */
INLINE void fives(const uint8_t *b, size_t step, floats *w) {
    UNROLL for (int i = 0; i < 4; i++) {
        const uint8_t *p = b + 2 * step * (size_t)i;
        __mmask64 high = (__mmask64)((uint64_t)u32_at(p + step) << 32 | u32_at(p));
        __m512i low = nibbles16(p + 4, step);
        w->code[i] = _mm512_mask_add_epi8(low, high, low, bytes(16));
    }
}

INLINE void open_q5_0(const uint8_t *b, floats *w) {
    fives(b + 2, 22, w);
    __m256 d = f16x8(b, 22);
    spread_floats(d, _mm256_mul_ps(d, _mm256_set1_ps(-16.0f)), w);
}

INLINE void open_q5_1(const uint8_t *b, floats *w) {
    fives(b + 4, 24, w);
    spread_floats(f16x8(b, 24), f16x8(b + 2, 24), w);
}

/* iq4_nl's levels + 128. */
INLINE __m512i levels(__m512i codes) {
    const __m128i t = _mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118, (char)129, (char)141, (char)153, (char)166,
                                    (char)181, (char)197, (char)217, (char)241);
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(t), codes);
}

INLINE void open_iq4_nl(const uint8_t *b, floats *w) {
    UNROLL for (int i = 0; i < 4; i++) w->code[i] = levels(nibbles18(b, i));
    __m256 d = f16_every18(b);
    spread_floats(d, _mm256_mul_ps(d, _mm256_set1_ps(-128.0f)), w);
}

INLINE void open_iq4_xs(const uint8_t *b, floats *w) {
    UNROLL for (int i = 0; i < 4; i++) w->code[i] = levels(nibbles16(b + 8 + 32 * i, 16));
    const __m256i twice = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    const __m256i four = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    __m256i low = _mm256_srlv_epi32(_mm256_set1_epi32((int)u32_at(b + 4)), four);
    __m256i high = _mm256_srlv_epi32(_mm256_set1_epi32((int)(u32_at(b) >> 16)), twice);
    low = _mm256_and_si256(low, _mm256_set1_epi32(15));
    high = _mm256_slli_epi32(_mm256_and_si256(high, _mm256_set1_epi32(3)), 4);
    __m256 s = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_or_si256(low, high), _mm256_set1_epi32(32)));
    s = _mm256_mul_ps(s, _mm256_set1_ps(f16_at(b)));
    spread_floats(s, _mm256_mul_ps(s, _mm256_set1_ps(-128.0f)), w);
}

/* ---- rows ---- */

INLINE const lb_act_q8_256 *act_of(const void *act, size_t stride, int c) {
    return (const lb_act_q8_256 *)((const char *)act + (size_t)c * stride);
}

/* run_FORMAT: a panel of BYTES a block; kind and wide as dot_KIND has them. */
#define FORMAT(name, kind, wide, BYTES)                                                                              \
    INLINE void rows_##name(const uint8_t *w, const void *act, size_t stride, int64_t blocks, float *out,            \
                            int64_t out_stride, const int cols) {                                                    \
        for (int r = 0; r < ROWS; r++) {                                                                             \
            __m512 acc[COLS];                                                                                        \
            UNROLL for (int c = 0; c < cols; c++) acc[c] = _mm512_setzero_ps();                                      \
            for (int64_t b = 0; b < blocks; b++, w += BYTES) {                                                       \
                kind block;                                                                                          \
                for (int i = 0; i < BYTES; i += 64) _mm_prefetch((const char *)w + AHEAD + i, _MM_HINT_T0);          \
                open_##name(w, &block);                                                                              \
                UNROLL for (int c = 0; c < cols; c++)                                                                \
                    acc[c] = dot_##kind(&block, act_of(act, stride, c) + b, wide, acc[c]);                           \
            }                                                                                                        \
            UNROLL for (int c = 0; c < cols; c++) out[c * out_stride + r] = _mm512_reduce_add_ps(acc[c]);            \
        }                                                                                                            \
    }                                                                                                                \
    static void run_##name(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k,      \
                           int cols, float *out, int64_t out_stride) {                                               \
        (void)q;                                                                                                     \
        for (; cols >= COLS; cols -= COLS, out += COLS * out_stride) {                                               \
            rows_##name(panel, act, stride, k / 256, out, out_stride, COLS);                                         \
            act = act_of(act, stride, COLS);                                                                         \
        }                                                                                                            \
        if (cols == 1) rows_##name(panel, act, stride, k / 256, out, out_stride, 1);                                 \
        if (cols == 2) rows_##name(panel, act, stride, k / 256, out, out_stride, 2);                                 \
        if (cols == 3) rows_##name(panel, act, stride, k / 256, out, out_stride, 3);                                 \
    }
FORMAT(q2_k, scaled, false, 84)
FORMAT(q3_k, scaled, false, 110)
FORMAT(q4_k, scaled, true, 144)
FORMAT(q5_k, scaled, true, 176)
FORMAT(q6_k, scaled, false, 210)
FORMAT(q4_0, floats, false, 144)
FORMAT(q4_1, floats, false, 160)
FORMAT(q5_0, floats, false, 176)
FORMAT(q5_1, floats, false, 192)
FORMAT(q8_0, floats, false, 272)
FORMAT(iq4_nl, floats, false, 144)
FORMAT(iq4_xs, floats, false, 136)

static size_t panel_bytes(const lb_quantizer *q, int64_t k) { return q->size_bytes(q, ROWS, k); }

#define PANEL(n)                                                                                                     \
    { #n, { .rows = ROWS, .max_cols = LB_PANEL_MAX_COLS, .run = run_##n, .panel_bytes = panel_bytes,                 \
            .act_prepare = lb_act_q8_256_prepare, .act_bytes = lb_act_q8_256_bytes, .act_kind = LB_ACT_KIND_Q8_256 } }
static const struct { const char *name; lb_panel panel; } formats[] = {
    PANEL(iq4_nl), PANEL(iq4_xs), PANEL(q2_k), PANEL(q3_k), PANEL(q4_0), PANEL(q4_1), PANEL(q4_k), PANEL(q5_0),
    PANEL(q5_1), PANEL(q5_k), PANEL(q6_k), PANEL(q8_0),
};

const lb_panel *lb_native_panel_for(const lb_quantizer *q) {
    for (size_t i = 0; q && i < sizeof formats / sizeof *formats; i++)
        if (!strcmp(q->family->name, formats[i].name)) return &formats[i].panel;
    return NULL;
}

const lb_panel *lb_native_panel_of(const lb_tensor *w, const char **why) {
    const lb_panel *p = w->layout ? NULL : lb_native_panel_for(w->quantizer);
    *why = "reads the blocks of GGUF's formats, but for mxfp4, as files have them";
    if (!p) return NULL;
    *why = "wants 32 rows of weights at least, and K a multiple of 256";
    return w->dims[w->rank - 1] % 256 == 0 && w->dims[w->rank - 2] >= ROWS ? p : NULL;
}
