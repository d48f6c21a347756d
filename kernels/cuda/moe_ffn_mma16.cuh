/* moe_ffn_mma16.cuh: the experts of one class, or of all, in one persistent launch: gate, up, SwiGLU, down, from
 * weights in mma16 (tile16.cuh) of whatever formats a list names.
 *
 * Work is items, handed out by a ticket: first all of gate and up, then all of down. An item is an expert, up to 8
 * NT of its rows, and some groups of weight rows: two panels of gate and the same two of up (32 rows of h), or
 * four panels of down (64 rows of y). The eight warps are two for each of the four panels, which share its K by
 * turns of 256 columns; their sums meet in shared memory, in order, whatever the batch: a row has the same bits
 * alone and among others.
 *
 * Each warp streams its weights through a ring of its own that runs ahead into the next item, so that the memory
 * is busy while rows of x are fetched, sums are added, and an item of down waits until all of its expert's h is
 * there (a counter for each expert, added to with release and read with acquire). An item waits only for items
 * with lower tickets, which somebody is working on: there is always progress, whatever the number of blocks. x and
 * h are turned into bf16 on the way into shared memory. The last block to leave puts the counters back to 0.
 *
 * Bytes: each expert's weights once from memory, x and h from L2: rows * 4 K for each item. GLM-4.7-Flash (2048,
 * 1536, 4 of 64) at about 4.5 bits: one token 21 MB, 4.4 us at an H200's 4.8 TB/s; 256 tokens 339 MB, 71 us.
 * Expected above that for one token: the launch, reading the routing and the two fills of the rings, 3 to 4 us. */
#pragma once
#include "tile16.cuh"

/* The rings' depth in steps of 256 columns, and the most experts that a launch's parameters take. */
constexpr int LB_MOE_DEPTH = 4, LB_MOE_EXPERTS = 256;
/* Tickets: the next item, blocks that have left, finished items of gate and up for each expert. */
constexpr int LB_MOE_NEXT = 0, LB_MOE_LEFT = 1, LB_MOE_DONE = 2;

struct lb_moe_weights { const uint8_t *bytes; uint16_t unit_bytes; uint8_t format, units_per_step; };
struct lb_moe_args {
    const float *x;
    float *h, *y;
    const int32_t *offsets, *rows, *cls;
    unsigned *tickets;
    const float *bias[3];      /* [experts][rows of weights], or null */
    float alpha, limit;        /* limit > 0: gpt-oss's gate */
    int top, hidden, inner, experts, only, chunk /* columns of x in shared memory */, slot_bytes /* of a ring's step */;
    lb_moe_weights w[3 * LB_MOE_EXPERTS]; /* gate, up, down of each */
};
struct lb_moe_expert { int id, first, rows, item[2]; };   /* its first items of gate and up, and of down */
struct lb_moe_item { int down, id, first, rows /* 0: there is no item */, group, end, needed; };

/* A warp's way through the steps of its panel in each group of the items: what it asks for next. It stands in
 * shared memory between the steps, where it costs no registers. */
struct lb_moe_stream {
    const uint8_t *at;   /* the next step */
    int turn, group, end, step, steps, units, units_per_step, unit_bytes;
};

/* What is in shared memory beside rings, x and sums. */
struct lb_moe_table {
    lb_moe_expert expert[LB_MOE_EXPERTS + 1];
    int count, total[2], each[2];     /* groups of an item */
    lb_moe_item item[2];              /* this turn's and the next's */
    lb_moe_stream ahead[LB_WARPS];
};

LB_DEVICE int lb_ceil(int a, int b) { return (a + b - 1) / b; }

/* The experts with rows, in order, and where their items begin. One warp; the offsets come 32 at a time. */
template <int NT> LB_DEVICE void lb_moe_plan(const lb_moe_args &a, lb_moe_table *t) {
    const int lane = (int)threadIdx.x, groups[2] = { lb_ceil(a.inner, 2 * LB_ROWS), lb_ceil(a.hidden, 4 * LB_ROWS) };
    int count = 0, chunks = 0;
    for (int e0 = 0; e0 < a.experts; e0 += 32) {
        int e = e0 + lane, first = 0, rows = 0;
        if (e < a.experts && (a.only < 0 || a.cls[e] == a.only)) first = a.offsets[e], rows = a.offsets[e + 1] - first;
        unsigned have = __ballot_sync(0xffffffffu, rows > 0);
        int mine = lb_ceil(rows, 8 * NT), before = mine;
        LB_UNROLL for (int by = 1; by < 32; by *= 2) {
            int v = __shfl_up_sync(0xffffffffu, before, (unsigned)by);
            if (lane >= by) before += v;
        }
        if (rows > 0) {
            lb_moe_expert *x = &t->expert[count + __popc(have & ((1u << lane) - 1))];
            x->id = e, x->first = first, x->rows = rows, x->item[0] = chunks + before - mine;
        }
        chunks += __shfl_sync(0xffffffffu, before, 31);
        count += __popc(have);
    }
    __syncwarp();
    int each[2];
    LB_UNROLL for (int i = 0; i < 2; i++) { /* four items a block or more; else as few groups as there can be */
        each[i] = (int)((int64_t)chunks * groups[i] / (4 * (int64_t)gridDim.x));
        each[i] = each[i] < 1 ? 1 : each[i] > 8 ? 8 : each[i];
    }
    int items[2] = { lb_ceil(groups[0], each[0]), lb_ceil(groups[1], each[1]) };
    for (int i = lane; i < count; i += 32) {
        int at = t->expert[i].item[0];
        t->expert[i].item[0] = at * items[0], t->expert[i].item[1] = at * items[1];
    }
    if (lane == 0) {
        t->count = count, t->total[0] = chunks * items[0], t->total[1] = chunks * items[1];
        t->each[0] = each[0], t->each[1] = each[1];
    }
}

/* Item `id`, into shared memory: what all warps need to know of it. One thread. */
template <int NT> LB_DEVICE void lb_moe_find(const lb_moe_args &a, const lb_moe_table *t, int id, lb_moe_item *v) {
    v->rows = 0;
    if (id >= t->total[0] + t->total[1]) return;
    const int down = id >= t->total[0];
    if (down) id -= t->total[0];
    int low = 0, high = t->count - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (t->expert[middle].item[down] <= id) low = middle;
        else high = middle - 1;
    }
    const lb_moe_expert &x = t->expert[low];
    int all = down ? lb_ceil(a.hidden, 4 * LB_ROWS) : lb_ceil(a.inner, 2 * LB_ROWS), each = t->each[down];
    int items = lb_ceil(all, each), chunk = (id - x.item[down]) / items, part = (id - x.item[down]) % items;
    v->down = down, v->id = x.id, v->first = x.first + chunk * 8 * NT;
    v->rows = x.rows - chunk * 8 * NT < 8 * NT ? x.rows - chunk * 8 * NT : 8 * NT;
    v->group = part * each, v->end = all < (part + 1) * each ? all : (part + 1) * each;
    v->needed = lb_ceil(x.rows, 8 * NT) * lb_ceil(lb_ceil(a.inner, 2 * LB_ROWS), t->each[0]);
}

LB_DEVICE void lb_moe_begin_group(const lb_moe_args &a, lb_moe_stream &s, const lb_moe_item *item) {
    const int warp = (int)threadIdx.x / 32, slot = warp / 2, slice = warp % 2, down = item->down;
    const lb_moe_weights &w = a.w[3 * item->id + (down ? 2 : slot / 2)];
    const int panel = down ? 4 * s.group + slot : 2 * s.group + slot % 2, k = down ? a.inner : a.hidden;
    s.units_per_step = w.units_per_step, s.unit_bytes = w.unit_bytes;
    s.units = lb_ceil(k, 256 / s.units_per_step);
    s.steps = panel * LB_ROWS < (down ? a.hidden : a.inner) ? lb_ceil(k, 256) : 0;
    s.step = slice;
    s.at = w.bytes + ((int64_t)panel * s.units + slice * s.units_per_step) * s.unit_bytes;
}
LB_DEVICE void lb_moe_begin_item(const lb_moe_args &a, lb_moe_stream &s, const lb_moe_item *item) {
    s.group = item->group, s.end = item->rows ? item->end : s.group;
    if (s.group < s.end) lb_moe_begin_group(a, s, item);
}
/* To a group that has steps left for this warp; false: the item has none. */
LB_DEVICE bool lb_moe_has_step(const lb_moe_args &a, lb_moe_stream &s, const lb_moe_item *item) {
    while (s.group < s.end) {
        if (s.step < s.steps) return true;
        if (++s.group < s.end) lb_moe_begin_group(a, s, item);
    }
    return false;
}
LB_DEVICE int lb_moe_units_of(int units, int units_per_step, int step) {
    int left = units - step * units_per_step;
    return left < units_per_step ? left : units_per_step;
}

/* `rows` rows of x (of the token of each slot) or of h, columns [k0, k0 + columns), to shared memory as bf16. Past
 * L1, which may hold what h was. Zeros behind k. */
LB_DEVICE void lb_moe_rows(const lb_moe_args &a, const lb_moe_item &item, int k0, int columns, uint8_t *to,
                           int stride) {
    const int k = item.down ? a.inner : a.hidden;
    const bool vectors = k % 4 == 0 && (((uintptr_t)a.x | (uintptr_t)a.h) & 15) == 0;
    for (int i = (int)threadIdx.x; i < item.rows * (columns / 4); i += LB_THREADS) {
        int row = i / (columns / 4), c = i % (columns / 4) * 4, slot = a.rows[item.first + row];
        const float *from = (item.down ? a.h + (int64_t)slot * k : a.x + (int64_t)(slot / a.top) * k) + k0 + c;
        float v[4] = { 0, 0, 0, 0 };
        if (vectors && k0 + c < k) {
            float4 f = __ldcg((const float4 *)(const void *)from);
            v[0] = f.x, v[1] = f.y, v[2] = f.z, v[3] = f.w;
        } else {
            LB_UNROLL for (int j = 0; j < 4; j++)
                if (k0 + c + j < k) v[j] = __ldcg(from + j);
        }
        *(uint2 *)(void *)(to + row * stride + lb_x_place(c)) = make_uint2(lb_pack_bf16x2(v[0], v[1]),
                                                                           lb_pack_bf16x2(v[2], v[3]));
    }
}

LB_DEVICE float lb_moe_gated(const lb_moe_args &a, float gate, float up) {
    if (a.limit > 0) {
        gate = gate > a.limit ? a.limit : gate; /* NaN stays */
        up = up > a.limit ? a.limit : up < -a.limit ? -a.limit : up;
        return (up + 1.0f) * (gate / (1.0f + expf(-a.alpha * gate)));
    }
    return gate / (1.0f + expf(-gate)) * up;
}
/* sums[warp][row][8 NT] -> h or y of one group. */
template <int NT> LB_DEVICE void lb_moe_finish(const lb_moe_args &a, const lb_moe_item &item, int group,
                                               const float *sums) {
    constexpr int PANEL = LB_ROWS * 8 * NT; /* sums of a warp */
    const int weight_rows = item.down ? 4 * LB_ROWS : 2 * LB_ROWS, n = item.down ? a.hidden : a.inner;
    for (int i = (int)threadIdx.x; i < item.rows * weight_rows; i += LB_THREADS) {
        int column = i / weight_rows, r = i % weight_rows, row = group * weight_rows + r;
        if (row >= n) continue;
        const float *s = sums + r / LB_ROWS * 2 * PANEL + r % LB_ROWS * 8 * NT + column;
        float v = s[0] + s[PANEL];
        int64_t slot = a.rows[item.first + column];
        const int64_t at = (int64_t)item.id * n + row;
        if (item.down) {
            a.y[slot * n + row] = a.bias[2] ? v + a.bias[2][at] : v;
        } else {
            float up = s[4 * PANEL] + s[5 * PANEL];
            if (a.bias[0]) v += a.bias[0][at];
            if (a.bias[1]) up += a.bias[1][at];
            a.h[slot * n + row] = lb_moe_gated(a, v, up);
        }
    }
}

/* The formats that one launch can mix. A step is one choice by a number that all lanes share; the products behind
 * it are the format's own. */
template <int NT> struct lb_moe_sums { float c[1][NT][4]; };
template <class... F> struct lb_moe_formats {
    static constexpr int NONE = 255;
    template <class X> static bool take(const lb_quantizer *q, int number, lb_moe_weights *w) {
        if (!lb_format_is<X>(q)) return false;
        w->unit_bytes = (uint16_t)X::UNIT_BYTES, w->format = (uint8_t)number, w->units_per_step =
            (uint8_t)(256 / X::UNIT_K);
        return true;
    }
    static lb_moe_weights describe(const lb_quantizer *q) {
        lb_moe_weights w = {};
        w.format = NONE;
        int number = 0;
        (void)(take<F>(q, number++, &w) || ...);
        return w;
    }
    /* A function to call, not to inline: beside its callers' registers the formats' code would not find enough, and
     * they would be spilled. Places in shared memory are given as offsets, so that reads are known to be of it. */
    template <class X, int NT>
    static __device__ __noinline__ lb_moe_sums<NT> step(int unit, int units, int x, int stride, int rows,
                                                        lb_moe_sums<NT> sums) {
        LB_CUDA_SHARED(smem);
        const typename X::context none = {};
        _Pragma("unroll 1") for (int u = 0; u < units; u++)
            lb_unit_products<X, 1, NT, false>(none, smem + unit + u * X::UNIT_BYTES, 0, smem + x + u * X::UNIT_K * 2,
                                              stride, rows, nullptr, sums.c);
        return sums;
    }
    template <int NT>
    static __device__ __forceinline__ void products(int format, int unit, int units, int x, int stride, int rows,
                                                    lb_moe_sums<NT> &sums) {
        int number = 0;
        (void)((format == number++ && (sums = step<F, NT>(unit, units, x, stride, rows, sums), true)) || ...);
    }
};

template <class FORMATS, int NT> __global__ void __launch_bounds__(LB_THREADS, NT > 1 ? 1 : 2)
lb_moe_ffn16(const __grid_constant__ lb_moe_args a) {
    LB_CUDA_SHARED(smem);
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4, stride =
        lb_x_stride(a.chunk);
    lb_moe_table *table = (lb_moe_table *)(void *)smem;
    float *sums = (float *)(void *)(smem + (sizeof(lb_moe_table) + 127) / 128 * 128);
    const int xs_at = (int)(sizeof(lb_moe_table) + 127) / 128 * 128 + LB_WARPS * LB_ROWS * 8 * NT * 4;
    const int ring_at = xs_at + 8 * NT * stride + warp * LB_MOE_DEPTH * a.slot_bytes;
    if (warp == 0) lb_moe_plan<NT>(a, table);
    __syncwarp();
    if (threadIdx.x == 0) lb_moe_find<NT>(a, table, (int)atomicAdd(a.tickets + LB_MOE_NEXT, 1u), &table->item[0]);
    __syncthreads();

    int asked = 0, used = 0;
    /* Until the ring is full, or what comes next is not known: items are up to turn `known`. */
    auto ask = [&](int known) {
        lb_moe_stream s = table->ahead[warp];
        const uint64_t policy = lb_policy_once();
        while (asked < used + LB_MOE_DEPTH) {
            if (!lb_moe_has_step(a, s, &table->item[s.turn & 1])) {
                if (s.turn == known) break;
                lb_moe_begin_item(a, s, &table->item[++s.turn & 1]);
                continue;
            }
            int bytes = lb_moe_units_of(s.units, s.units_per_step, s.step) * s.unit_bytes;
            uint8_t *slot = smem + ring_at + asked % LB_MOE_DEPTH * a.slot_bytes;
            _Pragma("unroll 1") for (int i = lane * 16; i < bytes; i += 512) lb_copy_async_once_16(slot + i, s.at + i,
                    policy);
            lb_copy_commit();
            asked++;
            s.step += 2, s.at += 2 * s.units_per_step * s.unit_bytes;
        }
        __syncwarp();
        if (lane == 0) table->ahead[warp] = s;
        __syncwarp();
    };
    if (lane == 0) {
        lb_moe_stream s = {};
        lb_moe_begin_item(a, s, &table->item[0]);
        table->ahead[warp] = s;
    }
    __syncwarp();
    for (int turn = 0; table->item[turn & 1].rows; turn++) {
        const lb_moe_item *item = &table->item[turn & 1];
        ask(turn);
        if (threadIdx.x == 0) {
            lb_moe_find<NT>(a, table, (int)atomicAdd(a.tickets + LB_MOE_NEXT, 1u), &table->item[(turn + 1) & 1]);
            if (item->down) lb_wait_at_least(a.tickets + LB_MOE_DONE + item->id, (unsigned)item->needed);
        }
        __syncthreads();

        const int k = item->down ? a.inner : a.hidden;
        const lb_moe_weights &w = a.w[3 * item->id + (item->down ? 2 : warp / 4)];
        const int format = w.format, units_per_step = w.units_per_step, units = lb_ceil(k, 256 / units_per_step);
        const int end = item->end; /* behind the last group's barrier another item may be written over this */
        _Pragma("unroll 1") for (int group = item->group; group < end; group++) {
            const int panel = item->down ? 4 * group + warp / 2 : 2 * group + warp / 2 % 2;
            const int steps = panel * LB_ROWS < (item->down ? a.hidden : a.inner) ? lb_ceil(k, 256) : 0;
            lb_moe_sums<NT> acc = {};
            _Pragma("unroll 1") for (int k0 = 0; k0 < k; k0 += a.chunk) {
                if (group == item->group || k > a.chunk) {
                    int columns = lb_ceil(k - k0 < a.chunk ? k - k0 : a.chunk, 256) * 256;
                    lb_moe_rows(a, *item, k0, columns, smem + xs_at, stride);
                    __syncthreads();
                }
                int last = (k0 + a.chunk) / 256 < steps ? (k0 + a.chunk) / 256 : steps;
                _Pragma("unroll 1") for (int step = k0 / 256 + warp % 2; step < last; step += 2) {
                    int later = asked - used - 1; /* copies that may go on */
                    if (later <= 0) lb_copy_wait<0>();
                    else if (later == 1) lb_copy_wait<1>();
                    else if (later == 2) lb_copy_wait<2>();
                    else lb_copy_wait<3>();
                    __syncwarp();
                    ask(turn + 1); /* into the slot of the step before, which all lanes have left */
                    const int unit = ring_at + used % LB_MOE_DEPTH * a.slot_bytes;
                    FORMATS::template products<NT>(format, unit, lb_moe_units_of(units, units_per_step, step),
                                                   xs_at + (step * 256 - k0) * 2, stride, item->rows, acc);
                    used++;
                }
                if (k0 + a.chunk < k) __syncthreads();
            }
            LB_UNROLL for (int nt = 0; nt < NT; nt++)
                LB_UNROLL for (int i = 0; i < 4; i++)
                    sums[(warp * LB_ROWS + g + i / 2 * 8) * 8 * NT + 8 * nt + 2 * t + i % 2] = acc.c[0][nt][i];
            __syncthreads();
            lb_moe_finish<NT>(a, *item, group, sums);
            __threadfence();
            __syncthreads();
        }
        if (threadIdx.x == 0 && !item->down) lb_add_release(a.tickets + LB_MOE_DONE + item->id, 1u);
        if (lane == 0 && table->ahead[warp].turn == turn) { /* this turn's item is about to be overwritten */
            lb_moe_stream s = table->ahead[warp];
            lb_moe_begin_item(a, s, &table->item[++s.turn & 1]);
            table->ahead[warp] = s;
        }
        __syncwarp();
    }
    if (threadIdx.x == 0) {
        __threadfence();
        if (atomicAdd(a.tickets + LB_MOE_LEFT, 1u) == gridDim.x - 1)
            for (int i = 0; i < LB_MOE_DONE + a.experts; i++) a.tickets[i] = 0;
    }
}

/* ---- what launches it ---- */

template <class FORMATS> struct lb_moe_ffn16_format {
    template <int NT> static size_t smem(int chunk, int slot_bytes) {
        return (sizeof(lb_moe_table) + 127) / 128 * 128 + (size_t)LB_WARPS * LB_ROWS * 8 * NT * 4 +
               (size_t)8 * NT * lb_x_stride(chunk) + (size_t)LB_WARPS * LB_MOE_DEPTH * slot_bytes;
    }
    /* Shared memory that a block can have; without a device, what the largest has. */
    static size_t smem_most(void) {
        int64_t most = lb_cuda_info_now()->smem_per_block;
        return most ? (size_t)most : 227 << 10;
    }
    static bool supports(const lb_args *a, const char **why) {
        int slot_bytes = 0;
        if (a->t[LB_FFN_GATE].count > LB_MOE_EXPERTS) {
            *why = "more than 256 experts";
            return false;
        }
        for (int slot = LB_FFN_GATE; slot <= LB_FFN_DOWN; slot++)
            for (int32_t e = 0; e < a->t[slot].count; e++) {
                const lb_tensor *w = a->t[slot].items[e];
                lb_moe_weights d = {};
                d.format = FORMATS::NONE;
                if (w->dtype == LB_QUANT) d = FORMATS::describe(w->quantizer);
                if (d.format == FORMATS::NONE) {
                    *why = "an expert's weights have a format that this kernel does not mix";
                    return false;
                }
                if (d.unit_bytes * d.units_per_step > slot_bytes) slot_bytes = d.unit_bytes * d.units_per_step;
            }
        if (smem<2>(512, slot_bytes) <= smem_most()) return true;
        *why = "the rings of these formats do not fit into this device's shared memory";
        return false;
    }
    template <int NT> static void run(lb_moe_args &p, cudaStream_t stream) {
        const lb_cuda_info *d = lb_cuda_info_now();
        int longest = p.hidden > p.inner ? p.hidden : p.inner;
        /* x as far as shared memory goes, whole items of it if it can be */
        p.chunk = longest < 2048 ? (longest + 511) / 512 * 512 : 2048;
        while (p.chunk > 512 && smem<NT>(p.chunk, p.slot_bytes) > smem_most()) p.chunk -= 512;
        size_t bytes = smem<NT>(p.chunk, p.slot_bytes);
        int per_sm = NT > 1 || 2 * ((int64_t)bytes + 1024) > d->smem_per_sm ? 1 : 2;
        lb_cuda_smem(lb_moe_ffn16<FORMATS, NT>, bytes);
        LB_CUDA_LAUNCH((lb_moe_ffn16<FORMATS, NT>), (unsigned)(d->sm_count * per_sm), LB_THREADS, bytes, stream, p);
    }
    static void launch(const lb_args *a, const lb_launch *l) {
        static thread_local lb_moe_args p;
        const lb_tensor *x = lb_arg(a, LB_FFN_X), *h = lb_arg(a, LB_FFN_H), *rows = lb_arg(a, LB_FFN_ROWS);
        int tokens = (int)x->dims[0], slots = (int)rows->dims[0];
        if (slots == 0) return;
        p.x = lb_tensor_f32(x), p.h = (float *)lb_tensor_data(h), p.y = (float *)lb_tensor_data(lb_arg(a, LB_FFN_Y));
        p.offsets = (const int32_t *)lb_tensor_data(lb_arg(a, LB_FFN_OFFSETS));
        p.rows = (const int32_t *)lb_tensor_data(rows), p.cls = (const int32_t *)lb_tensor_data(lb_arg(a,
                LB_FFN_CLASS));
        p.tickets = lb_cuda_tickets(l), p.top = slots / tokens, p.hidden = (int)x->dims[1], p.inner = (int)h->dims[1];
        for (int j = 0; j < 3; j++) {
            const lb_tensor *bias = lb_arg(a, LB_FFN_GATE_BIAS + j);
            p.bias[j] = bias ? lb_tensor_f32(bias) : nullptr;
        }
        p.alpha = (float)a->p[LB_FFN_P_ALPHA], p.limit = (float)a->p[LB_FFN_P_LIMIT];
        p.experts = a->t[LB_FFN_GATE].count, p.only = (int)a->p[LB_FFN_P_CLASS], p.slot_bytes = 0;
        for (int e = 0; e < p.experts; e++)
            for (int j = 0; j < 3; j++) {
                const lb_tensor *w = a->t[LB_FFN_GATE + j].items[e];
                p.w[3 * e + j] = FORMATS::describe(w->quantizer);
                p.w[3 * e + j].bytes = (const uint8_t *)lb_tensor_data(w);
                int step = p.w[3 * e + j].unit_bytes * p.w[3 * e + j].units_per_step;
                if (step > p.slot_bytes) p.slot_bytes = step;
            }
        /* An expert never has more rows than there are tokens. */
        if (tokens <= 8) run<1>(p, lb_cuda_stream(l));
        else run<2>(p, lb_cuda_stream(l));
    }
};

#define LB_MOE_FFN16_FIELDS(NAME, ABOUT)                                                                             \
    .name = NAME, .op = "moe_ffn", .device = "cuda", .about = ABOUT, .source = "luabench", .isa = LB_ISA_SM80,       \
    .format = "any", .act = LB_ACT_BF16, .acc = LB_ACC_F32, .compute = LB_COMPUTE_BF16, .tolerance = 1e-8,           \
    .tolerance_why = "codes and bf16 activations are exact, scales and sums f32; silu by expf in f32; 1e-9 was seen " \
                     "where one token's sums cancel", .priority = 20
