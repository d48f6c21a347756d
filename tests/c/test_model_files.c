/* test_model_files.c: hostile GGUF and safetensors files: each rule of the formats is broken once, and the error must
 * say what is wrong. The files are made here, byte by byte; tests/parity has those of other programs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/io/gguf.h"
#include "engine/io/grow.h"
#include "engine/io/json.h"
#include "engine/io/model_writer.h"
#include "engine/io/safetensors.h"
#include "engine/os.h"
#include "tests/c/cpu_device.h"

static void release(lb_buffer *b) { free(b->data); }

static lb_buffer *buffer_of(const void *data, size_t bytes) {
    lb_buffer *b = NULL;
    void *copy = malloc(bytes ? bytes : 1);
    assert_non_null(copy);
    if (bytes) memcpy(copy, data, bytes);
    assert_int_equal(lb_buffer_wrap(device, copy, bytes, release, NULL, &b), LB_OK);
    return b;
}

typedef lb_status (*opener)(const char *, lb_buffer *, lb_model_file **);

/* Opening must fail and say `phrase`. */
static void refused(opener open, const void *data, size_t bytes, const char *phrase) {
    lb_model_file *f = NULL;
    lb_buffer *b = buffer_of(data, bytes);
    lb_status s = open("hostile", b, &f);
    lb_buffer_release(b);
    if (s != LB_EIO) {
        lb_model_file_close(f);
        fail_msg("status %d, not an error that says \"%s\"", s, phrase);
    }
    assert_null(f);
    if (!strstr(lb_error(), phrase)) fail_msg("the error is \"%s\"; it should say \"%s\"", lb_error(), phrase);
}

/* ---- GGUF ------------------------------------------------------------------------------------------------------- */

static void u32(lb_grow *g, uint32_t v) { lb_grow_put(g, &v, 4); }
static void u64(lb_grow *g, uint64_t v) { lb_grow_put(g, &v, 8); }
static void text(lb_grow *g, const char *s) {
    u64(g, strlen(s));
    lb_grow_text(g, s);
}
static void head(lb_grow *g, uint32_t version, uint64_t tensors, uint64_t metas) {
    g->bytes = 0;
    lb_grow_text(g, "GGUF");
    u32(g, version);
    u64(g, tensors);
    u64(g, metas);
}
static void meta_u32(lb_grow *g, const char *key, uint32_t v) {
    text(g, key);
    u32(g, LB_META_U32);
    u32(g, v);
}
static void tensor(lb_grow *g, const char *name, uint64_t columns, uint64_t rows, uint32_t type, uint64_t offset) {
    text(g, name);
    u32(g, 2);
    u64(g, columns);
    u64(g, rows);
    u32(g, type);
    u64(g, offset);
}
static void data(lb_grow *g, size_t bytes) {
    while (g->bytes % 32) lb_grow_put(g, "", 1);
    memset(lb_grow_take(g, bytes), 0, bytes);
}

#define REFUSED(phrase) refused(lb_gguf_open_memory, g.at, g.bytes, phrase)

static void test_gguf_good(void **state) {
    (void)state;
    lb_grow g = { 0 };
    for (uint32_t version = 2; version <= 3; version++) {
        head(&g, version, 2, 1);
        meta_u32(&g, "general.alignment", 64);
        tensor(&g, "a", 4, 2, 0, 0);
        tensor(&g, "b", 32, 3, 8, 64);
        while (g.bytes % 64) lb_grow_put(&g, "", 1);
        for (int i = 0; i < 8; i++) lb_grow_put(&g, (float[]){ (float)i }, 4);
        data(&g, 32 + 3 * 34);
        lb_buffer *b = buffer_of(g.at, g.bytes);
        lb_model_file *f = NULL;
        if (lb_gguf_open_memory("good", b, &f)) fail_msg("%s", lb_error());
        lb_buffer_release(b);
        assert_int_equal(f->version, version);
        assert_int_equal(f->count, 2);
        lb_tensor *t = NULL;
        assert_int_equal(lb_model_file_tensor(f, lb_model_file_find(f, "a"), &t), LB_OK);
        assert_int_equal(t->dims[0], 2);
        assert_int_equal(t->dims[1], 4);
        assert_true(lb_tensor_f32(t)[7] == 7);
        lb_model_file_close(f);
        assert_true(lb_tensor_f32(t)[3] == 3);         /* the view keeps the file's memory */
        lb_tensor_release(t);
    }
    free(g.at);
}

static void test_gguf_head(void **state) {
    (void)state;
    lb_grow g = { 0 };
    lb_grow_text(&g, "GGU");
    REFUSED("needs 4 bytes");
    g.bytes = 0;
    lb_grow_text(&g, "GGML\1\2\3\4\1\2\3\4");
    REFUSED("no GGUF file");
    for (uint32_t v = 0; v < 8; v++) {
        if (v == 2 || v == 3) continue;
        head(&g, v, 0, 0);
        REFUSED("versions 2 and 3");
    }
    head(&g, 3u << 24, 0, 0);
    REFUSED("big-endian");
    head(&g, 3, UINT64_MAX, 0);
    REFUSED("claims -1 tensors");
    head(&g, 3, (uint64_t)1 << 60, 0);
    REFUSED("room for 0");
    head(&g, 3, 0, (uint64_t)1 << 62);
    REFUSED("metadata entries");
    head(&g, 3, 3, 0);
    data(&g, 60);
    REFUSED("room for 2");
    free(g.at);
}

static void test_gguf_metadata(void **state) {
    (void)state;
    lb_grow g = { 0 };
    head(&g, 3, 0, 1), u64(&g, 0), u32(&g, LB_META_U32), u32(&g, 1), data(&g, 32);
    REFUSED("key is empty");
    head(&g, 3, 0, 1), u64(&g, 1), lb_grow_put(&g, "", 1), u32(&g, LB_META_U32), u32(&g, 1), data(&g, 32);
    REFUSED("zero byte");
    head(&g, 3, 0, 1), u64(&g, (uint64_t)1 << 40), data(&g, 64);
    REFUSED("claims 1099511627776 bytes");
    head(&g, 3, 0, 1), u64(&g, UINT64_MAX), data(&g, 64);
    REFUSED("claims 18446744073709551615 bytes");
    head(&g, 3, 0, 2), meta_u32(&g, "a", 1), meta_u32(&g, "a", 2);
    REFUSED("a is there twice");
    head(&g, 3, 0, 1), text(&g, "a"), u32(&g, 13), u64(&g, 0);
    REFUSED("has type 13");
    head(&g, 3, 0, 1), text(&g, "a"), u32(&g, UINT32_MAX), u64(&g, 0);
    REFUSED("has type -1");
    head(&g, 3, 0, 1), text(&g, "a"), u32(&g, LB_META_ARRAY), u32(&g, LB_META_ARRAY), u64(&g, 1), data(&g, 32);
    REFUSED("arrays of arrays");
    head(&g, 3, 0, 1), text(&g, "a"), u32(&g, LB_META_ARRAY), u32(&g, 99), u64(&g, 1), data(&g, 32);
    REFUSED("have type 99");
    head(&g, 3, 0, 1), text(&g, "a"), u32(&g, LB_META_ARRAY), u32(&g, LB_META_U64), u64(&g, (uint64_t)1 << 61),
        data(&g, 32);
    REFUSED("claims 2305843009213693952 elements");
    head(&g, 3, 0, 1), text(&g, "a"), u32(&g, LB_META_ARRAY), u32(&g, LB_META_STRING), u64(&g, 2), text(&g, "x"),
        u64(&g, 9);
    REFUSED("claims 9 bytes");
    head(&g, 3, 0, 1), text(&g, "a"), u32(&g, LB_META_STRING), u64(&g, 100), data(&g, 32);
    REFUSED("claims 100 bytes");
    head(&g, 3, 0, 1), text(&g, "a"), u32(&g, LB_META_BOOL), lb_grow_put(&g, "\2", 1);
    REFUSED("not 0 or 1");
    head(&g, 3, 0, 1), text(&g, "abcdefghij"), u32(&g, LB_META_F64), u32(&g, 0);
    REFUSED("needs 8 bytes");
    static const uint32_t bad[] = { 0, 3, 48, UINT32_MAX };
    for (int i = 0; i < 4; i++) {
        head(&g, 3, 0, 1), meta_u32(&g, "general.alignment", bad[i]);
        REFUSED("power of two");
    }
    head(&g, 3, 0, 1), text(&g, "general.alignment"), u32(&g, LB_META_U64), u64(&g, 32);
    REFUSED("of type u32");
    head(&g, 3, 0, 1), text(&g, "general.alignment"), u32(&g, LB_META_STRING), text(&g, "32");
    REFUSED("of type u32");
    free(g.at);
}

static void test_gguf_tensors(void **state) {
    (void)state;
    lb_grow g = { 0 };
    char longest[65] = { 0 };
    memset(longest, 'n', 64);
    head(&g, 3, 1, 0), tensor(&g, "", 4, 1, 0, 0), data(&g, 32);
    REFUSED("1 to 63 are allowed");
    head(&g, 3, 1, 0), tensor(&g, longest, 4, 1, 0, 0), data(&g, 32);
    REFUSED("1 to 63 are allowed");
    head(&g, 3, 1, 0), tensor(&g, "a\033[31m", 4, 1, 0, 0), data(&g, 32);
    REFUSED("a?[31m");                                   /* and the terminal is not coloured */
    head(&g, 3, 2, 0), tensor(&g, "a", 4, 1, 0, 0), tensor(&g, "a", 4, 1, 0, 32), data(&g, 64);
    REFUSED("have the name a");
    head(&g, 3, 1, 0), text(&g, "a"), u32(&g, 5), data(&g, 128);
    REFUSED("5 dimensions");
    head(&g, 3, 1, 0), tensor(&g, "a", UINT64_MAX, 1, 0, 0), data(&g, 32);
    REFUSED("a size of -1");
    head(&g, 3, 1, 0), tensor(&g, "a", (uint64_t)1 << 32, (uint64_t)1 << 31, 0, 0), data(&g, 32);
    REFUSED("more than 2^63");
    head(&g, 3, 1, 0), tensor(&g, "a", (uint64_t)1 << 62, 1, 0, 0), data(&g, 32);
    REFUSED("more bytes than");
    head(&g, 3, 1, 0), tensor(&g, "a", (uint64_t)1 << 32, (uint64_t)1 << 30, 28, 0), data(&g, 32);
    REFUSED("more bytes than");
    static const uint32_t removed[] = { 4, 5, 31, 32, 33, 36, 37, 38, 43, 1000, UINT32_MAX };
    for (size_t i = 0; i < sizeof removed / sizeof *removed; i++) {
        head(&g, 3, 1, 0), tensor(&g, "a", 256, 1, removed[i], 0), data(&g, 4096);
        REFUSED("which is not known");
    }
    head(&g, 3, 1, 0), tensor(&g, "a", 33, 2, 8, 0), data(&g, 4096);
    REFUSED("33 columns are no multiple of the 32");
    head(&g, 3, 1, 0), tensor(&g, "a", 4, 1, 0, 32), data(&g, 4096);
    REFUSED("is at offset 32 of the data; 0 follows");
    head(&g, 3, 2, 0), tensor(&g, "a", 4, 1, 0, 0), tensor(&g, "b", 4, 1, 0, 16), data(&g, 4096);
    REFUSED("is at offset 16 of the data; 32 follows");
    head(&g, 3, 2, 0), tensor(&g, "a", 4, 1, 0, 0), tensor(&g, "b", 4, 1, 0, 0), data(&g, 4096);
    REFUSED("32 follows");
    head(&g, 3, 1, 0), tensor(&g, "a", 4, 2, 0, 0), data(&g, 31);
    REFUSED("is it cut off?");
    head(&g, 3, 1, 1), meta_u32(&g, "general.alignment", (uint32_t)1 << 31), tensor(&g, "a", 4, 2, 0, 0), data(&g, 64);
    REFUSED("is it cut off?");
    head(&g, 3, 1, 1), meta_u32(&g, "split.count", 3), tensor(&g, "a", 4, 2, 0, 0), data(&g, 32);
    REFUSED("part 0 of 3");
    free(g.at);
}

/* Every cut of a good file is an error or a smaller good file, never more. */
static void test_gguf_cut(void **state) {
    (void)state;
    lb_grow g = { 0 };
    head(&g, 3, 1, 2), meta_u32(&g, "a", 1), text(&g, "b"), u32(&g, LB_META_STRING), text(&g, "text");
    tensor(&g, "a", 4, 2, 0, 0), data(&g, 32);
    for (size_t n = 0; n < g.bytes; n++) {
        lb_buffer *b = buffer_of(g.at, n);
        lb_model_file *f = NULL;
        assert_int_equal(lb_gguf_open_memory("cut", b, &f), LB_EIO);
        lb_buffer_release(b);
    }
    free(g.at);
}

/* ---- safetensors ------------------------------------------------------------------------------------------------ */

static void st_refused(const char *json, size_t data_bytes, const char *phrase) {
    lb_grow g = { 0 };
    u64(&g, strlen(json));
    lb_grow_text(&g, json);
    memset(lb_grow_take(&g, data_bytes), 0, data_bytes);
    refused(lb_safetensors_open_memory, g.at, g.bytes, phrase);
    free(g.at);
}

#define ENTRY(dtype, shape, offsets) \
    "{\"a\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void test_safetensors_good(void **state) {
    (void)state;
    static const char json[] =
        "{\"__metadata__\":{\"k\":\"v\"},\"b\":{\"shape\":[],\"dtype\":\"F32\",\"data_offsets\":[1,5],\"x\":[{}]},"
        "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
        "\"\\u00e9\":{\"dtype\":\"F16\",\"shape\":[3,0],\"data_offsets\":[5,5]},"
        "\"f\":{\"dtype\":\"F4\",\"shape\":[3,2],\"data_offsets\":[5,8]}}   ";
    lb_grow g = { 0 };
    u64(&g, sizeof json - 1);
    lb_grow_put(&g, json, sizeof json - 1);
    lb_grow_put(&g, "\7\0\0\x80\x3f\1\2\3", 8);
    lb_buffer *b = buffer_of(g.at, g.bytes);
    lb_model_file *f = NULL;
    lb_tensor *t = NULL;
    if (lb_safetensors_open_memory("good", b, &f)) fail_msg("%s", lb_error());
    lb_buffer_release(b);
    assert_int_equal(f->count, 4);
    assert_string_equal(f->tensors[0].name, "a");
    assert_int_equal(lb_model_file_tensor(f, lb_model_file_find(f, "b"), &t), LB_OK);
    assert_int_equal(t->rank, 0);
    assert_true(lb_tensor_f32(t)[0] == 1);              /* not aligned in the file: a copy */
    lb_tensor_release(t);
    assert_int_equal(lb_model_file_tensor(f, lb_model_file_find(f, "\xc3\xa9"), &t), LB_OK);
    assert_int_equal(lb_tensor_numel(t), 0);
    lb_tensor_release(t);
    assert_int_equal(lb_model_file_tensor(f, lb_model_file_find(f, "f"), &t), LB_EUNSUPPORTED);
    assert_non_null(strstr(lb_error(), "F4"));
    assert_int_equal(lb_model_file_bytes(f, lb_model_file_find(f, "f"), &t), LB_OK);
    assert_int_equal(lb_tensor_numel(t), 3);
    lb_tensor_release(t);
    lb_model_file_close(f);
    free(g.at);
}

#define QUANTIZED(value, bytes) \
    "{\"__metadata__\":{\"luabench.quantized:a\":\"" value "\"}," \
    "\"a\":{\"dtype\":\"U8\",\"shape\":[" bytes "],\"data_offsets\":[0," bytes "]}}"

static void test_safetensors_quantized(void **state) {
    (void)state;
    static const char json[] = QUANTIZED("q8_0 3 64", "204");
    lb_grow g = { 0 };
    u64(&g, sizeof json - 1);
    lb_grow_put(&g, json, sizeof json - 1);
    memset(lb_grow_take(&g, 204), 0, 204);
    lb_buffer *b = buffer_of(g.at, g.bytes);
    lb_model_file *f = NULL;
    lb_tensor *t = NULL;
    if (lb_safetensors_open_memory("good", b, &f)) fail_msg("%s", lb_error());
    lb_buffer_release(b);
    if (lb_model_file_tensor(f, lb_model_file_find(f, "a"), &t)) fail_msg("%s", lb_error());
    assert_true(t->dtype == LB_QUANT && t->rank == 2 && t->dims[0] == 3 && t->dims[1] == 64);
    assert_true((uintptr_t)lb_tensor_data(t) % 64 == 0);
    lb_tensor_release(t);
    lb_model_file_close(f);
    free(g.at);
    st_refused(QUANTIZED("q8_0 3 64", "205"), 205, "which are no");
    st_refused(QUANTIZED("q8_0 3 63", "204"), 204, "which are no");
    st_refused(QUANTIZED("q8_0 0 64", "0"), 0, "which are no");
    st_refused(QUANTIZED("q8_0 9223372036854775807 64", "204"), 204, "which are no");
    st_refused(QUANTIZED("q8_0 4294967296 4294967296 64", "204"), 204, "which are no");
    st_refused(QUANTIZED("q8_0 99999999999999999999 64", "204"), 204, "damaged");
    st_refused(QUANTIZED("q8_0 -3 64", "204"), 204, "damaged");
    st_refused(QUANTIZED("q8_0 192", "204"), 204, "damaged");
    st_refused(QUANTIZED("q8_0 3x64", "204"), 204, "damaged");
    st_refused(QUANTIZED("q8_0", "204"), 204, "damaged");
    st_refused(QUANTIZED("", "204"), 204, "damaged");
    st_refused(QUANTIZED("q8_0 1 1 1 1 1 1 1 3 64", "204"), 204, "damaged");
    st_refused("{\"__metadata__\":{\"luabench.quantized:b\":\"q8_0 3 64\"}}", 0, "which is not there");
    st_refused("{\"__metadata__\":{\"luabench.quantized:a\":\"q8_0 1 32\"},"
               "\"a\":{\"dtype\":\"F16\",\"shape\":[17],\"data_offsets\":[0,34]}}",
               34, "damaged");
}

static void test_safetensors_head(void **state) {
    (void)state;
    static const uint64_t lengths[] = { UINT64_MAX, UINT64_MAX - 7, 1000, 100000001, (uint64_t)1 << 63 };
    char small[64] = { 0 };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        memcpy(small, &lengths[i], 8);
        refused(lb_safetensors_open_memory, small, sizeof small, "claim a header of");
    }
    refused(lb_safetensors_open_memory, small, 5, "the file has 5 bytes");
    st_refused("", 8, "'{' was expected");
    st_refused("[]", 0, "'{' was expected");
    st_refused(" {}", 0, "'{' was expected");
    st_refused("{}}", 0, "the end of the text was expected");
    st_refused("{", 0, "the text ends");
    st_refused("{\"a\":", 0, "the text ends");
    st_refused("{\"\xff\":1}", 0, "not UTF-8");
    st_refused("{\"\xed\xa0\x80\":1}", 0, "not UTF-8");
    st_refused("{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 0, "an object");
    st_refused("{\"a\":{\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 0,
               "nested more than 64");
}

static void test_safetensors_entries(void **state) {
    (void)state;
    st_refused(ENTRY("F33", "[1]", "[0,4]"), 4, "unknown dtype \"F33\"");
    st_refused(ENTRY("f32", "[1]", "[0,4]"), 4, "unknown dtype");
    st_refused(ENTRY("F32", "[1]", "[0,4,4]"), 4, "3 numbers");
    st_refused(ENTRY("F32", "[1]", "[4]"), 4, "1 numbers");
    st_refused(ENTRY("F32", "[1]", "[4,0]"), 4, "from 4 to 0");
    st_refused(ENTRY("F32", "[2]", "[0,8]"), 4, "4 bytes of data");
    st_refused(ENTRY("F32", "[1]", "[0,3]"), 3, "do not give the 3 bytes");
    st_refused(ENTRY("F32", "[4294967296,4294967296]", "[0,0]"), 0, "more than 2^64");
    st_refused(ENTRY("F32", "[4611686018427387905]", "[0,4]"), 4, "do not give"); /* 2^62 + 1: times 4 wraps to 4 */
    st_refused(ENTRY("F4", "[3]", "[0,2]"), 2, "do not fill whole bytes");
    st_refused(ENTRY("F6_E2M3", "[2]", "[0,2]"), 2, "do not fill whole bytes");
    st_refused(ENTRY("F32", "[1.0]", "[0,4]"), 4, "digits only");
    st_refused(ENTRY("F32", "[-1]", "[0,4]"), 4, "digits only");
    st_refused(ENTRY("F32", "[1e0]", "[0,4]"), 4, "digits only");
    st_refused(ENTRY("F32", "[01]", "[0,4]"), 4, "begins with 0");
    st_refused(ENTRY("F32", "[18446744073709551617]", "[0,4]"), 4, "digits only");
    st_refused(ENTRY("F32", "[9223372036854775808]", "[0,4]"), 4, "beyond 2^63");
    st_refused(ENTRY("F32", "[9007199254740993]", "[0,4]"), 4, "do not give");
    st_refused(ENTRY("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "more than 8");
    st_refused(ENTRY("F32", "\"1\"", "[0,4]"), 4, "an array");
    st_refused(ENTRY("F32", "[\"1\"]", "[0,4]"), 4, "a number");
    st_refused(ENTRY("F32", "[1]", "[0,\"4\"]"), 4, "a number");
    st_refused(ENTRY("F32", "[1]", "[0,4]"), 5, "its tensors end at byte");            /* bytes at the end */
    st_refused(ENTRY("F32", "[1]", "[1,5]"), 5, "no holes and no overlaps");
    st_refused("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
               "\"dtype\" is there twice");
    st_refused("{\"a\":{\"dtype\":\"F32\",\"\\u0064type\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "twice");
    st_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 0, "lacks");
    st_refused("{\"a\":1}", 0, "an object");
    st_refused("{\"\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "is empty");
    st_refused("{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "control character");
    st_refused("{\"a\\u001b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "a?");
    st_refused("{\"__metadata__\":{\"a\":1}}", 0, "a string");
    st_refused("{\"__metadata__\":{\"a\":\"1\",\"a\":\"1\"}}", 0, "key a twice");
    st_refused("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "there twice");
    st_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
               "\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "have the name a");
}

/* Very many entries over the same bytes: refused, and quickly. */
static void test_safetensors_overlaps(void **state) {
    (void)state;
    lb_grow g = { 0 };
    char entry[100];
    u64(&g, 0);
    lb_grow_text(&g, "{");
    for (int i = 0; i < 100000; i++) {
        snprintf(entry, sizeof entry, "%s\"t%d\":{\"dtype\":\"U8\",\"shape\":[64],\"data_offsets\":[0,64]}",
                 i ? "," : "", i);
        lb_grow_text(&g, entry);
    }
    lb_grow_text(&g, "}");
    uint64_t n = g.bytes - 8;
    memcpy(g.at, &n, 8);
    memset(lb_grow_take(&g, 64), 0, 64);
    refused(lb_safetensors_open_memory, g.at, g.bytes, "no holes and no overlaps");
    free(g.at);
}

static void test_index(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        { "{}", "no weight_map" },
        { "[]", "an object" },
        { "{\"weight_map\":{\"a\":1}}", "a string" },
        { "{\"weight_map\":{\"a\":\"../x\"}}", "same folder" },
        { "{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "same folder" },
        { "{\"weight_map\":{\"a\":\"..\"}}", "same folder" },
        { "{\"weight_map\":{\"a\":\"\"}}", "same folder" },
        { "{\"weight_map\":{\"a\":\"b\\\\c\"}}", "same folder" },
        { "{\"weight_map\":{\"a\":\"\\u002e./x\"}}", "same folder" },
        { "{\"weight_map\":{\"a\":\"x\\u0000\"}}", "same folder" },
        { "{\"weight_map\":{},\"weight_map\":{}}", "there twice" },
        { "{\"weight_map\":[]}", "an object" },
        { "{\"weight_map\":{\"a\":\"x\"}", "the text ends" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lb_arena a = { 0 };
        lb_shard_entry *list = NULL;
        uint32_t n;
        assert_int_equal(lb_safetensors_read_index("index.json", bad[i][0], strlen(bad[i][0]), &a, &list, &n), LB_EIO);
        if (!strstr(lb_error(), bad[i][1])) fail_msg("%s: the error is \"%s\"", bad[i][0], lb_error());
        free(list);
        lb_arena_done(&a);
    }
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static void test_json(void **state) {
    (void)state;
    static const char *const good[] = { "0", " [1, -2.5e+3, true] ", "{\"a\":{\"a\":1},\"b\":null}",
                                        "\"\\ud83d\\ude00\"", "-0" };
    static const char *const bad[] = { "",
                                       "01",
                                       "1.",
                                       ".5",
                                       "+1",
                                       "1e",
                                       "tru",
                                       "nul",
                                       "[1,]",
                                       "{\"a\":1,}",
                                       "{a:1}",
                                       "[1 2]",
                                       "\"\t\"",
                                       "\"\\x\"",
                                       "\"\\ud800\"",
                                       "\"\\udc00\"",
                                       "\"\xc0\xaf\"",
                                       "1 2",
                                       "NaN",
                                       "'a'",
                                       "{\"a\":1,\"a\":2}",
                                       "{\"a\":1,\"\\u0061\":2}",
                                       "[",
                                       "{\"a\"",
                                       "\"",
                                       "// \n1",
                                       "\xef\xbb\xbf{}" };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (lb_json_check("x", good[i], strlen(good[i]), 100)) fail_msg("%s: %s", good[i], lb_error());
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (lb_json_check("x", bad[i], strlen(bad[i]), 100) != LB_EIO) fail_msg("%s was taken", bad[i]);
    assert_int_equal(lb_json_check("x", "[1,2,3]", 7, 2), LB_EIO);
    assert_int_equal(lb_json_check("x", "[1,\0]", 5, 9), LB_EIO);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* A writer that is given up, or lacks a tensor, leaves nothing behind. */
static void test_writer(void **state) {
    (void)state;
    char top[256], folder[270], path[300];
    assert_int_equal(lb_tempdir_new("luabench-test-", top, sizeof top), LB_OK);
    snprintf(folder, sizeof folder, "%s/files", top);
    assert_int_equal(lb_mkdir_p(folder), LB_OK);
    snprintf(path, sizeof path, "%s/x.gguf", folder);
    lb_stored list[2] = { { .name = "a", .type = lb_gguf_type_named("F32"), .rank = 1, .dims = { 3 } },
                          { .name = "b", .type = lb_gguf_type_named("q8_0"), .rank = 2, .dims = { 2, 32 } } };
    lb_model_writer *w = NULL;
    lb_tensor *t = NULL;
    assert_int_equal(lb_gguf_create(path, NULL, 0, list, 2, (lb_writer_options){ 0 }, &w), LB_OK);
    assert_int_equal(lb_tensor_new(device, LB_F32, NULL, 1, (int64_t[]){ 4 }, &t), LB_OK);
    assert_int_equal(lb_model_writer_add(w, 0, t), LB_EINVAL);
    assert_int_equal(lb_model_writer_add(w, 7, t), LB_EINVAL);
    assert_int_equal(lb_model_writer_finish(w, true), LB_EINVAL);
    assert_int_not_equal(access(path, F_OK), 0);
    list[1].name = "a";
    assert_int_equal(lb_gguf_create(path, NULL, 0, list, 2, (lb_writer_options){ 0 }, &w), LB_EINVAL);
    list[1].name = "b";
    list[1].dims[1] = 33;
    assert_int_equal(lb_gguf_create(path, NULL, 0, list, 2, (lb_writer_options){ 0 }, &w), LB_EINVAL);
    list[1].type = lb_safetensors_type_named("F32");
    assert_int_equal(lb_gguf_create(path, NULL, 0, list, 2, (lb_writer_options){ 0 }, &w), LB_EINVAL);
    assert_int_equal(lb_gguf_create(path, NULL, 0, list, 1, (lb_writer_options){ .version = 1 }, &w), LB_EINVAL);
    lb_tensor_release(t);
    assert_int_equal(rmdir(folder), 0);                  /* it is empty */
    assert_int_equal(lb_tempdir_remove(top), LB_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gguf_good),          cmocka_unit_test(test_gguf_head),
        cmocka_unit_test(test_gguf_metadata),      cmocka_unit_test(test_gguf_tensors),
        cmocka_unit_test(test_gguf_cut),           cmocka_unit_test(test_safetensors_good),
        cmocka_unit_test(test_safetensors_head),   cmocka_unit_test(test_safetensors_entries),
        cmocka_unit_test(test_safetensors_quantized),
        cmocka_unit_test(test_safetensors_overlaps), cmocka_unit_test(test_index),
        cmocka_unit_test(test_json),               cmocka_unit_test(test_writer),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
