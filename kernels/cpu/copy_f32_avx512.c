/* copy_f32_avx512.c: out = x with stores that pass the caches by: a store that does not, reads its line first. */
#include <immintrin.h>
#include <string.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"

/* Below this the copy is read again soon, and stays in a cache. */
enum { STREAM_FROM = 1 << 20 };

static void stream(const float *x, float *out, int64_t n) {
    int64_t i = 0;
    for (; i < n && ((uintptr_t)(out + i) & 63); i++) out[i] = x[i];
    for (; i + 64 <= n; i += 64)
        for (int c = 0; c < 64; c += 16) _mm512_stream_ps(out + i + c, _mm512_loadu_ps(x + i + c));
    for (; i < n; i++) out[i] = x[i];
    _mm_sfence();
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_weight(a, l, LB_COPY_X);
    float *out = lb_tensor_data(lb_arg(a, LB_COPY_OUT));
    int64_t begin, end;
    lb_split(lb_tensor_numel(x), 1024, l->part, l->parts, &begin, &end);
    if (end - begin >= STREAM_FROM) stream(lb_tensor_f32(x) + begin, out + begin, end - begin);
    else memcpy(out + begin, lb_tensor_f32(x) + begin, (size_t)(end - begin) * 4);
}

const lb_kernel lb_kernel_copy_f32_avx512 = {
    .name = "copy.f32.avx512", .op = "copy", .device = "cpu",
    .about = "one share a part; from 4 MiB a share on with stores past the caches", .source = "luabench",
    .isa = LB_ISA_AVX512, .format = "f32", .acc = LB_ACC_NONE, .compute = LB_COMPUTE_NONE, .tolerance = 1e-30,
    .tolerance_why = "bytes", .priority = 10, .launch = launch,
};
