/* nvrtc.c: NVRTC of the played device: CUDA C++ is compiled as C++ by the system's compiler. Its threads run one after
 * another, so that barriers, shared memory and warps are not there. Found as libnvrtc.so.13 (a link to this object). */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake.h"

#define VISIBLE __attribute__((visibility("default")))
enum { OK, OUT_OF_MEMORY, INVALID_INPUT = 3, INVALID_OPTION = 5, COMPILATION = 6, NAMES_MOST = 32 };

typedef struct program { char *source, *log; char name[200], image[200]; } program;

static const char before[] =
    "struct fake_dim { unsigned x, y, z; };\n"
    "static fake_dim blockIdx, threadIdx, blockDim, gridDim;\n"
    "#define __global__\n#define __device__\n#define __launch_bounds__(...)\n"
    "namespace {\n"
    "template <unsigned long... I> struct seq {};\n"
    "template <unsigned long N, unsigned long... I> struct make : make<N - 1, N - 1, I...> {};\n"
    "template <unsigned long... I> struct make<0, I...> { typedef seq<I...> type; };\n"
    "template <class... A, unsigned long... I> void fake_call(void (*f)(A...), void **a, seq<I...>) {\n"
    "    (void)a;\n    f(*(A *)a[I]...);\n}\n"
    "template <class... A> void fake_run(void (*f)(A...), void **a, const unsigned *g, const unsigned *b) {\n"
    "    gridDim = { g[0], g[1], g[2] };\n    blockDim = { b[0], b[1], b[2] };\n"
    "    for (blockIdx.z = 0; blockIdx.z < g[2]; blockIdx.z++)\n    for (blockIdx.y = 0; blockIdx.y < g[1]; "
    "blockIdx.y++)\n"
    "    for (blockIdx.x = 0; blockIdx.x < g[0]; blockIdx.x++)\n    for (threadIdx.z = 0; threadIdx.z < b[2]; "
    "threadIdx.z++)\n"
    "    for (threadIdx.y = 0; threadIdx.y < b[1]; threadIdx.y++)\n    for (threadIdx.x = 0; threadIdx.x < b[0]; "
    "threadIdx.x++)\n"
    "        fake_call(f, a, typename make<sizeof...(A)>::type());\n}\n"
    "template <class... A> int fake_size(void (*)(A...), int i) {\n"
    "    const int n[] = { (int)sizeof(A)..., 0 };\n    return i < (int)sizeof...(A) ? n[i] : 0;\n}\n"
    "}\n";

/* Names of the kernels: what stands before the first parenthesis behind __global__ void. */
static int kernel_names(const char *source, char names[NAMES_MOST][64]) {
    int n = 0;
    for (const char *at = source; (at = strstr(at, "__global__")) && n < NAMES_MOST; at++) {
        const char *end = strchr(at, '('), *begin;
        if (!end) break;
        while (end > at && isspace((unsigned char)end[-1])) end--;
        for (begin = end; begin > at && (isalnum((unsigned char)begin[-1]) || begin[-1] == '_');) begin--;
        snprintf(names[n], 64, "%.*s", (int)(end - begin), begin);
        int seen = 0;
        for (int i = 0; i < n; i++) seen |= strcmp(names[i], names[n]) == 0;
        n += !seen;
    }
    return n;
}

static int write_source(const program *p, const char *path) {
    char names[NAMES_MOST][64];
    FILE *f = fopen(path, "w");
    if (!f) return 0;
    int n = kernel_names(p->source, names);
    fprintf(f, "%s#line 1 \"%s\"\n%s\n#line 1 \"wrappers\"\n", before, p->name, p->source);
    for (int i = 0; i < n; i++)
        fprintf(
            f,
            "extern \"C\" void fake_run_%s(void **a, const unsigned *g, const unsigned *b) { fake_run(%s, a, g, b); }\n"
            "extern \"C\" int fake_size_%s(int i) { return fake_size(%s, i); }\n",
            names[i], names[i], names[i], names[i]);
    fprintf(f, "extern \"C\" const char *const fake_names[] = { ");
    for (int i = 0; i < n; i++) fprintf(f, "\"%s\", ", names[i]);
    fprintf(f, "0 };\n");
    return fclose(f) == 0;
}

static char *read_all(const char *path) {
    char *text = calloc(1, 65536);
    FILE *f = fopen(path, "r");
    if (f && text) text[fread(text, 1, 65535, f)] = 0;
    if (f) fclose(f);
    return text;
}

VISIBLE int nvrtcVersion(int *major, int *minor);
int nvrtcVersion(int *major, int *minor) { return *major = 13, *minor = 0, OK; }
VISIBLE int nvrtcCreateProgram(void **out, const char *source, const char *name, int n, const char *const *s,
                               const char *const *i);
int nvrtcCreateProgram(void **out, const char *source, const char *name, int n, const char *const *s,
                       const char *const *i) {
    program *p = calloc(1, sizeof *p);
    (void)n, (void)s, (void)i;
    p->source = strdup(source);
    snprintf(p->name, sizeof p->name, "%s", name);
    return *out = p, OK;
}

VISIBLE int nvrtcCompileProgram(void *program_, int count, const char *const *options);
int nvrtcCompileProgram(void *program_, int count, const char *const *options) {
    program *p = program_;
    char base[120], cpp[160], log[160], command[800];
    int architecture = 0;
    for (int i = 0; i < count; i++) {
        architecture |= strncmp(options[i], "--gpu-architecture=sm_", 22) == 0;
        if (strncmp(options[i], "--", 2) == 0) continue;
        p->log = strdup("nvrtc: error: invalid value for an option\n");
        return INVALID_OPTION;
    }
    if (!architecture) return INVALID_OPTION;
    snprintf(base, sizeof base, "%s/fake-nvrtc-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    int fd = mkstemp(base);
    if (fd < 0) return OUT_OF_MEMORY;
    close(fd);
    snprintf(cpp, sizeof cpp, "%s.cpp", base);
    snprintf(log, sizeof log, "%s.log", base);
    snprintf(p->image, sizeof p->image, "%s.so", base);
    snprintf(command, sizeof command, "LC_ALL=C c++ -std=c++17 -O1 -w -shared -fPIC -o %s %s > %s 2>&1", p->image, cpp,
             log);
    int status = write_source(p, cpp) ? system(command) : 1;
    p->log = read_all(log);
    unlink(base), unlink(cpp), unlink(log);
    return status ? COMPILATION : OK;
}

VISIBLE int nvrtcGetProgramLogSize(void *p, size_t *bytes);
int nvrtcGetProgramLogSize(void *p, size_t *bytes) { return *bytes = ((program *)p)->log ?
    strlen(((program *)p)->log) + 1 : 1, OK; }
VISIBLE int nvrtcGetProgramLog(void *p, char *text);
int nvrtcGetProgramLog(void *p, char *text) { return strcpy(text, ((program *)p)->log ? ((program *)p)->log : ""), OK; }
/* The "code" is the name of the object. */
VISIBLE int nvrtcGetCUBINSize(void *p, size_t *bytes);
int nvrtcGetCUBINSize(void *p, size_t *bytes) { return *bytes = strlen(((program *)p)->image) + 1, OK; }
VISIBLE int nvrtcGetCUBIN(void *p, char *image);
int nvrtcGetCUBIN(void *p, char *image) { return strcpy(image, ((program *)p)->image), OK; }
VISIBLE int nvrtcDestroyProgram(void **p);
int nvrtcDestroyProgram(void **p) {
    free(((program *)*p)->source);
    free(((program *)*p)->log);
    free(*p);
    return *p = NULL, OK;
}
VISIBLE const char *nvrtcGetErrorString(int e);
const char *nvrtcGetErrorString(int e) {
    return e == COMPILATION ? "NVRTC_ERROR_COMPILATION" : e == INVALID_OPTION ? "NVRTC_ERROR_INVALID_OPTION" :
        "NVRTC_ERROR";
}
