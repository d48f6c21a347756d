/* bind_tensor_math.c: arithmetic, reductions, comparisons and in-place changes of tensors (engine/tensor_ops.h). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../check.h"
#include "../tensor_error.h"
#include "../tensor_spread.h"
#include "../tensor_ops.h"
#include "bind.h"

/* The tensor that argument `arg` is; broken-off pieces of expressions may be numbers. */
static bool is_number(lua_State *L, int arg) { return lua_type(L, arg) == LUA_TNUMBER; }

/* a op b with at least one tensor; numbers broadcast. */
static int binary(lua_State *L, lb_binary op) {
    if (is_number(L, 1)) {
        lb_tensor *t = bind_check_tensor(L, 2);
        BIND_NEW_TENSOR(L, lb_tensor_binary_scalar(op, t, lua_tonumber(L, 1), true, BIND_OUT));
        return 1;
    }
    lb_tensor *a = bind_check_tensor(L, 1);
    if (is_number(L, 2)) {
        BIND_NEW_TENSOR(L, lb_tensor_binary_scalar(op, a, lua_tonumber(L, 2), false, BIND_OUT));
        return 1;
    }
    lb_tensor *b = bind_check_tensor(L, 2);
    BIND_NEW_TENSOR(L, lb_tensor_binary(op, a, b, BIND_OUT));
    return 1;
}

static int add(lua_State *L) { return binary(L, LB_ADD); }
static int sub(lua_State *L) { return binary(L, LB_SUB); }
static int mul(lua_State *L) { return binary(L, LB_MUL); }
static int divide(lua_State *L) { return binary(L, LB_DIV); }
static int minimum(lua_State *L) { return binary(L, LB_MINIMUM); }
static int maximum(lua_State *L) { return binary(L, LB_MAXIMUM); }

static int unary(lua_State *L, lb_unary op) {
    lb_tensor *t = bind_check_tensor(L, 1);
    BIND_NEW_TENSOR(L, lb_tensor_unary(op, t, BIND_OUT));
    return 1;
}

static int neg(lua_State *L) { return unary(L, LB_NEG); }
static int absolute(lua_State *L) { return unary(L, LB_ABS); }
static int root(lua_State *L) { return unary(L, LB_SQRT); }
static int exponential(lua_State *L) { return unary(L, LB_EXP); }
static int logarithm(lua_State *L) { return unary(L, LB_LOG); }

/* t:sum() is a number; t:sum(dim) a tensor without that dimension. argmax counts from 1. */
static int reduce(lua_State *L, lb_reduce op) {
    lb_tensor *t = bind_check_tensor(L, 1);
    if (lua_isnoneornil(L, 2)) {
        double v = 0;
        BIND_TRY(L, lb_tensor_reduce_all(op, t, &v));
        lua_pushnumber(L, op == LB_ARGMAX ? v + 1 : v);
        return 1;
    }
    int64_t dim = bind_integer(L, 2, "dim", -LB_MAX_RANK, LB_MAX_RANK);
    if (dim < 0) dim += t->rank + 1;
    if (dim < 1 || dim > t->rank) return luaL_error(L, "dim: the tensor has dims 1 to %d, got %d", t->rank, (int)dim);
    BIND_NEW_TENSOR(L, lb_tensor_reduce(op, t, (int)dim - 1, BIND_OUT));
    if (op == LB_ARGMAX) {
        lb_tensor *zero_based = *(void **)lua_touserdata(L, -1);
        BIND_NEW_TENSOR(L, lb_tensor_binary_scalar(LB_ADD, zero_based, 1.0, false, BIND_OUT));
        lb_tensor *sum = *(void **)lua_touserdata(L, -1);
        BIND_NEW_TENSOR(L, lb_tensor_to_dtype(sum, LB_I64, BIND_OUT));
    }
    return 1;
}

static int sum(lua_State *L) { return reduce(L, LB_SUM); }
static int mean(lua_State *L) { return reduce(L, LB_MEAN); }
static int least(lua_State *L) { return reduce(L, LB_MIN); }
static int most(lua_State *L) { return reduce(L, LB_MAX); }
static int argmax(lua_State *L) { return reduce(L, LB_ARGMAX); }
static int norm(lua_State *L) { return reduce(L, LB_NORM); }

/* a:matmul(b[, { transposed = true }]): [.., K] x [K, N]; transposed: b is [N, K], as weights are, also quantized. */
static int matmul(lua_State *L) {
    static const char *const keys[] = { "transposed", NULL };
    lb_tensor *a = bind_check_tensor(L, 1), *b = bind_check_tensor(L, 2);
    bind_check_keys(L, 3, "t:matmul", keys);
    bool transposed = bind_opt_boolean(L, 3, "transposed", b->dtype == LB_QUANT);
    BIND_NEW_TENSOR(L, lb_tensor_matmul(a, b, transposed, BIND_OUT));
    return 1;
}

static int equal(lua_State *L) {
    lb_tensor *a = bind_check_tensor(L, 1), *b = bind_check_tensor(L, 2);
    bool same = false;
    BIND_TRY(L, lb_tensor_equal(a, b, &same));
    lua_pushboolean(L, same);
    return 1;
}

/* a:allclose(b[, { rtol = 1e-5, atol = 1e-8 }]) */
static int allclose(lua_State *L) {
    static const char *const keys[] = { "rtol", "atol", NULL };
    lb_tensor *a = bind_check_tensor(L, 1), *b = bind_check_tensor(L, 2);
    bind_check_keys(L, 3, "t:allclose", keys);
    double rtol = bind_opt_number(L, 3, "rtol", 1e-5), atol = bind_opt_number(L, 3, "atol", 1e-8);
    bool close = false;
    if (!(rtol >= 0) || !(atol >= 0)) return luaL_error(L, "t:allclose: rtol and atol are numbers of at least 0");
    BIND_TRY(L, lb_tensor_allclose(a, b, rtol, atol, &close));
    lua_pushboolean(L, close);
    return 1;
}

/* t:fill(v): in place; returns the tensor. */
static int fill(lua_State *L) {
    lb_tensor *t = bind_check_tensor(L, 1);
    double v = bind_number(L, 2, "value");
    BIND_TRY(L, lb_tensor_fill(t, v));
    lua_settop(L, 1);
    return 1;
}

/* t:copy(source): in place, broadcast and converted; returns the tensor. */
static int copy(lua_State *L) {
    lb_tensor *t = bind_check_tensor(L, 1), *source = bind_check_tensor(L, 2);
    BIND_TRY(L, lb_tensor_copy_into(t, source));
    lua_settop(L, 1);
    return 1;
}

/* ---- the error of a quantized or computed tensor ------------------------------------------------------------ */

/* How far x t^T is from x original^T, both in f64. */
static lb_status output_error(const lb_tensor *t, const lb_tensor *original, const lb_tensor *x, double *rel_rmse) {
    lb_tensor *got = NULL, *want = NULL;
    lb_tensor_error_sums d;
    lb_status s = bind_oracle_product(x, original, &want);
    if (!s) s = bind_oracle_product(x, t, &got);
    if (!s) s = lb_tensor_error(got, want, &d);
    if (!s) *rel_rmse = d.error2 == 0 ? 0 : sqrt(d.error2 / d.want2);
    lb_tensor_release(got), lb_tensor_release(want);
    lb_oracle_cache_clear();
    return s;
}

/* t:error(original[, x]): how far t (quantized or not) is from it: { nmse, rel_rmse, sqnr_db, max_abs, cosine, error2,
 * original2 }, the last two the sums of squares of the difference and of the original; with activations x [M, K] also
 * output_rel_rmse, of the products x t^T. Unknown values (an original of zeros) are absent. */
static int error_of(lua_State *L) {
    double output = NAN;
    lb_tensor *t = bind_check_tensor(L, 1), *original = bind_check_tensor(L, 2);
    lb_tensor_error_sums d;
    BIND_TRY(L, lb_tensor_error(t, original, &d));
    if (!lua_isnoneornil(L, 3)) BIND_TRY(L, output_error(t, original, bind_check_tensor(L, 3), &output));
    double nmse = d.error2 == 0 ? 0 : d.error2 / d.want2;
    lua_newtable(L);
    if (isfinite(nmse)) {
        bind_set_number(L, "nmse", nmse);
        bind_set_number(L, "rel_rmse", sqrt(nmse));
        if (nmse > 0) bind_set_number(L, "sqnr_db", -10.0 * log10(nmse));
    }
    bind_set_known(L, "max_abs", d.max_abs);
    bind_set_known(L, "cosine", d.cross / sqrt(d.got2 * d.want2));
    bind_set_number(L, "error2", d.error2);
    bind_set_number(L, "original2", d.want2);
    bind_set_known(L, "output_rel_rmse", output);
    return 1;
}

/* t:spread([share = 0.99]): { mean_abs, max_abs, quantile }: of the magnitudes; the quantile at that share */
static int spread(lua_State *L) {
    const lb_tensor *t = bind_check_tensor(L, 1);
    lb_spread d;
    BIND_TRY(L, lb_tensor_spread(t, lua_isnoneornil(L, 2) ? 0.99 : bind_number(L, 2, "share"), &d));
    lua_newtable(L);
    bind_set_number(L, "mean_abs", d.mean_abs);
    bind_set_number(L, "max_abs", d.max_abs);
    bind_set_number(L, "quantile", d.quantile);
    return 1;
}

const luaL_Reg bind_tensor_methods[] = {
    { "add", add }, { "sub", sub }, { "mul", mul }, { "div", divide }, { "minimum", minimum }, { "maximum", maximum },
    { "neg", neg }, { "abs", absolute }, { "sqrt", root }, { "exp", exponential }, { "log", logarithm }, { "sum", sum },
    { "mean", mean }, { "min", least }, { "max", most }, { "argmax", argmax }, { "norm", norm }, { "matmul", matmul },
    { "equal", equal }, { "allclose", allclose }, { "fill", fill }, { "copy", copy }, { "error", error_of },
    { "spread", spread },
    { NULL, NULL } };
const luaL_Reg bind_tensor_meta[] = { { "__add", add }, { "__sub", sub }, { "__mul", mul }, { "__div", divide },
                                      { "__unm", neg }, { NULL, NULL } };
