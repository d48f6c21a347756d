/* model_open.c: opening a model file by what is in it. */
#include <dirent.h>
#include <errno.h>
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

/* Is it a GGUF file, and no further part of a split one ("-00002-of-00003.gguf")? */
static int is_gguf(const struct dirent *e) {
    static const char tail[] = "-00001-of-00001.gguf";
    size_t n = strlen(e->d_name), t = sizeof tail - 1;
    if (e->d_name[0] == '.' || !ends_with(e->d_name, ".gguf")) return 0;
    const char *p = n > t ? e->d_name + n - t : NULL;
    return !p || p[0] != '-' || strncmp(p + 6, "-of-", 4) != 0 || atoi(p + 1) == 1;
}

/* The only GGUF model of a folder without safetensors. */
static lb_status open_gguf_in(const char *path, lb_device *d, lb_model_file **out) {
    struct dirent **list = NULL;
    int n = scandir(path, &list, is_gguf, alphasort);
    lb_status s;
    if (n < 0) return lb_fail(LB_EIO, "cannot read the folder %s: %s", path, strerror(errno));
    if (n == 1) {
        size_t room = strlen(path) + strlen(list[0]->d_name) + 2;
        char *inside = malloc(room);
        s = inside ? LB_OK : lb_fail(LB_ENOMEM, "not enough memory to open %s", path);
        if (inside) snprintf(inside, room, "%s/%s", path, list[0]->d_name);
        if (inside) s = lb_gguf_open(inside, d, out);
        free(inside);
    } else if (n > 1) {
        s = lb_fail(LB_EIO, "%s has %d GGUF models, %s and %s among them: name one", path, n,
                    lb_shown(list[0]->d_name, strlen(list[0]->d_name)),
                    lb_shown(list[1]->d_name, strlen(list[1]->d_name)));
    } else {
        s = lb_fail(LB_EIO,
                    "%s is a folder without model.safetensors, model.safetensors.index.json or a GGUF file; name the "
                    "model's file",
                    path);
    }
    for (int i = 0; i < n; i++) free(list[i]);
    free(list);
    return s;
}

/* What a Hugging Face folder keeps its tensors in; else the GGUF file that the folder has. */
static lb_status open_folder(const char *path, lb_device *d, lb_model_file **out) {
    static const char *const names[] = { "model.safetensors.index.json", "model.safetensors" };
    size_t room = strlen(path) + 40;
    char *inside = malloc(room);
    if (!inside) return lb_fail(LB_ENOMEM, "not enough memory to open %s", path);
    for (int i = 0; i < 2; i++) {
        snprintf(inside, room, "%s/%s", path, names[i]);
        if (!exists(inside)) continue;
        lb_status s = i == 0 ? lb_safetensors_open_index(inside, d, out) : lb_safetensors_open(inside, d, out);
        free(inside);
        return s;
    }
    free(inside);
    return open_gguf_in(path, d, out);
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
