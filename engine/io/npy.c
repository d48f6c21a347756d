/* npy.c: NumPy's array files, versions 1.0 to 3.0. */
#include "npy.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_MAX ((size_t)1 << 20)

/* ---- the header ----------------------------------------------------------------------------------------------- */

typedef struct header {
    lb_dtype dtype;
    bool swap, fortran, boolean;
    int rank;
    int64_t dims[LB_MAX_RANK];
} header;

static const struct { const char *code; lb_dtype dtype; } codes[] = {
    { "f2", LB_F16 }, { "f4", LB_F32 }, { "f8", LB_F64 }, { "i1", LB_I8 }, { "u1", LB_U8 }, { "i4", LB_I32 },
    { "i8", LB_I64 }, { "b1", LB_U8 },
};

/* The value of 'key' in the header's dict: a pointer behind the colon, or NULL. */
static const char *find(const char *text, const char *key) {
    char quoted[2][32];
    snprintf(quoted[0], sizeof quoted[0], "'%s'", key);
    snprintf(quoted[1], sizeof quoted[1], "\"%s\"", key);
    const char *at = strstr(text, quoted[0]);
    if (!at) at = strstr(text, quoted[1]);
    if (!at) return NULL;
    at += strlen(quoted[0]);
    while (isspace((unsigned char)*at)) at++;
    if (*at++ != ':') return NULL;
    while (isspace((unsigned char)*at)) at++;
    return at;
}

static lb_status parse_descr(const char *name, const char *text, header *h) {
    const char *at = find(text, "descr");
    if (at && *at == '[')
        return lb_fail(LB_EUNSUPPORTED, "%s: structured arrays are not supported; save each field alone", name);
    if (!at || (*at != '\'' && *at != '"')) return lb_fail(LB_EIO, "%s: the header has no 'descr'", name);
    char descr[16] = "";
    size_t n = strcspn(at + 1, "'\"");
    if (n < 2 || n >= sizeof descr || at[1 + n] != *at) return lb_fail(LB_EIO, "%s: unreadable 'descr'", name);
    memcpy(descr, at + 1, n);
    char order = descr[0];
    if (!strchr("<>|=", order)) return lb_fail(LB_EIO, "%s: unknown byte order in '%s'", name, descr);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (strcmp(descr + 1, codes[i].code) != 0) continue;
        h->dtype = codes[i].dtype;
        h->boolean = descr[1] == 'b';
        h->swap = order == '>' && lb_dtype_size(h->dtype) > 1;
        return LB_OK;
    }
    return lb_fail(LB_EUNSUPPORTED, "%s: arrays of '%s' are not supported (f2 f4 f8 i1 u1 i4 i8 b1 are)%s", name, descr,
                   strcmp(descr + 1, "V2") == 0 ? "; bf16 has no NumPy type: save it as float32"
                                                : "; convert with .astype() before saving");
}

static lb_status parse_shape(const char *name, const char *text, header *h) {
    const char *at = find(text, "shape");
    if (!at || *at != '(') return lb_fail(LB_EIO, "%s: the header has no 'shape'", name);
    at++;
    for (h->rank = 0;;) {
        while (isspace((unsigned char)*at)) at++;
        if (*at == ')') break;
        if (!isdigit((unsigned char)*at)) return lb_fail(LB_EIO, "%s: unreadable 'shape'", name);
        if (h->rank == LB_MAX_RANK) return lb_fail(LB_EUNSUPPORTED, "%s: more than %d dims", name, LB_MAX_RANK);
        int64_t v = 0;
        for (; isdigit((unsigned char)*at); at++) {
            if (v > INT64_MAX / 16) return lb_fail(LB_EIO, "%s: a dim of the 'shape' is too large", name);
            v = v * 10 + (*at - '0');
        }
        h->dims[h->rank++] = v;
        if (*at == 'L') at++;
        while (isspace((unsigned char)*at)) at++;
        if (*at == ',') at++;
        else if (*at != ')') return lb_fail(LB_EIO, "%s: unreadable 'shape'", name);
    }
    return LB_OK;
}

static lb_status parse(const char *name, const char *text, header *h) {
    memset(h, 0, sizeof *h);
    lb_status s = parse_descr(name, text, h);
    if (!s) s = parse_shape(name, text, h);
    if (s) return s;
    const char *at = find(text, "fortran_order");
    if (!at || (strncmp(at, "True", 4) != 0 && strncmp(at, "False", 5) != 0))
        return lb_fail(LB_EIO, "%s: the header has no 'fortran_order'", name);
    h->fortran = *at == 'T';
    if (h->rank == 0) {
        h->rank = 1;
        h->dims[0] = 1;
    }
    return LB_OK;
}

static lb_status read_header(lb_source *src, header *h) {
    uint8_t magic[12];
    lb_status s = lb_source_read(src, magic, 10);
    if (s) return s;
    if (memcmp(magic, "\x93NUMPY", 6) != 0)
        return lb_fail(LB_EIO, "%s: not a .npy file (its first bytes are wrong)", src->name);
    if (magic[6] < 1 || magic[6] > 3)
        return lb_fail(LB_EUNSUPPORTED, "%s: .npy version %d is unknown", src->name, magic[6]);
    size_t length = magic[8] | (size_t)magic[9] << 8;
    if (magic[6] >= 2) {
        if ((s = lb_source_read(src, magic + 10, 2))) return s;
        length |= (size_t)magic[10] << 16 | (size_t)magic[11] << 24;
    }
    if (length > HEADER_MAX) return lb_fail(LB_EIO, "%s: a header of %zu bytes is too long", src->name, length);
    char *text = malloc(length + 1);
    if (!text) return lb_fail(LB_ENOMEM, "not enough memory");
    s = lb_source_read(src, text, length);
    text[s ? 0 : length] = 0;
    if (!s) s = parse(src->name, text, h);
    free(text);
    return s;
}

/* ---- the data ------------------------------------------------------------------------------------------------- */

static lb_status data_bytes(const char *name, const header *h, uint64_t left, size_t *out) {
    size_t bytes = lb_dtype_size(h->dtype);
    for (int i = 0; i < h->rank; i++) {
        if (h->dims[i] == 0) return *out = 0, LB_OK;
    }
    for (int i = 0; i < h->rank; i++) {
        if (__builtin_mul_overflow(bytes, (size_t)h->dims[i], &bytes))
            return lb_fail(LB_EIO, "%s: the array's shape is too large", name);
    }
    if (bytes > left)
        return lb_fail(LB_EIO, "%s: the header promises %zu bytes of data, the file has %llu", name, bytes,
                       (unsigned long long)left);
    *out = bytes;
    return LB_OK;
}

static void swap_bytes(uint8_t *p, size_t size, size_t count) {
    for (; count--; p += size) {
        for (size_t i = 0; i < size / 2; i++) {
            uint8_t t = p[i];
            p[i] = p[size - 1 - i];
            p[size - 1 - i] = t;
        }
    }
}

/* A tensor read with its dims reversed, as a dense one with the dims in order. */
static lb_status reverse(lb_tensor **t) {
    lb_tensor *view = *t, *next = NULL;
    lb_status s = LB_OK;
    for (int i = 0; i < view->rank / 2 && !s; i++) {
        s = lb_tensor_transpose(view, i, view->rank - 1 - i, &next);
        lb_tensor_release(view);
        view = next;
    }
    next = NULL;
    if (!s) {
        s = lb_tensor_clone(view, &next);
        lb_tensor_release(view);
    }
    *t = s ? NULL : next;
    return s;
}

lb_status lb_npy_read(lb_source *src, lb_device *d, lb_tensor **out) {
    header h;
    size_t bytes = 0;
    lb_tensor *t = NULL;
    lb_status s = read_header(src, &h);
    if (!s) s = data_bytes(src->name, &h, src->left, &bytes);
    if (s) return s;
    if (h.fortran) {
        for (int i = 0; i < h.rank / 2; i++) {
            int64_t v = h.dims[i];
            h.dims[i] = h.dims[h.rank - 1 - i];
            h.dims[h.rank - 1 - i] = v;
        }
    }
    if ((s = lb_tensor_new(d, h.dtype, NULL, h.rank, h.dims, &t))) return s;
    uint8_t *data = lb_tensor_data(t);
    for (size_t at = 0; at < bytes && !s;) {
        size_t n = bytes - at < (size_t)16 << 20 ? bytes - at : (size_t)16 << 20;
        s = lb_source_read(src, data + at, n);
        at += n;
    }
    if (!s && h.swap) swap_bytes(data, lb_dtype_size(h.dtype), bytes / lb_dtype_size(h.dtype));
    for (size_t i = 0; !s && h.boolean && i < bytes; i++) data[i] = data[i] != 0;
    if (!s && h.fortran && h.rank > 1) {
        s = reverse(&t);
        if (s) return s;
    }
    if (s) lb_tensor_release(t);
    else *out = t;
    return s;
}

typedef struct plain { lb_infile file; uint64_t at; } plain;

static lb_status read_plain(void *ctx, void *out, size_t n) {
    plain *p = ctx;
    lb_status s = lb_infile_at(&p->file, p->at, out, n);
    p->at += n;
    return s;
}

lb_status lb_npy_load(const char *path, lb_device *d, lb_tensor **out) {
    plain p = { .at = 0 };
    lb_status s = lb_infile_open(path, &p.file);
    if (s) return s;
    lb_source src = { read_plain, &p, p.file.bytes, p.file.name };
    s = lb_npy_read(&src, d, out);
    lb_infile_close(&p.file);
    return s;
}

/* ---- writing -------------------------------------------------------------------------------------------------- */

lb_status lb_npy_header(const lb_tensor *t, char **out, size_t *bytes) {
    const char *code = NULL;
    for (size_t i = 0; i < sizeof codes / sizeof *codes && !code; i++)
        if (codes[i].dtype == t->dtype) code = codes[i].code;
    if (!code) {
        return lb_fail(LB_EUNSUPPORTED, "NumPy has no type for %s: save %s", lb_dtype_name(t->dtype),
                       t->dtype == LB_QUANT ? "t:dequantize()" : "t:to \"f32\"");
    }
    char text[512];
    int n = snprintf(text, sizeof text, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                     lb_dtype_size(t->dtype) == 1 ? '|' : '<', code);
    for (int i = 0; i < t->rank; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%lld%s", (long long)t->dims[i],
                      i + 1 < t->rank ? ", " : t->rank == 1 ? "," : "");
    n += snprintf(text + n, sizeof text - (size_t)n, "), }");
    size_t total = ((size_t)n + 1 + 10 + 63) / 64 * 64, length = total - 10;
    char *h = malloc(total);
    if (!h) return lb_fail(LB_ENOMEM, "not enough memory");
    memset(h, ' ', total);
    memcpy(h, "\x93NUMPY\x01\x00", 8);
    h[8] = (char)(length & 255);
    h[9] = (char)(length >> 8);
    memcpy(h + 10, text, (size_t)n);
    h[total - 1] = '\n';
    *out = h;
    *bytes = total;
    return LB_OK;
}

lb_status lb_npy_save(const char *path, const lb_tensor *t) {
    char *h = NULL;
    size_t n = 0;
    lb_tensor *dense = NULL;
    lb_outfile f = { .fd = -1 };
    lb_status s = lb_npy_header(t, &h, &n);
    if (!s && !lb_tensor_is_dense(t)) s = lb_tensor_clone(t, &dense);
    if (!s) s = lb_outfile_open(path, &f);
    if (!s) s = lb_outfile_write(&f, h, n);
    if (!s) s = lb_outfile_write(&f, lb_tensor_data(dense ? dense : t), lb_tensor_size_bytes(dense ? dense : t));
    if (!s) s = lb_outfile_commit(&f);
    lb_outfile_abort(&f);
    lb_tensor_release(dense);
    free(h);
    return s;
}
