/* sparse.h: the kept values of sparse formats: bf16, int8 or e4m3 with a scale a row. */
#pragma once
#include "bits.h"
#include "minifloat.h"

enum { LB_SPARSE_BF16, LB_SPARSE_INT8, LB_SPARSE_FLOAT8, LB_SPARSE_KINDS };
static const char *const lb_sparse_suffix[LB_SPARSE_KINDS] = { "", "-int8dq", "-float8dq" };

LB_INLINE int lb_sparse_bytes(int kind) { return kind == LB_SPARSE_BF16 ? 2 : 1; }

/* The scale of a row whose greatest kept magnitude is amax: int8dq's rule, or float8dq-row's. */
LB_INLINE float lb_sparse_scale(int kind, float amax) {
    if (kind == LB_SPARSE_INT8) return amax / 127.5f > 0x1p-23f ? amax / 127.5f : 0x1p-23f;
    return kind == LB_SPARSE_FLOAT8 ? amax / 448.0f : 1.0f;
}

LB_INLINE void lb_sparse_put(int kind, float w, float scale, uint8_t *at) {
    if (kind == LB_SPARSE_BF16) {
        uint16_t h = lb_f32_to_bf16(w);
        memcpy(at, &h, 2);
    } else if (kind == LB_SPARSE_INT8) {
        *at = (uint8_t)(int8_t)(int32_t)lb_nearest(lb_clamp(w * (1.0f / scale), -128.0f, 127.0f));
    } else {
        *at = lb_mini_encode(LB_E4M3, w / (scale > 0 ? scale : 1.0f));
    }
}

LB_INLINE float lb_sparse_get(int kind, const uint8_t *at, float scale) {
    if (kind == LB_SPARSE_BF16) {
        uint16_t h;
        memcpy(&h, at, 2);
        return lb_bf16_to_f32(h);
    }
    return kind == LB_SPARSE_INT8 ? (float)(int8_t)*at * scale : lb_mini_decode(LB_E4M3, *at) * scale;
}

/* Is `name` the stem with this kind's suffix? Where the kind has none, what is wrong with other suffixes is said. */
static inline bool lb_sparse_named(const char *name, const char *stem, int kind, char why[64]) {
    size_t length = strlen(stem);
    why[0] = 0;
    if (strncmp(name, stem, length) || (name[length] && name[length] != '-')) return false;
    for (int i = 0; i < LB_SPARSE_KINDS; i++)
        if (!strcmp(name + length, lb_sparse_suffix[i])) return i == kind;
    if (kind == LB_SPARSE_BF16) snprintf(why, 64, "behind %s comes nothing, -int8dq or -float8dq", stem);
    return false;
}
