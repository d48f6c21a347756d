/* mxfp4_blocks.c: MXFP4 blocks of Hugging Face's gpt-oss checkpoints: neighbours in a byte, scales apart. */
#include "mxfp4_blocks.h"

#include <string.h>

#include "../quantizer.h"
#include "../tensor_convert.h"

enum { BYTES = 16, STORED = 17 };

typedef struct job {
    const uint8_t *blocks, *scales;
    uint8_t *to;
    int64_t rows, kept, groups, first, step;
} job;

/* 32 nibbles, in order from each byte's low one, to 16 bytes that hold value j (low) and value j + 16 (high). */
static void turn(const uint8_t *from, uint8_t *to) {
    for (int j = 0; j < BYTES / 2; j++) {
        uint8_t low = from[j], high = from[j + BYTES / 2];
        to[2 * j] = (uint8_t)((low & 15) | high << 4);
        to[2 * j + 1] = (uint8_t)(low >> 4 | (high & 0xf0));
    }
}

static void some_rows(void *ctx, int64_t begin, int64_t end) {
    const job *j = ctx;
    for (int64_t r = begin; r < end; r++) {
        int64_t from = r / j->kept * j->rows + j->first + r % j->kept * j->step;
        const uint8_t *b = j->blocks + from * j->groups * BYTES, *s = j->scales + from * j->groups;
        uint8_t *to = j->to + r * j->groups * STORED;
        for (int64_t g = 0; g < j->groups; g++, b += BYTES, to += STORED) {
            to[0] = s[g];
            turn(b, to + 1);
        }
    }
}

static bool shapes_fit(const lb_tensor *b, const lb_tensor *s) {
    if (b->dtype != LB_U8 || s->dtype != LB_U8 || b->rank < 3 || s->rank != b->rank - 1) return false;
    for (int i = 0; i < s->rank; i++)
        if (b->dims[i] != s->dims[i] || b->dims[i] < 1) return false;
    return b->dims[b->rank - 1] == BYTES && lb_tensor_is_dense(b) && lb_tensor_is_dense(s);
}

lb_status lb_mxfp4_from_blocks(const lb_tensor *blocks, const lb_tensor *scales, int64_t first, int64_t step,
                               lb_tensor **out) {
    const lb_quantizer *q = NULL;
    *out = NULL;
    if (!shapes_fit(blocks, scales))
        return lb_fail(LB_EINVAL, "mxfp4 blocks: u8 [.., R, G, 16] and scales u8 [.., R, G] expected, both dense");
    int rank = blocks->rank - 1;
    int64_t rows = blocks->dims[rank - 2], groups = blocks->dims[rank - 1], all = 1, dims[LB_MAX_RANK];
    if (step < 1 || first < 0 || first >= step || rows % step)
        return lb_fail(LB_EINVAL, "mxfp4 blocks: every %lld-th row from row %lld on is no whole share of %lld rows",
                       (long long)step, (long long)first, (long long)rows);
    lb_status s = lb_quantizer_find("mxfp4", &q);
    if (s) return s;
    memcpy(dims, blocks->dims, sizeof *dims * (size_t)rank);
    dims[rank - 2] = rows / step;
    dims[rank - 1] = groups * 32;
    for (int i = 0; i < rank - 1; i++) all *= dims[i];
    if ((s = lb_tensor_new(blocks->buffer->device, LB_QUANT, q, rank, dims, out))) return s;
    job j = { .blocks = lb_tensor_data(blocks), .scales = lb_tensor_data(scales), .to = lb_tensor_data(*out),
              .rows = rows, .kept = rows / step, .groups = groups, .first = first, .step = step };
    int64_t grain = (1 << 14) / groups;
    s = lb_convert_for(blocks->buffer->device, all, grain < 1 ? 1 : grain, some_rows, &j);
    if (!s) return LB_OK;
    lb_tensor_release(*out);
    *out = NULL;
    return s;
}
