/* bind_eager.c: lb.<op>{ operands }: runs one operation now. The one-step plan is kept and used again when the same
 * tensors come again, so that a repeated call only reads its table, compares addresses and runs.
 *
 * An output that the caller leaves out is new for every call: a kept plan is used again only if nobody else holds the
 * output that it allocated. Give `out` to call at full speed. */
#include <stdlib.h>
#include <string.h>

#include "../measure.h"
#include "bind_call.h"

#define ENTRIES 16
#define OPS 256

typedef struct entry {
    lb_plan *plan;               /* NULL = free */
    lb_args args;                /* items belong to the plan */
    uint32_t allocated;          /* bit per operand that the plan allocated */
    int refs[LB_MAX_OPERANDS];   /* references of an allocated output while only the plan holds it */
    lb_step_opts opts;           /* without the label */
    uint64_t used;
} entry;

static entry *tables[OPS];       /* per operation; one Lua state a process */
static uint64_t clock_;
static const entry *busy;        /* in use by the call under way: a collection in the middle must not drop it */

static void drop(entry *e) {
    lb_plan *p = e->plan;
    memset(e, 0, sizeof *e);
    if (p) lb_plan_release(p);
}

static bool holds(const entry *e, const lb_tensor *t) {
    for (int i = 0; i < LB_MAX_OPERANDS; i++) {
        for (int32_t k = 0; k < e->args.t[i].count; k++)
            if (e->args.t[i].items[k] == t) return true;
    }
    return e->opts.when.tensor == t || e->opts.pick.tensor == t;
}

void bind_eager_forget(const lb_tensor *t) {
    for (int o = 0; o < OPS; o++) {
        for (int i = 0; tables[o] && i < ENTRIES; i++) {
            entry *e = &tables[o][i];
            if (e->plan && e != busy && holds(e, t)) drop(e);
        }
    }
}

void bind_eager_clear(void) {
    for (int o = 0; o < OPS; o++) {
        for (int i = 0; tables[o] && i < ENTRIES; i++) drop(&tables[o][i]);
        free(tables[o]);
        tables[o] = NULL;
    }
}

static bool same_opts(const lb_step_opts *a, const lb_step_opts *b) {
    return a->kernel == b->kernel && a->when.tensor == b->when.tensor && a->when.index == b->when.index
           && a->pick.tensor == b->pick.tensor && a->pick.index == b->pick.index &&
           a->native_layout == b->native_layout;
}

static bool matches(const entry *e, const bind_keys *keys, const bind_call *call) {
    if (!e->plan || !same_opts(&e->opts, &call->opts)) return false;
    for (int i = 0; i < keys->operands; i++) {
        const lb_operand *have = &e->args.t[i], *want = &call->args.t[i];
        if (e->allocated >> i & 1u) {
            if (want->count || atomic_load(&have->items[0]->refs) != e->refs[i]) return false;
            continue;
        }
        if (have->count != want->count) return false;
        for (int32_t k = 0; k < have->count; k++)
            if (have->items[k] != want->items[k]) return false;
    }
    for (int i = 0; i < keys->params; i++)
        if (e->args.p[i] != call->args.p[i]) return false;
    return true;
}

static lb_device *device_of(lua_State *L, const bind_keys *keys, const bind_call *call) {
    for (int i = 0; i < keys->operands; i++)
        if (call->args.t[i].count) return call->args.t[i].items[0]->buffer->device;
    return bind_device_at(L, lua_gettop(L) + 1);
}

/* Records the call in the slot that was used longest ago. */
static entry *remember(lua_State *L, entry *table, const bind_keys *keys, bind_call *call) {
    entry *e = table;
    for (int i = 0; i < ENTRIES; i++)
        if (!table[i].plan || table[i].used < e->used) e = &table[i];
    drop(e);
    busy = e;
    uint32_t given = 0;
    for (int i = 0; i < keys->operands; i++)
        if (call->args.t[i].count) given |= 1u << i;
    BIND_TRY(L, lb_plan_new(device_of(L, keys, call), &e->plan));
    lb_operand before[LB_MAX_OPERANDS];
    memcpy(before, call->args.t, sizeof before);
    lb_status s = lb_plan_add(e->plan, keys->op, &call->args, &call->opts, NULL);
    if (s == LB_ENOMEM) {
        lua_gc(L, LUA_GCCOLLECT, 0);
        memcpy(call->args.t, before, sizeof before);
        s = lb_plan_add(e->plan, keys->op, &call->args, &call->opts, NULL);
    }
    lb_step_info info;
    if (!s) s = lb_plan_step(e->plan, 0, &info);
    if (!s) s = lb_plan_run(e->plan);           /* prepares; may take references of its own */
    if (s) {
        drop(e);
        bind_raise(L, s);
    }
    s = lb_plan_step(e->plan, 0, &info);
    e->args = *info.args;
    e->opts = call->opts;
    e->opts.label = NULL;
    for (int i = 0; i < keys->operands; i++) {
        if (!e->args.t[i].count || given >> i & 1u) continue;
        e->allocated |= 1u << i;
        e->refs[i] = atomic_load(&e->args.t[i].items[0]->refs);
        bind_pressure(L, lb_tensor_size_bytes(e->args.t[i].items[0]));
    }
    return e;
}

/* Pushes what the operation wrote, in the order of its operands: the caller's own objects where it gave them. */
static int push_results(lua_State *L, const bind_keys *keys, const entry *e) {
    int n = 0;
    luaL_checkstack(L, LB_MAX_OPERANDS, "too many outputs");
    for (int i = 0; i < keys->operands; i++) {
        lb_role r = keys->op->operands[i].role;
        if ((r != LB_WRITE && r != LB_PARTIAL && r != LB_UPDATE) || !e->args.t[i].count) continue;
        if (e->allocated >> i & 1u) {
            bind_push_tensor(L, e->args.t[i].items[0]);
        } else {
            lua_pushstring(L, keys->operand[i]);
            lua_rawget(L, 1);
        }
        n++;
    }
    return n;
}

/* upvalues: keys, index of the operation */
static int eager(lua_State *L) {
    const bind_keys *keys = lua_touserdata(L, lua_upvalueindex(1));
    entry **table = &tables[lua_tointeger(L, lua_upvalueindex(2))];
    bind_call call;
    lua_settop(L, 1);
    busy = NULL;
    bind_read_call(L, 1, keys, NULL, &call);
    if (!*table && !(*table = calloc(ENTRIES, sizeof(entry)))) return luaL_error(L, "not enough memory");
    entry *found = NULL;
    for (int i = 0; i < ENTRIES && !found; i++)
        if (matches(&(*table)[i], keys, &call)) found = &(*table)[i];
    if (found) {
        lb_status s = lb_plan_submit(found->plan);
        if (s) return bind_raise(L, s);
    } else {
        found = remember(L, *table, keys, &call);
    }
    busy = found;
    found->used = ++clock_;
    int n = push_results(L, keys, found);
    busy = NULL;
    return n;
}

void bind_open_eager(lua_State *L) {
    int module = lua_gettop(L);
    lua_newtable(L);
    lua_getfield(L, LUA_REGISTRYINDEX, "luabench.opkeys");
    for (int i = 0; lb_ops[i] && i < OPS; i++) {
        lua_getfield(L, -1, lb_ops[i]->name);
        lua_pushinteger(L, i);
        lua_pushcclosure(L, eager, 2);
        lua_setfield(L, module + 1, lb_ops[i]->name);
    }
    lua_pop(L, 1);
    lua_setfield(L, module, "eager");
}
