/* bind_files.c: NumPy files, gzip, shared blobs of tensors, whole files, checksums, and what was built. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../io/blob.h"
#include "../io/npy.h"
#include "../io/zip.h"
#include "bind.h"
#include "version.h"

#define TEXT_MAX ((uint64_t)1 << 30)

/* ---- malloc'd memory that a Lua error must not leak ---------------------------------------------------------- */

typedef struct memory { char *at; size_t bytes; } memory;

static void memory_done(void *block) { free(((memory *)block)->at); }
static memory *push_memory(lua_State *L) { return bind_guard(L, sizeof(memory), memory_done); }

/* ---- .npy ----------------------------------------------------------------------------------------------------- */

/* core.npy_load(path[, device]) */
static int npy_load(lua_State *L) {
    const char *path = bind_path(L, 1, "path");
    lb_device *d = bind_device_at(L, 2);
    BIND_NEW_TENSOR(L, lb_npy_load(path, d, BIND_OUT));
    return 1;
}

/* core.npy_save(path, tensor) */
static int npy_save(lua_State *L) {
    const char *path = bind_path(L, 1, "path");
    BIND_TRY(L, lb_npy_save(path, bind_check_tensor(L, 2)));
    return 0;
}

/* ---- .npz ----------------------------------------------------------------------------------------------------- */

static void zip_done(void *block) { lb_zip_close(block); }

static lb_status load_member(lb_zip *z, int i, lb_device *d, lb_tensor **out) {
    lb_zip_reader *r = NULL;
    lb_source src;
    lb_status s = lb_zip_read(z, i, &r, &src);
    if (s) return s;
    s = lb_npy_read(&src, d, out);
    if (s) lb_fail_in(s, "member %s", z->entries[i].name);
    lb_status end = s ? s : lb_zip_read_end(r);
    if (s) lb_zip_read_end(r);
    if (end && *out) {
        lb_tensor_release(*out);
        *out = NULL;
    }
    return end;
}

/* core.npz_load(path[, device]): { name = tensor }, names without their ".npy". */
static int npz_load(lua_State *L) {
    const char *path = bind_path(L, 1, "path");
    lb_device *d = bind_device_at(L, 2);
    lb_zip *z = bind_guard(L, sizeof *z, zip_done);
    z->file.fd = -1;
    BIND_TRY(L, lb_zip_open(path, z));
    lua_newtable(L);
    for (int i = 0; i < z->count; i++) {
        const char *name = z->entries[i].name;
        size_t n = strlen(name);
        if (n > 0 && name[n - 1] == '/') continue;
        if (n < 5 || strcmp(name + n - 4, ".npy") != 0) {
            return luaL_error(L, "%s: member %s is no .npy array", path, name);
        }
        lua_pushlstring(L, name, n - 4);
        void **box = bind_box(L, &bind_tensor);
        BIND_TRY(L, load_member(z, i, d, (lb_tensor **)box));
        bind_pressure(L, lb_tensor_size_bytes(*box));
        lua_rawset(L, -3);
    }
    bind_guard_done(L, lua_gettop(L) - 1);
    return 1;
}

typedef struct npz { lb_zip_writer *zip; char *head; lb_tensor *dense; } npz;

static void npz_done(void *block) {
    npz *z = block;
    lb_zip_finish(z->zip, false);
    free(z->head);
    lb_tensor_release(z->dense);
    memset(z, 0, sizeof *z);
}

static lb_status add_member(npz *z, const char *name, const lb_tensor *t, bool compress) {
    size_t head = 0;
    lb_status s = lb_npy_header(t, &z->head, &head);
    if (!s && !lb_tensor_is_dense(t)) s = lb_tensor_clone(t, &z->dense);
    if (!s) {
        const lb_tensor *from = z->dense ? z->dense : t;
        lb_bytes pieces[] = { { z->head, head }, { lb_tensor_data(from), lb_tensor_size_bytes(from) } };
        s = lb_zip_add(z->zip, name, pieces, 2, compress);
    }
    free(z->head);
    lb_tensor_release(z->dense);
    z->head = NULL;
    z->dense = NULL;
    return s;
}

/* Sorted keys of the table at `index`, which are strings. Leaves the list on the stack. */
static int sorted_names(lua_State *L, int index, const char *what) {
    lua_newtable(L);
    int list = lua_gettop(L), n = 0;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) != LUA_TSTRING) {
            luaL_error(L, "%s: tensors stand under names, got a %s as a key", what, bind_type_name(L, -1));
        }
        if (strlen(lua_tostring(L, -1)) != lua_objlen(L, -1)) luaL_error(L, "%s: a name contains a zero byte", what);
        lua_pushvalue(L, -1);
        lua_rawseti(L, list, ++n);
    }
    lua_getglobal(L, "table");
    lua_getfield(L, -1, "sort");
    lua_pushvalue(L, list);
    lua_call(L, 1, 0);
    lua_pop(L, 1);
    return n;
}

/* core.npz_save(path, { name = tensor }[, { compress = true }]) */
static int npz_save(lua_State *L) {
    static const char *const keys[] = { "compress", NULL };
    const char *path = bind_path(L, 1, "path");
    if (!lua_istable(L, 2)) return luaL_error(L, "npz: a table of tensors expected, got %s", bind_type_name(L, 2));
    lua_settop(L, 3);
    bind_check_keys(L, 3, "npz", keys);
    bool compress = bind_opt_boolean(L, 3, "compress", false);
    int n = sorted_names(L, 2, "npz");
    for (int i = 1; i <= n; i++) {               /* everything that can be wrong is found before a file is there */
        lua_rawgeti(L, 4, i);
        lua_pushvalue(L, -1);
        lua_rawget(L, 2);
        bind_check_value(L, lua_gettop(L), &bind_tensor, lua_tostring(L, -2));
        lua_pop(L, 2);
    }
    npz *z = bind_guard(L, sizeof *z, npz_done);
    BIND_TRY(L, lb_zip_create(path, &z->zip));
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, 4, i);
        const char *name = lua_tostring(L, -1);
        lua_pushvalue(L, -1);
        lua_rawget(L, 2);
        lb_tensor *t = bind_check_value(L, lua_gettop(L), &bind_tensor, name);
        lua_pushfstring(L, "%s.npy", name);
        lb_status s = add_member(z, lua_tostring(L, -1), t, compress);
        if (s) {
            lb_fail_in(s, "tensor %s", name);
            bind_guard_done(L, 5);
            return bind_raise(L, s);
        }
        lua_pop(L, 3);
    }
    lb_status s = lb_zip_finish(z->zip, true);
    z->zip = NULL;
    if (s) return bind_raise(L, s);
    return 0;
}

/* ---- blobs ---------------------------------------------------------------------------------------------------- */

/* core.blob_save(path, { name = tensor }) */
static int blob_save(lua_State *L) {
    const char *path = bind_path(L, 1, "path");
    if (!lua_istable(L, 2))
        return luaL_error(L, "blob_save: a table of tensors expected, got %s", bind_type_name(L, 2));
    lua_settop(L, 2);
    int n = sorted_names(L, 2, "blob_save");
    lb_named *list = lua_newuserdata(L, ((size_t)n + 1) * sizeof *list);
    for (int i = 0; i < n; i++) {
        lua_rawgeti(L, 3, i + 1);
        list[i].name = lua_tostring(L, -1);          /* anchored by the list of names */
        lua_rawget(L, 2);
        list[i].tensor = bind_check_value(L, lua_gettop(L), &bind_tensor, list[i].name);
        lua_pop(L, 1);
    }
    BIND_TRY(L, lb_blob_save(path, list, n));
    return 0;
}

static void blob_done(void *block) { lb_blob_done(block); }

/* core.blob_load(path[, device[, { verify = true }]]): { name = tensor }, mapped and shared between processes. */
static int blob_load(lua_State *L) {
    static const char *const keys[] = { "verify", NULL };
    const char *path = bind_path(L, 1, "path");
    lb_device *d = bind_device_at(L, 2);
    lua_settop(L, 3);
    bind_check_keys(L, 3, "blob_load", keys);
    bool verify = bind_opt_boolean(L, 3, "verify", true);
    lb_blob *b = bind_guard(L, sizeof *b, blob_done);
    BIND_TRY(L, lb_blob_map(path, d, verify, b));
    lua_createtable(L, 0, b->count);
    for (int i = 0; i < b->count; i++) {
        lua_pushstring(L, b->names[i]);
        bind_push_tensor(L, b->tensors[i]);
        lua_rawset(L, -3);
    }
    bind_guard_done(L, lua_gettop(L) - 1);
    return 1;
}

/* ---- text and compression ------------------------------------------------------------------------------------ */

/* core.file_read(path): the whole file as a string; at most 1 GiB. */
static int file_read(lua_State *L) {
    const char *path = bind_path(L, 1, "path");
    memory *m = push_memory(L);
    BIND_TRY(L, lb_file_read(path, TEXT_MAX, &m->at, &m->bytes));
    lua_pushlstring(L, m->at, m->bytes);
    bind_guard_done(L, -2);
    return 1;
}

/* core.append_file(path, text): at the file's end in one write, on the disk when it returns. */
static int append_file(lua_State *L) {
    const char *path = bind_path(L, 1, "path");
    bind_string(L, 2, "text");
    size_t n = 0;
    const char *text = lua_tolstring(L, 2, &n);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return luaL_error(L, "cannot write %s: %s", path, strerror(errno));
    int bad = 0;
    while (n && !bad) {
        ssize_t put = write(fd, text, n);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) {
            bad = errno ? errno : EIO;
        } else {
            text += put;
            n -= (size_t)put;
        }
    }
    if (!bad && fdatasync(fd) != 0 && errno != EINVAL && errno != EROFS) bad = errno;   /* pipes cannot be synced */
    close(fd);
    if (bad) return luaL_error(L, "cannot write %s: %s", path, strerror(bad));
    return 0;
}

/* core.gzip(text): the compressed text */
static int gzip(lua_State *L) {
    bind_string(L, 1, "text");
    size_t n = 0;
    const char *text = lua_tolstring(L, 1, &n);
    memory *m = push_memory(L);
    BIND_TRY(L, lb_gzip(text, n, &m->at, &m->bytes));
    lua_pushlstring(L, m->at, m->bytes);
    bind_guard_done(L, -2);
    return 1;
}

/* core.gunzip(data[, limit]): the text; at most `limit` bytes (1 GiB). */
static int gunzip(lua_State *L) {
    bind_string(L, 1, "data");
    size_t n = 0;
    const char *data = lua_tolstring(L, 1, &n);
    uint64_t limit = lua_isnoneornil(L, 2) ? TEXT_MAX : (uint64_t)bind_integer(L, 2, "limit", 1, (int64_t)TEXT_MAX);
    memory *m = push_memory(L);
    BIND_TRY(L, lb_gunzip(data, n, limit, &m->at, &m->bytes));
    lua_pushlstring(L, m->at, m->bytes);
    bind_guard_done(L, -2);
    return 1;
}

/* core.gunzip_file(path) */
static int gunzip_file(lua_State *L) {
    file_read(L);
    lua_replace(L, 1);
    lua_settop(L, 1);
    return gunzip(L);
}

static int push_hex(lua_State *L, uint64_t sum) {
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)sum);
    lua_pushstring(L, text);
    return 1;
}

/* core.checksum(text or tensor): 16 hex digits of the stored bytes (engine/io/file.h says how). */
static int checksum(lua_State *L) {
    if (lua_type(L, 1) == LUA_TSTRING) {
        size_t n = 0;
        const char *text = lua_tolstring(L, 1, &n);
        return push_hex(L, lb_checksum64(text, n));
    }
    lb_tensor *t = bind_check_tensor(L, 1);
    if (!lb_tensor_is_dense(t)) {
        BIND_NEW_TENSOR(L, lb_tensor_clone(t, BIND_OUT));
        t = *(void **)lua_touserdata(L, -1);
    }
    return push_hex(L, lb_checksum64(lb_tensor_data(t), lb_tensor_size_bytes(t)));
}

/* core.fnv(text): 16 hex digits of FNV-1a */
static int fnv(lua_State *L) {
    bind_string(L, 1, "text");
    size_t n = 0;
    const char *text = lua_tolstring(L, 1, &n);
    return push_hex(L, lb_fnv64(text, n));
}

/* core.version(): { version, commit, dirty, compiler, flags, lua } */
static int version(lua_State *L) {
    lua_newtable(L);
    bind_set_string(L, "version", LB_VERSION);
    if (LB_COMMIT[0]) {
        bind_set_string(L, "commit", LB_COMMIT);
        bind_set_boolean(L, "dirty", LB_DIRTY != 0);
    }
    bind_set_string(L, "compiler", LB_COMPILER);
    bind_set_string(L, "flags", LB_FLAGS);
    return 1;
}

void bind_open_files(lua_State *L) {
    static const luaL_Reg functions[] = {
        { "npy_load", npy_load }, { "npy_save", npy_save }, { "npz_load", npz_load }, { "npz_save", npz_save },
        { "blob_save", blob_save }, { "blob_load", blob_load }, { "blob_map", blob_load }, { "file_read", file_read },
        { "append_file", append_file }, { "gzip", gzip }, { "gunzip", gunzip }, { "gunzip_file", gunzip_file },
        { "checksum", checksum }, { "fnv", fnv }, { "version", version }, { NULL, NULL } };
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
}
