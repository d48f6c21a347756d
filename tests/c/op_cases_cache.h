/* op_cases_cache.h: the part of op_cases.h about batches, caches and attention; included by it. */
static bool case_advance(int i, lb_args *a) {
    if (i >= 5) return false;
    set(a, "lengths", i == 3 ? ints(NULL, 0) : i == 4 ? INTS(7) : INTS(0, 5, 100));
    if (i == 0) set(a, "starts", INTS(0, 2, 2, 6)), set(a, "positions", ints(NULL, 8));
    param(a, "step", i == 1 ? 3 : 1);
    return true;
}

/* Layouts of caches: dense BHSD; BSHD, HBSD as views; a layer of LBHSD; pages. */
enum { BHSD, BSHD, HBSD, LBHSD, PAGED, LAYOUTS };
/* Types: f32, f16, bf16, f8e4m3, q8_0, q4_0. */
enum { CACHE_TYPES = 6 };
static const lb_dtype cache_dtypes[CACHE_TYPES] = { LB_F32, LB_F16, LB_BF16, LB_F8E4M3, LB_U8, LB_U8 };
static int packing_of(int type) { return type == 4 ? LB_PACKED_Q8_0 : type == 5 ? LB_PACKED_Q4_0 : LB_PACKED_NONE; }

/* d values as a cache's row. */
static void put_row(int type, const float *x, int64_t d, char *at) {
    const lb_quantizer *q = NULL;
    if (type >= 4 && lb_quantizer_find(type == 4 ? "q8_0" : "q4_0", &q)) fail_msg("%s", lb_error());
    if (q) q->quantize(q, x, 1, d, 0, 1, at);
    for (int64_t j = 0; j < d && !q; j++) {
        if (type == 0) ((float *)(void *)at)[j] = x[j];
        else if (type == 1) ((uint16_t *)(void *)at)[j] = lb_f32_to_f16(x[j]);
        else if (type == 2) ((uint16_t *)(void *)at)[j] = lb_f32_to_bf16(x[j]);
        else ((uint8_t *)at)[j] = lb_f32_to_f8e4m3(x[j]);
    }
}

/* A cache of `type` for b sequences of s positions, or p pages of `page`, with contents. */
static lb_tensor *cache_of(int type, int layout, int64_t b, int64_t h, int64_t s, int64_t d) {
    int packed = packing_of(type);
    int64_t row = packed ? d / 32 * lb_packed_bytes(packed) : d;
    static const int order[LAYOUTS][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 0, 1, 2 }, { 0, 2, 1 } };
    int64_t logical[3] = { b, h, s }, dims[5] = { 3, 0, 0, 0, row };
    for (int i = 0; i < 3; i++) dims[i + 1] = logical[order[layout][i]];
    lb_tensor *t = guarded(cache_dtypes[type], 4, dims + 1), *view = NULL;
    if (layout == LBHSD) {
        lb_tensor_release(t);
        t = guarded(cache_dtypes[type], 5, dims);
        lb_tensor *layer = NULL;
        if (lb_tensor_slice(t, 0, 1, 2, &layer) || lb_tensor_reshape(layer, 4, dims + 1, &view))
            fail_msg("%s", lb_error());
        lb_tensor_release(layer);
    } else if (layout == BSHD || layout == PAGED) {
        if (lb_tensor_transpose(t, 1, 2, &view)) fail_msg("%s", lb_error());
    } else if (layout == HBSD) {
        if (lb_tensor_transpose(t, 0, 1, &view)) fail_msg("%s", lb_error());
    } else {
        view = lb_tensor_retain(t);
    }
    lb_tensor_release(t);
    lb_kv c = lb_kv_of(view, NULL, packed);
    float *x = malloc((size_t)d * sizeof *x + 1);
    assert_non_null(x);
    for (int64_t i = 0; i < b * h * s; i++) {
        for (int64_t j = 0; j < d; j++) x[j] = next_value();
        put_row(type, x, d, lb_kv_row(&c, i / s / h, i / s % h, i % s));
    }
    free(x);
    return view;
}

static lb_tensor *pages_of(int64_t b, int64_t m) {
    lb_tensor *t = guarded(LB_I32, DIMS(b, m));
    for (int64_t i = 0; i < b * m; i++) ((int32_t *)lb_tensor_data(t))[i] = (int32_t)((i * 5 + 2) % (b * m + 1));
    return t;
}

static bool case_kv_write(int i, lb_args *a) {
    enum { KINDS = CACHE_TYPES * LAYOUTS * 5 };
    if (i >= KINDS + 2) return false;
    if (i >= KINDS) { /* no rows; values of one element */
        set(a, "x", floats(FILL_PLAIN, DIMS(i > KINDS ? 2 : 0, 3, 1)));
        set(a, "cache", cache_of(2, BHSD, i > KINDS ? 2 : 0, 3, 4, 1));
        set(a, "lengths", i > KINDS ? INTS(1, 4) : ints(NULL, 0));
        return true;
    }
    int type = i % CACHE_TYPES, layout = i / CACHE_TYPES % LAYOUTS, kind = i / CACHE_TYPES / LAYOUTS;
    int64_t d = type >= 4 ? 64 : kind == 1 ? 37 : 64, tokens = kind == 2 ? 3 : 7;
    fill_kind contents = ((fill_kind[]){ FILL_PLAIN, FILL_SMALL, FILL_LARGE, FILL_NAN, FILL_INF })[kind];
    set(a, "x", heads_of(contents, kind != 1, tokens, 2, d));
    if (layout == PAGED) set(a, "pages", pages_of(3, 4));
    set(a, "cache", cache_of(type, layout, layout == PAGED ? 13 : 3, 2, layout == PAGED ? 4 : 16, d));
    /* no such page */
    if (layout == PAGED && kind == 0) ((int32_t *)lb_tensor_data(lb_arg(a, LB_KV_WRITE_PAGES)))[6] = 99;
    param(a, "packed", packing_of(type));
    if (kind == 2) set(a, "lengths", INTS(16, 1, 17)); /* one token each; the last is past the capacity */
    else set(a, "lengths", INTS(5, 12, 2)), set(a, "starts", INTS(0, 4, 7, 7));
    return true;
}
static bool case_kv_read(int i, lb_args *a) {
    if (i >= CACHE_TYPES * LAYOUTS * 2 + 2) return false;
    if (i >= CACHE_TYPES * LAYOUTS * 2) {
        set(a, "cache", cache_of(i % 4, BHSD, i % 2 ? 2 : 0, 2, 3, 1));
        return true;
    }
    int type = i % CACHE_TYPES, layout = i / CACHE_TYPES % LAYOUTS, kind = i / CACHE_TYPES / LAYOUTS;
    int64_t d = type >= 4 ? 64 : kind ? 37 : 64;
    if (layout == PAGED) set(a, "pages", pages_of(3, 4));
    set(a, "cache", cache_of(type, layout, layout == PAGED ? 13 : 3, 2, layout == PAGED ? 4 : 16, d));
    if (type >= 4 && kind) { /* factors that are no numbers */
        lb_kv c = lb_kv_of(lb_arg(a, LB_KV_READ_CACHE), lb_arg(a, LB_KV_READ_PAGES), packing_of(type));
        memcpy(lb_kv_row(&c, 0, 1, 3), &(uint16_t){ 0x7e00 }, 2);
        memcpy(lb_kv_row(&c, 2, 0, 2) + lb_packed_bytes(packing_of(type)), &(uint16_t){ 0x7c00 }, 2);
    }
    param(a, "packed", packing_of(type));
    if (kind) set(a, "lengths", INTS(16, 0, 5));
    return true;
}

/* Attention: shapes x types x layouts, with masks that leave rows nothing, one and all. */
typedef struct attention_shape {
    int64_t heads, group, d, v, s;          /* group: query heads of a cache head; v 0: values are a part of k's rows */
    int64_t lengths[3], tokens[3];
    int causal, window, sinks;
    /* see case_attention */
    enum { ANY, SINK_KEY, NAN_Q, INF_Q, NAN_K, INF_K, NAN_V, INF_V, MINUS_V, BAD_SINK, NO_CHANCE, HUGE_SCORES,
           LITTLE_CHANCE, FAR_SCORES, RISING_SCORES } contents;
} attention_shape;
static const attention_shape attention_shapes[] = {
    { 4, 1, 64, 64, 32, { 32, 7, 1 }, { 5, 7, 1 }, 1, 0, 0, ANY }, /* ragged prefill */
    { 8, 8, 128, 128, 96, { 96, 50, 17 }, { 1, 1, 1 }, 1, 0, 0, ANY }, /* decode, MQA */
    { 8, 2, 96, 64, 48, { 48, 30, 33 }, { 1, 1, 1 }, 1, 0, 1, ANY }, /* decode, GQA, sinks, other value size */
    { 4, 2, 32, 32, 160, { 160, 130, 40 }, { 130, 90, 40 }, 1, 33, 1, ANY }, /* window, sinks, blocks of rows */
    { 2, 1, 64, 128, 80, { 80, 70, 0 }, { 70, 3, 2 }, 0, 0, 0, ANY }, /* not causal; a sequence that sees nothing */
    /* window on both sides; a sequence without rows */
    { 2, 1, 32, 32, 70, { 70, 9, 65 }, { 66, 0, 65 }, 0, 5, 0, ANY },
    { 3, 3, 192, 0, 40, { 40, 38, 3 }, { 1, 1, 1 }, 1, 0, 0, ANY }, /* MLA, absorbed: 128 of 192 */
    /* rows before the first position; past the capacity */
    { 6, 3, 128, 128, 64, { 3, 64, 200 }, { 6, 9, 5 }, 1, 0, 0, ANY },
    { 4, 4, 64, 64, 300, { 300, 299, 258 }, { 1, 4, 2 }, 1, 0, 0, ANY }, /* a few rows each */
    { 4, 4, 64, 64, 300, { 300, 299, 258 }, { 1, 1, 1 }, 1, 100, 1, ANY },  /* decode with a window */
    { 2, 2, 576, 0, 66, { 66, 64, 65 }, { 40, 1, 9 }, 1, 0, 0, ANY }, /* MLA of GLM and DeepSeek: 512 of 576 */
    { 16, 16, 128, 128, 700, { 700, 513, 600 }, { 1, 1, 1 }, 1, 0, 0, ANY }, /* a wide group, long enough to be split */
    { 4, 4, 128, 128, 90, { 90, 40, 17 }, { 40, 9, 3 }, 1, 0, 0, ANY }, /* prefill of a wide group, ragged */
    { 8, 4, 64, 64, 150, { 150, 0, 129 }, { 70, 0, 33 }, 0, 40, 1, ANY }, /* not causal, window on both sides, sinks */
    { 8, 8, 128, 128, 200, { 200, 150, 129 }, { 1, 1, 1 }, 1, 0, 0, SINK_KEY },
    { 4, 2, 64, 64, 150, { 150, 140, 129 }, { 40, 9, 3 }, 1, 0, 0, SINK_KEY },
    { 8, 8, 128, 128, 96, { 96, 50, 17 }, { 1, 1, 1 }, 1, 0, 0, NAN_Q },
    { 4, 2, 64, 64, 150, { 150, 140, 129 }, { 40, 9, 3 }, 1, 0, 0, INF_Q },
    { 8, 8, 128, 128, 96, { 96, 50, 17 }, { 1, 1, 1 }, 1, 0, 0, NAN_K },
    { 4, 2, 64, 64, 90, { 90, 70, 65 }, { 40, 9, 3 }, 1, 0, 0, NAN_K },
    { 8, 8, 128, 128, 96, { 96, 50, 17 }, { 1, 1, 1 }, 1, 0, 0, INF_K },
    { 4, 2, 64, 64, 90, { 90, 70, 65 }, { 40, 9, 3 }, 1, 0, 1, INF_K },
    { 8, 8, 128, 128, 200, { 200, 150, 129 }, { 1, 1, 1 }, 1, 0, 0, NAN_K }, /* in the second block of 64 */
    { 8, 8, 128, 128, 200, { 200, 150, 129 }, { 1, 1, 1 }, 1, 0, 0, INF_K },
    { 8, 8, 128, 128, 96, { 96, 50, 17 }, { 1, 1, 1 }, 1, 0, 0, NAN_V },
    { 4, 2, 64, 64, 90, { 90, 70, 65 }, { 40, 9, 3 }, 1, 0, 0, NAN_V },
    { 8, 8, 128, 128, 600, { 600, 513, 300 }, { 1, 1, 1 }, 1, 0, 0, INF_V }, /* long enough to be split */
    { 4, 2, 64, 64, 90, { 90, 70, 65 }, { 40, 9, 3 }, 1, 0, 0, INF_V },
    { 8, 8, 192, 192, 150, { 150, 140, 17 }, { 1, 1, 1 }, 1, 0, 0, MINUS_V },
    { 2, 1, 64, 64, 8, { 8, 0, 3 }, { 0, 0, 0 }, 1, 0, 0, ANY }, /* no rows */
    { 1, 1, 1, 1, 1, { 1, 1, 1 }, { 1, 1, 1 }, 1, 0, 0, ANY },   /* one of everything (packed: 32) */
    { 4, 2, 64, 64, 150, { 150, 140, 129 }, { 40, 9, 3 }, 1, 0, 1, BAD_SINK },
    { 4, 4, 64, 64, 700, { 700, 513, 60 }, { 1, 1, 1 }, 1, 0, 0, NO_CHANCE }, /* long enough to be split */
    { 4, 2, 64, 64, 150, { 150, 140, 72 }, { 20, 9, 3 }, 1, 0, 0, NO_CHANCE },
    { 4, 2, 64, 64, 150, { 150, 140, 72 }, { 40, 30, 20 }, 1, 0, 1, NO_CHANCE },
    { 4, 4, 64, 64, 700, { 700, 513, 60 }, { 1, 1, 1 }, 1, 0, 1, NO_CHANCE },
    /* several groups of rows against more positions than are packed at a time */
    { 4, 2, 64, 64, 600, { 600, 590, 530 }, { 90, 40, 20 }, 1, 0, 1, ANY },
    { 2, 2, 96, 32, 1100, { 1100, 700, 3 }, { 70, 33, 3 }, 1, 200, 0, ANY },
    { 4, 2, 72, 40, 200, { 200, 131, 65 }, { 60, 33, 65 }, 1, 70, 1, ANY }, /* no whole tiles (packed: 96, 64) */
    /* groups that rows of q as lanes meet with keys of 128 values: uneven ones, several rows, windows, sinks */
    { 5, 5, 128, 64, 150, { 150, 140, 72 }, { 1, 1, 1 }, 1, 33, 1, ANY },
    { 6, 6, 128, 192, 90, { 90, 70, 65 }, { 2, 1, 2 }, 1, 0, 0, ANY },
    { 13, 13, 128, 128, 700, { 700, 513, 60 }, { 1, 1, 1 }, 1, 100, 1, ANY },
    { 5, 5, 128, 128, 300, { 300, 129, 70 }, { 2, 2, 1 }, 1, 0, 0, ANY },
    { 8, 8, 128, 128, 150, { 150, 140, 129 }, { 1, 1, 1 }, 1, 0, 1, BAD_SINK },
    { 8, 8, 128, 128, 150, { 150, 140, 72 }, { 1, 1, 1 }, 1, 0, 1, NO_CHANCE },
    { 8, 8, 128, 128, 200, { 200, 150, 129 }, { 1, 1, 1 }, 1, 0, 0, HUGE_SCORES },
    { 4, 2, 64, 64, 150, { 150, 140, 129 }, { 40, 9, 3 }, 1, 0, 0, HUGE_SCORES },
    { 8, 8, 128, 128, 200, { 200, 150, 129 }, { 1, 1, 1 }, 1, 0, 0, LITTLE_CHANCE },
    { 4, 2, 64, 64, 150, { 150, 140, 129 }, { 40, 9, 3 }, 1, 0, 0, LITTLE_CHANCE },
    { 2, 2, 64, 64, 300, { 300, 290, 260 }, { 40, 33, 9 }, 1, 0, 0, FAR_SCORES },
    { 8, 8, 128, 128, 300, { 300, 290, 260 }, { 1, 1, 1 }, 1, 0, 0, FAR_SCORES },
    { 2, 2, 64, 64, 300, { 300, 290, 260 }, { 40, 33, 9 }, 1, 0, 0, RISING_SCORES },
    { 8, 8, 128, 128, 300, { 300, 290, 260 }, { 1, 1, 1 }, 1, 0, 0, RISING_SCORES },
};
enum { ATTENTION_SHAPES = sizeof attention_shapes / sizeof *attention_shapes };

static void attention_cache(lb_args *a, const attention_shape *s, int type, int layout) {
    int64_t g = s->heads / s->group, page = 8, m = (s->s + page - 1) / page;
    int64_t first = layout == PAGED ? 3 * m + 1 : 3, rows = layout == PAGED ? page : s->s;
    set(a, "k", cache_of(type, layout, first, g, rows, s->d));
    if (s->v) set(a, "v", cache_of(type, layout, first, g, rows, s->v));
    else param(a, "value_dim", s->d == 576 ? 512 : 128);
    if (layout == PAGED) set(a, "pages", pages_of(3, m));
    param(a, "packed", packing_of(type));
}
/* The first key meets every row of q, so that 0.6 to 0.9 of the probability is its own, as in models that attend to
 * the first token; its value is a tenth of the others. What rounds all to a part of the largest loses the others. */
static void plant_sink(lb_args *a, const attention_shape *s, int type) {
    enum { MOST = 128 };
    lb_tensor *q = lb_arg(a, LB_ATTENTION_Q), *pages = lb_arg(a, LB_ATTENTION_PAGES);
    lb_kv k = lb_kv_of(lb_arg(a, LB_ATTENTION_K), pages, packing_of(type));
    lb_kv v = lb_kv_of(lb_arg(a, LB_ATTENTION_V), pages, packing_of(type));
    int64_t groups = s->heads / s->group, first = 0;
    for (int64_t b = 0; b < 3; first += s->tokens[b++])
        for (int64_t g = 0; g < groups; g++) {
            float key[MOST], value[MOST], by = 7 / sqrtf((float)s->d);
            for (int64_t j = 0; j < s->d; j++) key[j] = next_value() < 0 ? -1 : 1;
            for (int64_t j = 0; j < s->v; j++) value[j] = 0.1f * next_value();
            put_row(type, key, s->d, lb_kv_row(&k, b, g, 0));
            put_row(type, value, s->v, lb_kv_row(&v, b, g, 0));
            for (int64_t i = 0; i < s->tokens[b] * s->group; i++) {
                float *x = lb_row_f32(q, (first + i / s->group) * s->heads + g * s->group + i % s->group);
                for (int64_t j = 0; j < s->d; j++) x[j] = 0.25f * x[j] + by * key[j];
            }
        }
}
/* Position 70's key meets every row of q, with finite scores of 2^34 and more: it has all of the probability. Or it has
 * most, and position 3 some 1e-4, whose value is so large that it makes half of the result: that is lost where small
 * probabilities are. */
static void plant_chances(lb_args *a, const attention_shape *s, int type) {
    enum { MOST = 128 };
    bool huge = s->contents == HUGE_SCORES;
    lb_tensor *q = lb_arg(a, LB_ATTENTION_Q), *pages = lb_arg(a, LB_ATTENTION_PAGES);
    lb_kv k = lb_kv_of(lb_arg(a, LB_ATTENTION_K), pages, packing_of(type));
    lb_kv v = lb_kv_of(lb_arg(a, LB_ATTENTION_V), pages, packing_of(type));
    int64_t first = 0;
    for (int64_t b = 0; b < 3; first += s->tokens[b++])
        for (int64_t g = 0; g < s->heads / s->group; g++) {
            float key[MOST], value[MOST], by = huge ? 0x1p31f : 9.2f / sqrtf((float)s->d);
            for (int64_t j = 0; j < s->d; j++) key[j] = next_value() < 0 ? -1 : 1;
            for (int64_t i = 0; i < s->tokens[b] * s->group; i++)
                for (int64_t j = 0; j < s->d; j++)
                    lb_row_f32(q, (first + i / s->group) * s->heads + g * s->group + i % s->group)[j] = by * key[j];
            put_row(type, key, s->d, lb_kv_row(&k, b, g, 70));
            if (huge) continue;
            for (int64_t j = 0; j < s->d; j += 2) key[j] = -key[j]; /* a score of 0 */
            for (int64_t j = 0; j < s->v; j++) value[j] = 0.05f * next_value();
            put_row(type, key, s->d, lb_kv_row(&k, b, g, 3));
            put_row(type, value, s->v, lb_kv_row(&v, b, g, 70));
            for (int64_t j = 0; j < s->v; j++) value[j] = 200 * next_value();
            put_row(type, value, s->v, lb_kv_row(&v, b, g, 3));
        }
}
/* Scores all of some -127, or -203: no power of theirs is a number of f32, relative to 0. Or those of each 64 positions
 * are larger by 32, or 51, than those before, so that what was summed before has to be rescaled. This is about the
 * softmax: far scores are sums of multiples of 2^-8, which no order of adding rounds. (A block of a packed cache has
 * `same` as its largest value, and a quarter of it, or its eighth, as its factor.) */
static float next_eighths(void) { return 0.125f * roundf(8 * next_value()); }
static void plant_far(lb_args *a, const attention_shape *s, int type) {
    enum { MOST = 128, SAME = 16 };
    lb_tensor *q = lb_arg(a, LB_ATTENTION_Q);
    lb_kv k = lb_kv_of(lb_arg(a, LB_ATTENTION_K), lb_arg(a, LB_ATTENTION_PAGES), packing_of(type));
    for (int64_t i = 0; i < q->dims[0] * q->dims[1]; i++)
        for (int64_t j = 0; j < s->d; j++) lb_row_f32(q, i)[j] = j < SAME ? 2 : j % 32 == 0 ? 0 : next_eighths();
    for (int64_t b = 0; b < 3; b++)
        for (int64_t g = 0; g < s->heads / s->group; g++)
            for (int64_t i = 0; i < s->lengths[b]; i++) {
                float key[MOST], same = s->contents == FAR_SCORES ? -31.75f : 8 * (float)(i / 64);
                for (int64_t j = 0; j < s->d; j++) key[j] = j < SAME || j % 32 == 0 ? same : next_eighths();
                put_row(type, key, s->d, lb_kv_row(&k, b, g, i));
            }
}
/* An element of a position that all rows see, of every cache head: NaN, or Inf of both signs. The first position, or of
 * long sequences' keys one whose scores may come beside the values before it. In packed caches it is a block's factor;
 * f8e4m3 has no Inf. */
static void plant_in_cache(lb_args *a, const attention_shape *s, int type) {
    bool keys = s->contents == NAN_K || s->contents == INF_K, nan = s->contents == NAN_K || s->contents == NAN_V;
    const lb_tensor *cache = lb_arg(a, keys ? LB_ATTENTION_K : LB_ATTENTION_V);
    int64_t at = keys && s->lengths[2] > 128 ? 70 : 0;
    lb_kv c = lb_kv_of(cache, lb_arg(a, LB_ATTENTION_PAGES), packing_of(type));
    for (int64_t b = 0; b < 3; b++)
        for (int64_t g = 0; g < s->heads / s->group; g++) {
            float v = nan ? NAN : (b + g) % 2 ? INFINITY : -INFINITY;
            char *row = lb_kv_row(&c, b, g, at);
            uint16_t half = lb_f32_to_f16(v), brain = lb_f32_to_bf16(v);
            if (type == 0) memcpy(row + 4 * 5, &v, 4);
            else if (type == 2) memcpy(row + 2 * 5, &brain, 2);
            else if (type == 3) row[5] = (char)lb_f32_to_f8e4m3(v);
            else memcpy(row + (type == 1 ? 2 * 5 : lb_packed_bytes(c.packed)), &half, 2);
        }
}
/* The first positions, more than kernels take together, score -Inf with every row: the others have all of the
 * probability. A row that sees no others is NaN, or of a sink 0, however small: e^-110 is none in f32. Packed caches
 * and f8e4m3 hold no Inf. */
static void plant_no_chance(lb_args *a, const attention_shape *s, int type) {
    int64_t first = s->s > 300 ? 330 : 71;
    const float none = -INFINITY, one = 1;
    uint16_t half = lb_f32_to_f16(none), brain = lb_f32_to_bf16(none);
    lb_kv c = lb_kv_of(lb_arg(a, LB_ATTENTION_K), lb_arg(a, LB_ATTENTION_PAGES), packing_of(type));
    lb_tensor *q = lb_arg(a, LB_ATTENTION_Q);
    for (int64_t i = 0; i < q->dims[0] * q->dims[1]; i++) lb_row_f32(q, i)[5] = one;
    if (s->sinks) ((float *)lb_tensor_data(lb_arg(a, LB_ATTENTION_SINKS)))[1] = -110;
    for (int64_t b = 0; b < 3 && type < 3; b++)
        for (int64_t g = 0; g < s->heads / s->group; g++)
            for (int64_t i = 0; i < first && i < s->lengths[b]; i++) {
                char *row = lb_kv_row(&c, b, g, i);
                if (type == 0) memcpy(row + 4 * 5, &none, 4);
                else memcpy(row + 2 * 5, type == 1 ? &half : &brain, 2);
            }
}
/* Every third position of a packed cache has negative factors, which no quantizer of q8_0 makes. */
static void plant_minus(lb_args *a, const attention_shape *s, int type) {
    lb_kv c = lb_kv_of(lb_arg(a, LB_ATTENTION_V), lb_arg(a, LB_ATTENTION_PAGES), packing_of(type));
    for (int64_t b = 0; b < 3 && type >= 4; b++)
        for (int64_t g = 0; g < s->heads / s->group; g++)
            for (int64_t i = 0; i < s->lengths[b]; i += 3)
                for (int64_t j = 0; j < s->v / 32; j++) {
                    uint8_t *high = (uint8_t *)lb_kv_row(&c, b, g, i) + j * lb_packed_bytes(c.packed) + 1;
                    *high = (uint8_t)(*high ^ 0x80);
                }
}
static bool case_attention(int i, lb_args *a) {
#if defined TEST_THINNED || defined __SANITIZE_ADDRESS__ /* each shape with each type, layouts by turns */
    if (i >= ATTENTION_SHAPES * CACHE_TYPES) return false;
    i = (i / CACHE_TYPES * LAYOUTS + (i + i / CACHE_TYPES) % LAYOUTS) * CACHE_TYPES + i % CACHE_TYPES;
#endif
    if (i >= ATTENTION_SHAPES * CACHE_TYPES * LAYOUTS) return false;
    attention_shape shape = attention_shapes[i / LAYOUTS / CACHE_TYPES], *s = &shape;
    if (i % CACHE_TYPES >= 4) s->d = (s->d + 31) / 32 * 32, s->v = (s->v + 31) / 32 * 32;
    int64_t rows = s->tokens[0] + s->tokens[1] + s->tokens[2];
    bool padding = s->tokens[0] != s->tokens[1] || s->tokens[1] != s->tokens[2];
    attention_cache(a, s, i % CACHE_TYPES, i / CACHE_TYPES % LAYOUTS);
    set(a, "q", heads_of(FILL_PLAIN, i % 2, rows + 2 * padding, s->heads, s->d));
    set(a, "lengths", INTS((int32_t)s->lengths[0], (int32_t)s->lengths[1], (int32_t)s->lengths[2]));
    if (padding)
        set(a, "starts", INTS(0, (int32_t)s->tokens[0], (int32_t)(s->tokens[0] + s->tokens[1]), (int32_t)rows));
    if (s->sinks) set(a, "sinks", floats(FILL_PLAIN, DIMS(s->heads)));
    param(a, "causal", s->causal);
    param(a, "window", (double)s->window);
    param(a, "scale", i % 3 || s->contents == SINK_KEY || s->contents == LITTLE_CHANCE ? 0 : 0.2);
    if (s->contents == SINK_KEY) plant_sink(a, s, i % CACHE_TYPES);
    else if (s->contents == HUGE_SCORES || s->contents == LITTLE_CHANCE) plant_chances(a, s, i % CACHE_TYPES);
    else if (s->contents == FAR_SCORES || s->contents == RISING_SCORES) plant_far(a, s, i % CACHE_TYPES);
    else if (s->contents == MINUS_V) plant_minus(a, s, i % CACHE_TYPES);
    else if (s->contents == NO_CHANCE) plant_no_chance(a, s, i % CACHE_TYPES);
    else if (s->contents == NAN_Q || s->contents == INF_Q)
        lb_row_f32(lb_arg(a, LB_ATTENTION_Q), s->heads + 2)[5] =
            s->contents == NAN_Q ? NAN : i % 4 ? INFINITY : -INFINITY;
    else if (s->contents == BAD_SINK) /* two heads of four */
        ((float *)lb_tensor_data(lb_arg(a, LB_ATTENTION_SINKS)))[1] = NAN,
        ((float *)lb_tensor_data(lb_arg(a, LB_ATTENTION_SINKS)))[2] = INFINITY;
    else if (s->contents) plant_in_cache(a, s, i % CACHE_TYPES);
    return true;
}
