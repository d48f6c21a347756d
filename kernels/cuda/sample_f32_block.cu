/* sample_f32_block.cu: the next token of each sequence, a block of 1024 threads a row.
 *
 * Without cuts three passes over the logits (maximum, sum, walk); each cut adds four, which narrow a threshold down by
 * a byte of the ordered logits at a time: counts for top_k, shares for top_p. Only integers are added atomically
 * (shares as multiples of 2^-40), so that the result is the same every time. Passes after the first read from L2: a row
 * of 152 000 logits is 600 KB, which one SM reads in some 6 us; several rows run side by side. */
#include "rows.cuh"

namespace {

enum { THREADS = 1024, WARPS = THREADS / 32, EACH = 4, TILE = THREADS * EACH };

struct sampling {
    lb_rows logits;
    int32_t *state, *ids;
    int64_t top_k;
    double top_p;
    float min_p, inverse;      /* of the temperature; 0: the largest */
    unsigned long long seed;
};

struct scratch {
    unsigned long long mass[256];
    unsigned count[256];
    double sums[WARPS];
    float most[WARPS];
    unsigned first[WARPS];
    int ties[WARPS];
    unsigned digit;
    unsigned long long above;
    double total;
    int found;
    int seen;
};

/* What is kept: keys above `key`, and of those that equal it the first `ties`. */
struct cut { uint32_t key; unsigned long long ties; };

__device__ static uint32_t mulhilo(uint32_t a, uint32_t b, uint32_t *hi) {
    *hi = __umulhi(a, b);
    return a * b;
}
/* rng.h's lb_rng_u64. */
__device__ static unsigned long long random_u64(unsigned long long seed, unsigned long long index) {
    uint32_t c[4] = { (uint32_t)(index >> 1), (uint32_t)(index >> 33), 0, 0 };
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int i = 0; i < 10; i++) {
        uint32_t h0, h1, l0 = mulhilo(0xd2511f53u, c[0], &h0), l1 = mulhilo(0xcd9e8d57u, c[2], &h1);
        c[0] = h1 ^ c[1] ^ k0, c[2] = h0 ^ c[3] ^ k1, c[1] = l1, c[3] = l0;
        k0 += 0x9e3779b9u, k1 += 0xbb67ae85u;
    }
    return index & 1 ? (unsigned long long)c[3] << 32 | c[2] : (unsigned long long)c[1] << 32 | c[0];
}

/* Ascends with x; NaN is as low as -Inf, and -0 is 0. */
__device__ static uint32_t key_of(float x) {
    uint32_t u = __float_as_uint(x == x ? x + 0.0f : -INFINITY);
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}
__device__ static float value_of(uint32_t key) {
    return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}
__device__ static float weight_of(float x, float most, float inverse) {
    float e = expf((x - most) * inverse);
    return e > 0 ? e : 0.0f; /* NaN weighs nothing */
}
__device__ static unsigned long long share_of(float w) { return (unsigned long long)((double)w * 0x1p40); }

/* The largest logit and the first that has it. */
__device__ static float largest(const float *x, int64_t v, scratch *s, unsigned *first) {
    float most = -INFINITY;
    for (int64_t i = threadIdx.x; i < v; i += THREADS) most = fmaxf(most, x[i]);
    most = lb_block_max<THREADS>(most, s->most);
    unsigned at = 0xffffffffu;
    for (int64_t i = threadIdx.x; i < v; i += THREADS)
        if (x[i] == most && (unsigned)i < at) at = (unsigned)i;
    at = __reduce_min_sync(0xffffffffu, at);
    if (threadIdx.x % 32 == 0) s->first[threadIdx.x / 32] = at;
    __syncthreads();
    for (int w = 0; w < WARPS; w++) at = s->first[w] < at ? s->first[w] : at;
    __syncthreads();
    *first = at == 0xffffffffu ? 0 : at;
    return most;
}

/* The least prefix of the falling logits that has `wanted` elements, or this share. */
__device__ static cut narrow(const float *x, int64_t v, const sampling &p, float most, bool count,
                             unsigned long long wanted, scratch *s) {
    uint32_t prefix = 0;
    unsigned long long above = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        if (threadIdx.x < 256) s->mass[threadIdx.x] = 0, s->count[threadIdx.x] = 0;
        __syncthreads();
        for (int64_t i = threadIdx.x; i < v; i += THREADS) {
            uint32_t k = key_of(x[i]);
            if (shift < 24 && k >> (shift + 8) != prefix) continue;
            unsigned long long m = count ? 1 : share_of(weight_of(x[i], most, p.inverse));
            atomicAdd(&s->mass[k >> shift & 255], m);
            atomicAdd(&s->count[k >> shift & 255], 1u);
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            unsigned long long sum = above;
            int d = 255, last = 255;
            for (; d >= 0; d--) {
                if (s->count[d]) last = d; /* where rounding leaves the share short, the lowest that is there */
                if (s->count[d] && sum + s->mass[d] >= wanted) break;
                sum += s->mass[d];
            }
            if (d < 0) d = last, sum -= s->mass[d];
            s->digit = (unsigned)d, s->above = sum;
        }
        __syncthreads();
        prefix = prefix << 8 | s->digit;
        above = s->above;
        __syncthreads();
    }
    /* all that are left are equal */
    unsigned long long one = count ? 1 : share_of(weight_of(value_of(prefix), most, p.inverse));
    unsigned long long rest = wanted > above ? wanted - above : 0, ties = one ? (rest + one - 1) / one : ~0ull;
    return { prefix, ties ? ties : 1 };
}

/* The share of what a cut keeps. */
__device__ static unsigned long long share_within(const float *x, int64_t v, const sampling &p, float most, cut c,
                                                  scratch *s) {
    if (threadIdx.x == 0) s->mass[0] = 0;
    __syncthreads();
    unsigned long long sum = 0;
    for (int64_t i = threadIdx.x; i < v; i += THREADS)
        if (key_of(x[i]) > c.key) sum += share_of(weight_of(x[i], most, p.inverse));
    atomicAdd(&s->mass[0], sum);
    __syncthreads();
    sum = s->mass[0];
    __syncthreads();
    return sum + (c.key ? c.ties * share_of(weight_of(value_of(c.key), most, p.inverse)) : 0);
}

__device__ static cut cut_of(const float *x, int64_t v, const sampling &p, float most, scratch *s) {
    cut all = { 0, 0 }; /* no key is as low as 0 */
    cut c = all;
    if (p.top_k > 0 && p.top_k < v) c = narrow(x, v, p, most, true, (unsigned long long)p.top_k, s);
    if (p.top_p >= 1) return c;
    unsigned long long of = share_within(x, v, p, most, c, s), wanted = (unsigned long long)((double)of * p.top_p);
    cut t = narrow(x, v, p, most, false, wanted ? wanted : 1, s);
    return t.key > c.key || (t.key == c.key && t.ties < c.ties) ? t : c;
}

/* Weights of this thread's EACH neighbours of a tile; those that are not kept are 0. All threads call it, tile by tile:
 * s->seen counts the ties of earlier tiles. */
__device__ static void tile_weights(const float *x, int64_t v, const sampling &p, float most, cut c, int64_t tile,
                                    scratch *s, float w[EACH]) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, own = 0;
    int64_t first = tile * TILE + threadIdx.x * EACH;
    for (int j = 0; j < EACH; j++) own += first + j < v && key_of(x[first + j]) == c.key;
    int before = own;
    for (int o = 1; o < 32; o *= 2) {
        int left = __shfl_up_sync(0xffffffffu, before, (unsigned)o);
        if (lane >= o) before += left;
    }
    if (lane == 31) s->ties[warp] = before;
    before -= own;
    __syncthreads();
    unsigned long long rank = (unsigned long long)s->seen + (unsigned)before;
    for (int i = 0; i < warp; i++) rank += (unsigned)s->ties[i];
    for (int j = 0; j < EACH; j++) {
        w[j] = 0;
        if (first + j >= v) continue;
        uint32_t k = key_of(x[first + j]);
        if (k < c.key || (k == c.key && rank++ >= c.ties)) continue;
        float e = weight_of(x[first + j], most, p.inverse);
        w[j] = e >= p.min_p ? e : 0.0f;
    }
    __syncthreads();
    if (threadIdx.x == 0)
        for (int i = 0; i < WARPS; i++) s->seen += s->ties[i];
    __syncthreads();
}

/* The sum of weights of all threads before this one, and of all. */
__device__ static double sum_before(const float w[EACH], scratch *s, double *all) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    double own = 0;
    for (int j = 0; j < EACH; j++) own += (double)w[j];
    double sum = own;
    for (int o = 1; o < 32; o *= 2) {
        double left = __shfl_up_sync(0xffffffffu, sum, (unsigned)o);
        if (lane >= o) sum += left;
    }
    if (lane == 31) s->sums[warp] = sum;
    __syncthreads();
    double before = 0;
    *all = 0;
    for (int i = 0; i < WARPS; i++) {
        if (i < warp) before += s->sums[i];
        *all += s->sums[i];
    }
    __syncthreads();
    return before + sum - own;
}

__device__ static int draw(const float *x, int64_t v, const sampling &p, float most, cut c, unsigned long long index,
                           int fallback, scratch *s) {
    float w[EACH];
    double sum = 0, all, at = 0;
    int64_t tiles = (v + TILE - 1) / TILE;
    if (threadIdx.x == 0) s->seen = 0, s->found = fallback;
    __syncthreads();
    for (int64_t t = 0; t < tiles; t++) {
        tile_weights(x, v, p, most, c, t, s, w);
        sum_before(w, s, &all);
        sum += all;
    }
    double u = (double)(random_u64(p.seed, index) >> 11) * 0x1p-53 * sum;
    if (threadIdx.x == 0) s->seen = 0;
    __syncthreads();
    for (int64_t t = 0; t < tiles; t++) {
        tile_weights(x, v, p, most, c, t, s, w);
        double before = at + sum_before(w, s, &all);
        at += all;
        /* where rounding leaves u between two tokens, the largest is taken */
        bool here = u < at;
        for (int j = 0; j < EACH; j++) {
            int id = (int)(t * TILE + threadIdx.x * EACH + j);
            if (w[j] == 0) continue;
            double after = before + (double)w[j];
            if (u < after && u >= before) s->found = id;
            before = after;
        }
        __syncthreads();
        if (here) break;
    }
    return s->found;
}

__global__ void __launch_bounds__(THREADS) sample_kernel(sampling p) {
    __shared__ scratch s;
    for (int64_t b = blockIdx.x; b < p.logits.count; b += gridDim.x) {
        const float *x = lb_row(p.logits, b);
        int64_t v = p.logits.length;
        unsigned first;
        float most = largest(x, v, &s, &first);
        int id = (int)first;
        if (p.inverse > 0 && most - most == 0) {
            cut c = cut_of(x, v, p, most, &s);
            id = draw(x, v, p, most, c, (unsigned long long)b << 32 | (uint32_t)p.state[b], id, &s);
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            p.ids[b] = id;
            if (p.inverse > 0) p.state[b] = (int32_t)((uint32_t)p.state[b] + 1);
        }
        __syncthreads();
    }
}

static bool supports(const lb_args *a, const char **why) {
    *why = "more than 2^31 - 4096 logits";
    return lb_arg(a, LB_SAMPLE_LOGITS)->dims[1] < INT32_MAX - TILE;
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_SAMPLE_LOGITS), *st = lb_arg(a, LB_SAMPLE_STATE);
    double t = a->p[LB_SAMPLE_P_TEMPERATURE];
    sampling p = { lb_rows_of(x), st ? (int32_t *)lb_tensor_data(st) : nullptr,
                   (int32_t *)lb_tensor_data(lb_arg(a, LB_SAMPLE_IDS)), (int64_t)a->p[LB_SAMPLE_P_TOP_K],
                   a->p[LB_SAMPLE_P_TOP_P], (float)a->p[LB_SAMPLE_P_MIN_P], t > 0 ? (float)(1 / t) : 0.0f,
                   (unsigned long long)a->p[LB_SAMPLE_P_SEED] };
    if (x->dims[0] == 0) return;
    LB_CUDA_LAUNCH(sample_kernel, lb_row_blocks(x->dims[0]), THREADS, 0, lb_cuda_stream(l), p);
}

} // namespace

LB_CUDA_KERNEL(sample_f32_block) = {
    .name = "sample.f32.block", .op = "sample", .device = "cuda",
    .about = "a row a block; thresholds by counting digits of the ordered logits; f64 sums in a fixed order",
    .source = "luabench", .isa = LB_ISA_SM80, .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_F64,
    .compute = LB_COMPUTE_F32, .tolerance = 1e-30, .tolerance_why = "ids, compared where f32 can tell", .priority = 1,
    .supports = supports, .launch = launch,
};
