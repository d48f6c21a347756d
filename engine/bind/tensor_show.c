/* tensor_show.c: tensors as text: what they are, then their values with the middle of long dimensions left out. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bind.h"

#define EDGE 3          /* elements kept at each end of a dimension that is left out in the middle */
#define SHOW_ALL 200    /* up to so many elements are shown in full */
#define SHOW_ROW 12     /* and rows of up to so many */

typedef struct shower {
    const lb_tensor *t;
    bool elide;
    bool integers, exponent;
    int width;
    luaL_Buffer *out;
} shower;

static bool shown(const shower *s, int dim, int64_t i) {
    int64_t n = s->t->dims[dim];
    bool all = !s->elide && (dim + 1 < s->t->rank || n <= SHOW_ROW);
    return all || n <= 2 * EDGE + 1 || i < EDGE || i >= n - EDGE;
}

/* The next index to show after i (n = no more), so that long dimensions are not walked. */
static int64_t next_shown(const shower *s, int dim, int64_t i) {
    int64_t n = s->t->dims[dim];
    if (shown(s, dim, i + 1) || i + 1 >= n) return i + 1;
    return n - EDGE;
}

static int format(const shower *s, double v, char *out, size_t bytes) {
    if (isnan(v)) return snprintf(out, bytes, "nan");
    if (isinf(v)) return snprintf(out, bytes, v > 0 ? "inf" : "-inf");
    if (s->integers) return snprintf(out, bytes, "%.0f", v);
    return snprintf(out, bytes, s->exponent ? "%.4e" : "%.4f", v);
}

typedef void (*visit_fn)(shower *s, double v, void *ctx);

static void visit(shower *s, int dim, int64_t *idx, visit_fn fn, void *ctx) {
    for (int64_t i = 0; i < s->t->dims[dim]; i = next_shown(s, dim, i)) {
        idx[dim] = i;
        if (dim + 1 < s->t->rank) visit(s, dim + 1, idx, fn, ctx);
        else fn(s, lb_tensor_at(s->t, idx), ctx);
    }
}

typedef struct range { double lo, hi; bool whole; } range;

static void see_range(shower *s, double v, void *ctx) {
    (void)s;
    range *r = ctx;
    double a = fabs(v);
    if (!isfinite(v)) return;
    if (a > r->hi) r->hi = a;
    if (a > 0 && a < r->lo) r->lo = a;
    if (v != floor(v)) r->whole = false;
}

static void see_width(shower *s, double v, void *ctx) {
    (void)ctx;
    char text[64];
    int n = format(s, v, text, sizeof text);
    if (n > s->width) s->width = n;
}

static void put(shower *s, int dim, int64_t *idx) {
    luaL_addchar(s->out, '[');
    for (int64_t i = 0; i < s->t->dims[dim];) {
        idx[dim] = i;
        if (dim + 1 < s->t->rank) {
            put(s, dim + 1, idx);
        } else {
            char text[64], padded[96];
            format(s, lb_tensor_at(s->t, idx), text, sizeof text);
            snprintf(padded, sizeof padded, "%*s", s->width, text);
            luaL_addstring(s->out, padded);
        }
        int64_t next = next_shown(s, dim, i);
        if (next >= s->t->dims[dim]) break;
        luaL_addstring(s->out, dim + 1 < s->t->rank ? "," : ", ");
        if (dim + 1 < s->t->rank) {
            if (next != i + 1) luaL_addstring(s->out, "\n ..."), luaL_addchar(s->out, ',');
            luaL_addchar(s->out, '\n');
            for (int d = 0; d <= dim; d++) luaL_addchar(s->out, ' ');
        } else if (next != i + 1) {
            luaL_addstring(s->out, "..., ");
        }
        i = next;
    }
    luaL_addchar(s->out, ']');
}

static void put_values(lua_State *L, const lb_tensor *t, luaL_Buffer *b) {
    int64_t idx[LB_MAX_RANK] = { 0 };
    shower s = { .t = t, .out = b, .elide = lb_tensor_numel(t) > SHOW_ALL };
    range r = { INFINITY, 0, true };
    (void)L;
    luaL_addchar(b, '\n');
    if (lb_tensor_numel(t) == 0) {
        luaL_addstring(b, "[]");
        return;
    }
    visit(&s, 0, idx, see_range, &r);
    s.integers = (t->dtype >= LB_I8 && t->dtype <= LB_I64) || (r.whole && r.hi < 1e9);
    s.exponent = !s.integers && r.hi > 0 && (r.hi >= 1e5 || r.lo < 1e-4 || r.hi < 1e-3);
    if (!s.integers && r.lo < 1e-4 && r.hi >= 1e-1 && r.hi < 1e5) s.exponent = false;
    visit(&s, 0, idx, see_width, NULL);
    put(&s, 0, idx);
}

/* "f32[2, 3] on cpu" and the values; a quantized tensor shows its recipe, bits per weight and bytes. */
int bind_tensor_tostring(lua_State *L) {
    const lb_tensor *t = bind_peek(L, 1, &bind_tensor);
    if (!t) return lua_pushliteral(L, "tensor (closed)"), 1;
    char head[256], line[384];
    lb_tensor_describe(t, head, sizeof head);
    double n = (double)lb_tensor_numel(t);
    if (t->dtype == LB_QUANT) {
        double bytes = (double)lb_tensor_size_bytes(t);
        snprintf(line, sizeof line, "%s, %.4g bits per weight, %.0f bytes, %s layout, on %s", head,
                 n > 0 ? bytes * 8 / n : 0.0, bytes, t->layout ? t->layout : "native",
                 lb_device_name(t->buffer->device));
    } else {
        snprintf(line, sizeof line, "%s on %s", head, lb_device_name(t->buffer->device));
    }
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    luaL_addstring(&b, line);
    if (t->dtype != LB_QUANT && t->rank > 0) put_values(L, t, &b);
    luaL_pushresult(&b);
    return 1;
}
