/* trellis.c: 2, 3 or 4 bits of a bitshift trellis, as QTIP and EXL3 have it; b + 32/K bits. */
#include <math.h>
#include <pthread.h>

#include "trellis.h"

extern const lb_quantizer_family lb_quantizer_trellis;

/* Planes: tiles [N][K/256] of 256 consecutive weights of a row, 32 b bytes each, and at the next multiple of 64 bytes
 * f32 scales [N]. Each weight shifts b new bits into a state of L; its value is a hash of the state (trellis.h). The
 * stream is cyclic: no first state is stored. The values are those of the row times signs, by a Hadamard transform over
 * every 128 columns; w = sign * hadamard(value * s). Unlike EXL3's, a tile is a part of one row (not 16 x 16), no
 * transform runs over the rows, the signs come from a formula and each row has its scale: so rows do not depend on one
 * another. The codebook (MUL1), the cyclic stream, its bit order and the search are EXL3's. The codes are the trellis's
 * best path by dynamic programming over all states: one pass around the tile's ends finds the state between them, a
 * second over the tile, pinned to it, the codes. s is the least-squares scale of the row with the codes that a first
 * guess gives. */
enum { MOST_L = 16, LEAST_L = 8, OVERLAPS = 1 << (MOST_L - 2), LANES = 16, AROUND = 64 };

typedef struct space {
    float lut[1 << MOST_L];
    float cost[2][OVERLAPS + LANES]; /* reads go beyond */
    uint8_t choice[LB_TRELLIS_TILE][OVERLAPS];
} space;

/* Functions with these are inlined: no binary interface is at stake. */
#pragma GCC diagnostic ignored "-Wpsabi"
typedef float floats __attribute__((vector_size(64)));
typedef floats loose_floats __attribute__((aligned(4), may_alias));
typedef int32_t ints __attribute__((vector_size(64)));
typedef uint8_t bytes __attribute__((vector_size(16), aligned(1), may_alias));

#define PICK(type, mask, a, b) ((type)(((ints)(a) & (mask)) | ((ints)(b) & ~(mask))))

/* Costs of the predecessors of 16 consecutive overlaps: 16 >> K of them, each for 2^K. */
LB_INLINE floats predecessors(const float *cost, const int bits) {
    const ints index = (const ints){ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 } >> bits;
    return __builtin_shuffle(*(const loose_floats *)cost, index);
}

/* One weight: the least cost of every overlap (the low L - K bits of the new state), and the K bits that were shifted
 * out of the state on the way to it. */
LB_INLINE void step(const space *s, const float *from, float x, int length, const int bits, float *to,
                    uint8_t *choice) {
    int overlaps = 1 << (length - bits);
    floats target = x - (floats){ 0 };
    for (int o = 0; o < overlaps; o += LANES) {
        floats best = { 0 };
        ints which = { 0 };
        for (int k = 0; k < 1 << bits; k++) {
            int state = k << (length - bits) | o;
            floats d = *(const floats *)(const void *)(s->lut + state) - target;
            floats c = predecessors(from + (state >> bits), bits) + d * d;
            if (k == 0) {
                best = c;
                continue;
            }
            ints better = c < best;
            best = PICK(floats, better, c, best);
            which = PICK(ints, better, k + (ints){ 0 }, which);
        }
        *(floats *)(void *)(to + o) = best;
        *(bytes *)(choice + o) = __builtin_convertvector(which, bytes);
    }
}

LB_WIDE static void steps_2(space *s, const float *x, int count, int length) {
    for (int t = 0; t < count; t++) step(s, s->cost[t & 1], x[t], length, 2, s->cost[~t & 1], s->choice[t]);
}
LB_WIDE static void steps_3(space *s, const float *x, int count, int length) {
    for (int t = 0; t < count; t++) step(s, s->cost[t & 1], x[t], length, 3, s->cost[~t & 1], s->choice[t]);
}
LB_WIDE static void steps_4(space *s, const float *x, int count, int length) {
    for (int t = 0; t < count; t++) step(s, s->cost[t & 1], x[t], length, 4, s->cost[~t & 1], s->choice[t]);
}

/* An even number of weights from the costs in cost[0], back into them. */
static void steps(space *s, const float *x, int count, int bits, int length) {
    (bits == 2 ? steps_2 : bits == 3 ? steps_3 : steps_4)(s, x, count, length);
}

/* The overlap from which the best path comes `count` steps before overlap `o`; the states on the way, if wanted. */
static int trace(const space *s, int count, int o, int bits, int length, int from, uint16_t *states) {
    for (int t = count - 1; t >= from; t--) {
        int state = s->choice[t][o] << (length - bits) | o;
        if (states) states[t] = (uint16_t)state;
        o = state >> bits;
    }
    return o;
}

/* The codes of one tile, in units of the scale, and the values that they stand for. */
static void encode(space *s, const float *x, int bits, int length, uint32_t *words, float *values) {
    float around[2 * AROUND];
    uint16_t states[LB_TRELLIS_TILE];
    int overlaps = 1 << (length - bits), best = 0;
    memcpy(around, x + LB_TRELLIS_TILE - AROUND, sizeof around / 2);
    memcpy(around + AROUND, x, sizeof around / 2);
    memset(s->cost[0], 0, (size_t)overlaps * sizeof(float));
    steps(s, around, 2 * AROUND, bits, length);
    for (int o = 1; o < overlaps; o++)
        if (s->cost[0][o] < s->cost[0][best]) best = o;
    int pinned = trace(s, 2 * AROUND, best, bits, length, AROUND, NULL);
    for (int o = 0; o < overlaps; o++) s->cost[0][o] = o == pinned ? 0.0f : 1e30f;
    steps(s, x, LB_TRELLIS_TILE, bits, length);
    trace(s, LB_TRELLIS_TILE, pinned, bits, length, 0, states);
    memset(words, 0, (size_t)bits * 32);
    for (int t = 0; t < LB_TRELLIS_TILE; t++) {
        for (int b = 0, at = t * bits; b < bits; b++, at++)
            words[at / 32] |= (uint32_t)(states[t] >> (bits - 1 - b) & 1) << (31 - at % 32);
        values[t] = s->lut[states[t]];
    }
}

static size_t tile_bytes(const lb_quantizer *q) { return (size_t)q->bits * 32; }
static size_t scales_at(const lb_quantizer *q, int64_t n, int64_t k) {
    return lb_up64((size_t)n * (size_t)(k / LB_TRELLIS_TILE) * tile_bytes(q));
}
static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) {
    return scales_at(q, n, k) + (size_t)n * sizeof(float);
}

/* A tile's weights, signs and transform applied. */
LB_INLINE void transformed(const float *src, int64_t k0, float *x) {
    for (int i = 0; i < LB_TRELLIS_TILE; i++) x[i] = lb_clean(src[k0 + i]) * lb_trellis_sign(k0 + i);
    lb_trellis_hadamard(x);
    lb_trellis_hadamard(x + LB_TRELLIS_HADAMARD);
}

static void quantize_row(space *s, const lb_quantizer *q, const float *src, int64_t k, uint8_t *tiles, float *scale) {
    static const float shrink[5] = { 0, 0, 0.965f, 0.991f, 0.998f }; /* sqrt(1 - error): of a codebook that errs so */
    float x[LB_TRELLIS_TILE], values[LB_TRELLIS_TILE];
    double squares = 0, products = 0, norm = 0;
    for (int64_t t = 0; t < k; t += LB_TRELLIS_TILE)
        for (int i = 0; i < LB_TRELLIS_TILE; i++) {
            double v = (double)lb_clean(src[t + i]);
            squares += v * v;
        }
    float guess = (float)sqrt(squares / (double)k) * shrink[q->bits], inverse = lb_finite_ratio(1.0f, guess);
    for (int64_t t = 0; t < k; t += LB_TRELLIS_TILE, tiles += tile_bytes(q)) {
        uint32_t words[32];
        transformed(src, t, x);
        for (int i = 0; i < LB_TRELLIS_TILE; i++) x[i] *= inverse;
        encode(s, x, q->bits, (int)q->param[1], words, values);
        memcpy(tiles, words, tile_bytes(q));
        for (int i = 0; i < LB_TRELLIS_TILE; i++) {
            products += (double)x[i] * (double)values[i];
            norm += (double)values[i] * (double)values[i];
        }
    }
    *scale = inverse > 0 && products > 0 ? (float)((double)guess * products / norm) : 0.0f;
}

/* Memory for a search of the most states, where there is none else: one thread at a time. */
static space reserve;
static pthread_mutex_t reserved = PTHREAD_MUTEX_INITIALIZER;

static void quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                     void *dst) {
    float *scales = (float *)(void *)((char *)dst + scales_at(q, n, k));
    space *s = aligned_alloc(64, (sizeof *s + 63) / 64 * 64);
    bool borrowed = !s;
    if (borrowed) {
        pthread_mutex_lock(&reserved);
        s = &reserve;
    }
    for (uint32_t i = 0; i < 1u << q->param[1]; i++) s->lut[i] = lb_trellis_value(i);
    for (int64_t r = row0; r < row1; r++)
        quantize_row(s, q, src + r * k, k, (uint8_t *)dst + (size_t)(r * (k / LB_TRELLIS_TILE)) * tile_bytes(q),
                     scales + r);
    if (borrowed) pthread_mutex_unlock(&reserved);
    else free(s);
}

LB_WIDE static void dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                               float *dst) {
    const float *scales = (const float *)(const void *)((const char *)src + scales_at(q, n, k));
    for (int64_t r = row0; r < row1; r++)
        for (int64_t t = 0; t < k; t += LB_TRELLIS_TILE, dst += LB_TRELLIS_TILE) {
            uint32_t words[32];
            memcpy(words, (const char *)src + (size_t)(r * (k / LB_TRELLIS_TILE) + t / LB_TRELLIS_TILE) * tile_bytes(q),
                   tile_bytes(q));
            for (int i = 0; i < LB_TRELLIS_TILE; i++)
                dst[i] = lb_trellis_value(lb_trellis_state(words, q->bits, (int)q->param[1], i)) * scales[r];
            lb_trellis_hadamard(dst);
            lb_trellis_hadamard(dst + LB_TRELLIS_HADAMARD);
            for (int i = 0; i < LB_TRELLIS_TILE; i++) dst[i] *= lb_trellis_sign(t + i);
        }
}

static void row_span(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset, size_t *length) {
    (void)n;
    *length = (size_t)(k / LB_TRELLIS_TILE) * tile_bytes(q);
    *offset = (size_t)row * *length;
}

static bool parse(const char *name, lb_quantizer *out, char why[64]) {
    long bits = 0, length = MOST_L;
    const char *rest = "";
    why[0] = 0;
    if (strncmp(name, "trellis-", 8)) return false;
    bool good = lb_name_numbers(name, "trellis", 1, &bits, &rest) && bits >= 2 && bits <= 4;
    if (good && rest[0] == '-' && rest[1] == 'L' && rest[2] >= '0' && rest[2] <= '9') {
        char *end;
        length = strtol(rest + 2, &end, 10);
        rest = end;
    }
    if (!good || *rest || length < LEAST_L || length > MOST_L) {
        snprintf(why, 64, "trellis-{2,3,4}, then perhaps -L8 to -L16 (state bits)");
        return false;
    }
    *out = (lb_quantizer){ .k_multiple = LB_TRELLIS_TILE, .group = 0, .bits = (int)bits, .param = { bits, length },
                           .family = &lb_quantizer_trellis, .size_bytes = size_bytes, .quantize = quantize,
                           .dequantize = dequantize, .row_span = row_span };
    if (length == MOST_L) snprintf(out->name, sizeof out->name, "trellis-%ld", bits);
    else snprintf(out->name, sizeof out->name, "trellis-%ld-L%ld", bits, length);
    return true;
}

static const char *const members[] = { "trellis-2", "trellis-3", "trellis-4", "trellis-2-L12", "trellis-3-L12",
                                       "trellis-4-L12", NULL };
const lb_quantizer_family lb_quantizer_trellis = {
    .name = "trellis",
    .about =
        "w = sign * hadamard128(value(state) * s); each weight shifts 2 to 4 bits into a state of L (16, or as -L8 to "
        "-L15 say), whose hash is its value; tiles of 256 of a row, cyclic; s f32 a row. The fewer state bits, the "
        "faster to quantize and the larger the error.",
    .source = "QTIP (Tseng et al.), with EXL3's codebook and tail-biting; tiles along rows",
    .members = members,
    .parse = parse,
};
