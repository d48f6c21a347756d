/* model_open.c: opening a model file by what is in it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "file.h"
#include "gguf.h"
#include "safetensors.h"

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), e = strlen(end);
    return n >= e && strcmp(text + n - e, end) == 0;
}

static bool exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

/* What a Hugging Face folder keeps its tensors in. */
static lb_status open_folder(const char *path, lb_device *d, lb_model_file **out) {
    static const char *const names[] = { "model.safetensors.index.json", "model.safetensors" };
    size_t room = strlen(path) + 40;
    char *inside = malloc(room);
    if (!inside) return lb_fail(LB_ENOMEM, "not enough memory to open %s", path);
    lb_status s = lb_fail(LB_EIO,
                          "%s is a folder without model.safetensors and without model.safetensors.index.json; name "
                          "the model's file",
                          path);
    for (int i = 0; i < 2; i++) {
        snprintf(inside, room, "%s/%s", path, names[i]);
        if (!exists(inside)) continue;
        s = i == 0 ? lb_safetensors_open_index(inside, d, out) : lb_safetensors_open(inside, d, out);
        break;
    }
    free(inside);
    return s;
}

lb_status lb_model_file_open(const char *path, lb_device *d, lb_model_file **out) {
    struct stat st;
    lb_infile f;
    char magic[4] = { 0 };
    *out = NULL;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) return open_folder(path, d, out);
    lb_status s = lb_infile_open(path, &f);
    if (s) return s;
    s = lb_infile_at(&f, 0, magic, f.bytes < 4 ? f.bytes : 4);
    lb_infile_close(&f);
    if (s) return s;
    if (memcmp(magic, "GGUF", 4) == 0) return lb_gguf_open(path, d, out);
    if (memcmp(magic, "FUGG", 4) == 0)
        return lb_fail(LB_EIO, "%s is a big-endian GGUF file; only little-endian ones are read", path);
    if (memcmp(magic, "tjgg", 4) == 0 || memcmp(magic, "lmgg", 4) == 0)
        return lb_fail(LB_EIO, "%s is a GGML file, the format before GGUF: convert it", path);
    if (memcmp(magic, "PK\3\4", 4) == 0)
        return lb_fail(
            LB_EIO,
            "%s is a zip archive, perhaps a PyTorch checkpoint, which can run code when it is loaded: save it "
            "as safetensors",
            path);
    if (ends_with(path, ".gguf")) return lb_gguf_open(path, d, out);
    return ends_with(path, ".json") ? lb_safetensors_open_index(path, d, out) : lb_safetensors_open(path, d, out);
}
