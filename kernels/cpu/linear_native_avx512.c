/* linear_native_avx512.c: linear over quantized weights in their files' own layout, for models that are mapped and not
 * repacked. x is prepared once; rows of weights, a few at a time, become codes and scales in L1, and meet all of x. */
#include <immintrin.h>
#include <string.h>

#include "act_q8_avx512.h"
#include "activate.h"

/* ROWS rows by TILE blocks of 256 are decoded at a time, for COLUMNS rows of x; CHUNK rows are one item of work. */
enum { ROWS = 4, TILE = 8, COLUMNS = 256, CHUNK = 64, FEW = 4 };

/* 256 weights: w = scale * code + offset. scale[i] is that of codes 4 i to 4 i + 3, offset[i] of 16 i to 16 i + 15. */
typedef struct decoded {
    uint8_t code[256];
    float scale[64], offset[16];
} decoded;

/* ---- formats ---- */

typedef void (*decode_fn)(const uint8_t *block, decoded *out);

/* Scales and offsets of eight runs of 32. */
static inline void put8(__m256 scale, __m256 offset, decoded *out) {
    __m512 s = _mm512_castps256_ps512(scale), o = _mm512_castps256_ps512(offset);
    const __m512i halves = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const __m512i pairs = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    for (int i = 0; i < 4; i++) {
        __m512i at = _mm512_add_epi32(halves, _mm512_set1_epi32(2 * i));
        _mm512_storeu_ps(out->scale + 16 * i, _mm512_permutexvar_ps(at, s));
    }
    _mm512_storeu_ps(out->offset, _mm512_permutexvar_ps(pairs, o));
}

static inline float half_at(const uint8_t *p) {
    uint16_t h;
    memcpy(&h, p, 2);
    return _cvtsh_ss(h);
}

/* Eight f16 that stand `step` bytes apart. */
static inline __m256 halves8(const uint8_t *p, size_t step) {
    uint16_t h[8];
    for (int i = 0; i < 8; i++) memcpy(h + i, p + (size_t)i * step, 2);
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)h));
}

static inline __m256i load32(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline void store32(uint8_t *p, __m256i v) { _mm256_storeu_si256((__m256i *)p, v); }
static inline __m256i low4(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
static inline __m256i high4(__m256i v) { return low4(_mm256_srli_epi16(v, 4)); }
/* Bits 2 g and 2 g + 1 of each byte, as bits 4 and 5. */
static inline __m256i bits2(__m256i v, int g) {
    v = _mm256_and_si256(_mm256_srl_epi16(v, _mm_cvtsi32_si128(2 * g)), _mm256_set1_epi8(3));
    return _mm256_slli_epi16(v, 4);
}
/* Bit j of each byte, as bit 4. */
static inline __m256i bit5(__m256i v, int j) {
    v = _mm256_and_si256(_mm256_srl_epi16(v, _mm_cvtsi32_si128(j)), _mm256_set1_epi8(1));
    return _mm256_slli_epi16(v, 4);
}

static void decode_q4_0(const uint8_t *b, decoded *out) {
    __m256 d = halves8(b, 18);
    for (int i = 0; i < 8; i++) {
        __m128i v = _mm_loadu_si128((const __m128i *)(b + 18 * i + 2));
        store32(out->code + 32 * i, low4(_mm256_set_m128i(_mm_srli_epi16(v, 4), v)));
    }
    put8(d, _mm256_mul_ps(d, _mm256_set1_ps(-8.0f)), out);
}

static void decode_q8_0(const uint8_t *b, decoded *out) {
    __m256 d = halves8(b, 34);
    for (int i = 0; i < 8; i++)
        store32(out->code + 32 * i, _mm256_xor_si256(load32(b + 34 * i + 2), _mm256_set1_epi8((char)0x80)));
    put8(d, _mm256_mul_ps(d, _mm256_set1_ps(-128.0f)), out);
}

static inline __m256 bytes8(uint32_t low, uint32_t high) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)((uint64_t)high << 32 | low))));
}

/* q4_k's and q5_k's head: d, dmin, eight scales and minima of 6 bits. */
static inline void put_scales12(const uint8_t *b, decoded *out) {
    uint32_t v[3];
    memcpy(v, b + 4, 12);
    __m256 sc = bytes8(v[0] & 0x3f3f3f3f, (v[2] & 0x0f0f0f0f) | (v[0] >> 6 & 0x03030303) << 4);
    __m256 m = bytes8(v[1] & 0x3f3f3f3f, (v[2] >> 4 & 0x0f0f0f0f) | (v[1] >> 6 & 0x03030303) << 4);
    put8(_mm256_mul_ps(_mm256_set1_ps(half_at(b)), sc), _mm256_mul_ps(_mm256_set1_ps(-half_at(b + 2)), m), out);
}

static void decode_q4_k(const uint8_t *b, decoded *out) {
    for (int c = 0; c < 4; c++) {
        __m256i v = load32(b + 16 + 32 * c);
        store32(out->code + 64 * c, low4(v));
        store32(out->code + 64 * c + 32, high4(v));
    }
    put_scales12(b, out);
}

static void decode_q5_k(const uint8_t *b, decoded *out) {
    __m256i high = load32(b + 16);
    for (int c = 0; c < 4; c++) {
        __m256i v = load32(b + 48 + 32 * c);
        store32(out->code + 64 * c, _mm256_or_si256(low4(v), bit5(high, 2 * c)));
        store32(out->code + 64 * c + 32, _mm256_or_si256(high4(v), bit5(high, 2 * c + 1)));
    }
    put_scales12(b, out);
}

static void decode_q6_k(const uint8_t *b, decoded *out) {
    for (int h = 0; h < 2; h++) {
        __m256i l0 = load32(b + 64 * h), l1 = load32(b + 64 * h + 32), u = load32(b + 128 + 32 * h);
        uint8_t *to = out->code + 128 * h;
        store32(to, _mm256_or_si256(low4(l0), bits2(u, 0)));
        store32(to + 32, _mm256_or_si256(low4(l1), bits2(u, 1)));
        store32(to + 64, _mm256_or_si256(high4(l0), bits2(u, 2)));
        store32(to + 96, _mm256_or_si256(high4(l1), bits2(u, 3)));
    }
    __m512i codes = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(b + 192)));
    __m512 s = _mm512_mul_ps(_mm512_set1_ps(half_at(b + 208)), _mm512_cvtepi32_ps(codes));
    const __m512i fours = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    for (int i = 0; i < 4; i++) {
        __m512i at = _mm512_add_epi32(fours, _mm512_set1_epi32(4 * i));
        _mm512_storeu_ps(out->scale + 16 * i, _mm512_permutexvar_ps(at, s));
    }
    _mm512_storeu_ps(out->offset, _mm512_mul_ps(s, _mm512_set1_ps(-32.0f)));
}

static const struct format { const char *name; decode_fn decode; } formats[] = {
    { "q4_0", decode_q4_0 }, { "q4_k", decode_q4_k }, { "q5_k", decode_q5_k }, { "q6_k", decode_q6_k },
    { "q8_0", decode_q8_0 },
};

static decode_fn decode_for(const lb_tensor *w) {
    for (size_t i = 0; w->quantizer && i < sizeof formats / sizeof *formats; i++)
        if (!strcmp(w->quantizer->family->name, formats[i].name)) return formats[i].decode;
    return NULL;
}

static bool supports(const lb_args *a, const char **why) {
    *why = "takes q4_0, q4_k, q5_k, q6_k, q8_0, with K a multiple of 256";
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++) {
        const lb_tensor *w = a->t[LB_LINEAR_W].items[i];
        if (!decode_for(w) || w->dims[1] % 256) return false;
    }
    return true;
}

/* ---- products ---- */

typedef struct job {
    const lb_args *a;
    const lb_act_q8_256 *x;     /* [M][K / 256] */
    int64_t m, n, blocks;
    decoded *tile;              /* [ROWS][TILE] */
    float *sums;                /* [COLUMNS][ROWS] */
} job;

/* What `count` blocks of a row give with a row of x. */
static inline float dot(const decoded *w, const lb_act_q8_256 *x, int64_t count) {
    __m512 sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < count; i++, w++, x++) {
        __m512 s16 = _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)x->sum16)));
        __m512 t = _mm512_mul_ps(s16, _mm512_loadu_ps(w->offset));
        for (int j = 0; j < 4; j++) {
            __m512i p = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_loadu_si512(w->code + 64 * j),
                                            _mm512_loadu_si512(x->q + 64 * j));
            t = _mm512_fmadd_ps(_mm512_cvtepi32_ps(p), _mm512_loadu_ps(w->scale + 16 * j), t);
        }
        sum = _mm512_fmadd_ps(t, _mm512_set1_ps(x->d), sum);
    }
    return _mm512_reduce_add_ps(sum);
}

/* Rows [r0, r0 + rows) of w, columns `at` on of out, for rows [c0, c1) of x. */
static void run_rows(const job *j, const lb_tensor *w, int64_t at, int64_t r0, int rows, int64_t c0, int64_t c1) {
    const lb_quantizer *q = w->quantizer;
    decode_fn decode = decode_for(w);
    size_t block = q->size_bytes(q, 1, 256), row = block * (size_t)j->blocks;
    const uint8_t *from = (const uint8_t *)lb_tensor_data(w) + (size_t)r0 * row;
    const lb_tensor *bias = lb_arg(j->a, LB_LINEAR_BIAS);
    memset(j->sums, 0, (size_t)((c1 - c0) * ROWS) * sizeof *j->sums);
    for (int64_t b = 0; b < j->blocks; b += TILE) {
        int64_t count = j->blocks - b < TILE ? j->blocks - b : TILE;
        for (int r = 0; r < rows; r++)
            for (int64_t i = 0; i < count; i++)
                decode(from + (size_t)r * row + (size_t)(b + i) * block, j->tile + r * TILE + i);
        for (int64_t c = c0; c < c1; c++)
            for (int r = 0; r < rows; r++)
                j->sums[(c - c0) * ROWS + r] += dot(j->tile + r * TILE, j->x + c * j->blocks + b, count);
    }
    for (int64_t c = c0; c < c1; c++) {
        float *s = j->sums + (c - c0) * ROWS;
        for (int r = 0; r < rows && bias; r++) s[r] += lb_tensor_f32(bias)[at + r0 + r];
        activate((int)j->a->p[LB_LINEAR_P_ACTIVATION], 0.01f, s, rows,
                 (float *)lb_tensor_data(lb_arg(j->a, LB_LINEAR_OUT)) + c * j->n + at + r0);
    }
}

static int64_t chunks_of(const lb_tensor *w) { return (w->dims[0] + CHUNK - 1) / CHUNK; }

static void run_item(const job *j, int64_t item) {
    const lb_operand *list = &j->a->t[LB_LINEAR_W];
    int64_t at = 0;
    for (int32_t i = 0; i < list->count; i++) {
        const lb_tensor *w = list->items[i];
        if (item >= chunks_of(w)) {
            item -= chunks_of(w);
            at += w->dims[0];
            continue;
        }
        int64_t end = item * CHUNK + CHUNK < w->dims[0] ? item * CHUNK + CHUNK : w->dims[0];
        for (int64_t c = 0; c < j->m; c += COLUMNS) {
            int64_t last = c + COLUMNS < j->m ? c + COLUMNS : j->m;
            for (int64_t r = item * CHUNK; r < end; r += ROWS)
                run_rows(j, w, at, r, (int)(end - r < ROWS ? end - r : ROWS), c, last);
        }
        return;
    }
}

/* ---- launch ---- */

/* Few rows: every part prepares its own copy of x, cheaper than a barrier. */
static bool few(const lb_args *a) { return lb_arg(a, LB_LINEAR_X)->dims[0] <= FEW; }
static int phases(const lb_args *a) { return few(a) ? 1 : 2; }

static size_t x_bytes(const lb_args *a) {
    const lb_tensor *x = lb_arg(a, LB_LINEAR_X);
    return (size_t)(x->dims[0] * (x->dims[1] / 256)) * sizeof(lb_act_q8_256);
}

enum { SPACE = (int)(ROWS * TILE * sizeof(decoded) + ROWS * COLUMNS * sizeof(float)) };

static size_t workspace_bytes(const lb_args *a, int parts) {
    return x_bytes(a) * (size_t)(few(a) ? parts : 1) + (size_t)SPACE * (size_t)parts;
}

static void prepare(const lb_args *a, char *to, int64_t begin, int64_t end) {
    const lb_tensor *x = lb_arg(a, LB_LINEAR_X);
    int64_t k = x->dims[1];
    for (int64_t r = begin; r < end; r++)
        lb_act_q8_256_prepare(NULL, lb_tensor_f32(x) + r * k, k,
                              to + (size_t)(r * (k / 256)) * sizeof(lb_act_q8_256));
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_LINEAR_X);
    int64_t items = 0, begin, end;
    char *space = (char *)l->workspace + (size_t)SPACE * (size_t)l->part;
    char *rows = (char *)l->workspace + (size_t)SPACE * (size_t)l->parts;
    if (x->dims[0] == 0) return;
    if (few(a)) rows += x_bytes(a) * (size_t)l->part;
    job j = { .a = a, .x = (const lb_act_q8_256 *)(const void *)rows, .m = x->dims[0],
              .n = lb_arg(a, LB_LINEAR_OUT)->dims[1], .blocks = x->dims[1] / 256, .tile = (decoded *)(void *)space,
              .sums = (float *)(void *)(space + ROWS * TILE * sizeof(decoded)) };
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++) items += chunks_of(a->t[LB_LINEAR_W].items[i]);
    if (few(a)) {
        lb_split(items, 1, l->part, l->parts, &begin, &end);
        if (begin < end) prepare(a, rows, 0, j.m);
        for (int64_t i = begin; i < end; i++) run_item(&j, i);
    } else if (l->phase == 0) {
        my_rows(l, j.m, &begin, &end);
        prepare(a, rows, begin, end);
    } else {
        for (;;) {
            int64_t i = atomic_fetch_add_explicit(l->ticket, 1, memory_order_relaxed);
            if (i >= items) return;
            run_item(&j, i);
        }
    }
}

const lb_kernel lb_kernel_linear_native_avx512 = {
    .name = "linear.native.avx512", .op = "linear", .device = "cpu",
    .about = "weights in their files' own layout: 4 rows by 2048 columns at a time become codes and scales in L1, and"
             " meet all rows of x by vpdpbusd; scales in f32",
    .source = "luabench", .isa = LB_ISA_AVX512 | LB_ISA_AVX512_VNNI, .format = "any", .act = LB_ACT_Q8_256,
    .acc = LB_ACC_I32_F32, .compute = LB_COMPUTE_INT8, .tolerance = 1e-9,
    .tolerance_why = "f32 sums over blocks of 256, scales times codes rounded to f32, an activation within 2e-7",
    .priority = ISA_PRIORITY + 5, .supports = supports, .phases = phases, .workspace_bytes = workspace_bytes,
    .launch = launch,
};
