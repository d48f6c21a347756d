/* bind_oracle.c: lb.oracle: what results should be, in f64. */
#include <stdlib.h>

#include "../check.h"
#include "bind.h"

/* The values of a tensor, in row-major order, as doubles; malloc'd; NULL without memory. */
static lb_status values_of(const lb_tensor *t, double **out) {
    lb_tensor *wide = NULL;
    int64_t n = lb_tensor_numel(t);
    *out = NULL;
    lb_status s = lb_tensor_to_dtype(t, LB_F64, &wide);
    if (s) return s;
    *out = malloc((size_t)(n > 0 ? n : 1) * sizeof **out);
    if (*out) memcpy(*out, lb_tensor_data(wide), (size_t)n * sizeof **out);
    lb_tensor_release(wide);
    return *out ? LB_OK : lb_fail(LB_ENOMEM, "no memory for %lld values in f64", (long long)n);
}

lb_status bind_oracle_product(const lb_tensor *x, const lb_tensor *w, lb_tensor **out) {
    char a[128], b[128];
    lb_tensor_describe(x, a, sizeof a);
    lb_tensor_describe(w, b, sizeof b);
    if (x->rank != 2 || w->rank != 2 || x->dims[1] != w->dims[1] || x->dtype == LB_QUANT)
        return lb_fail(LB_EINVAL, "oracle.matmul: expected x [M, K] and w [N, K], got %s and %s", a, b);
    double *values = NULL;
    lb_status s = values_of(x, &values);
    if (!s) s = lb_tensor_new(x->buffer->device, LB_F64, NULL, 2, (int64_t[]){ x->dims[0], w->dims[0] }, out);
    if (!s) s = lb_oracle_matmul(values, x->dims[0], w, w->dims[0], x->dims[1], lb_tensor_data(*out));
    if (s) {
        lb_tensor_release(*out);
        *out = NULL;
    }
    free(values);
    return s;
}

/* lb.oracle.matmul(x, w) -> f64 [M, N] = x [M, K] times w [N, K] transposed; w of any dtype or format. */
static int matmul(lua_State *L) {
    lb_tensor *x = bind_check_tensor(L, 1), *w = bind_check_tensor(L, 2);
    BIND_NEW_TENSOR(L, bind_oracle_product(x, w, BIND_OUT));
    return 1;
}

/* Drops the dequantized weights that the oracle keeps for the next check. */
static int forget(lua_State *L) {
    (void)L;
    lb_oracle_cache_clear();
    return 0;
}

void bind_open_oracle(lua_State *L) {
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, matmul);
    lua_setfield(L, -2, "matmul");
    lua_pushcfunction(L, forget);
    lua_setfield(L, -2, "forget");
    lua_setfield(L, -2, "oracle");
}
