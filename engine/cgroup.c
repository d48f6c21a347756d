/* cgroup.c: the control groups that this process is in. */
#include "cgroup.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOUNT "/sys/fs/cgroup"

static void upwards(const char *root, const char *path, bool v2, lb_cgroup_fn fn, void *ctx) {
    char dir[1024];
    snprintf(dir, sizeof dir, "%s%s", root, strcmp(path, "/") == 0 ? "" : path);
    for (;;) {
        fn(ctx, dir, v2);
        char *slash = strrchr(dir, '/');
        if (!slash || (size_t)(slash - dir) < strlen(root)) return;
        *slash = 0;
    }
}

/* "cpu,cpuacct" has "cpu". */
static bool lists(const char *controllers, const char *wanted) {
    size_t n = strlen(wanted);
    for (const char *p = controllers; p; p = strchr(p, ',')) {
        if (*p == ',') p++;
        if (strncmp(p, wanted, n) == 0 && (p[n] == ',' || p[n] == 0)) return true;
    }
    return false;
}

void lb_cgroup_each(const char *controller, lb_cgroup_fn fn, void *ctx) {
    char line[1024], root[256];
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f) return;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) continue;
        *path++ = 0, controllers++;
        bool v2 = *controllers == 0;
        if (!v2 && !lists(controllers, controller)) continue;
        snprintf(root, sizeof root, "%s%s%s", MOUNT, v2 ? "" : "/", v2 ? "" : controller);
        upwards(root, path, v2, fn, ctx);
    }
    fclose(f);
}

int64_t lb_cgroup_number(const char *text, const char *key) {
    size_t n = strlen(key);
    for (const char *p = text; p; p = strchr(p, '\n')) {
        if (*p == '\n') p++;
        if (strncmp(p, key, n) == 0 && (p[n] == ' ' || p[n] == '\t')) return atoll(p + n);
    }
    return -1;
}
