/* energy.c: what the processor's own counters say that it used (RAPL, as Linux shows it under powercap). */
#include "energy.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOT "/sys/class/powercap"

static void because(lb_energy *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void because(lb_energy *e, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(e->reason, sizeof e->reason, fmt, args);
    va_end(args);
}

static bool read_text(const char *root, const char *zone, const char *leaf, char *out, size_t bytes) {
    char path[768];
    snprintf(path, sizeof path, "%s/%s/%s", root, zone, leaf);
    FILE *f = fopen(path, "re");
    bool ok = f && fgets(out, (int)bytes, f);
    if (f) fclose(f);
    if (ok) out[strcspn(out, "\n")] = 0;
    return ok;
}

static double counter(int fd) {
    char text[64], *end;
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    if (n <= 0) return NAN;
    text[n] = 0;
    double v = strtod(text, &end);
    return end == text || v < 0 ? NAN : v;
}

/* Packages, and memory. Not the cores, which are in the package, nor "psys", which has the packages in it. */
static bool counts(const char *name) { return strncmp(name, "package", 7) == 0 || strcmp(name, "dram") == 0; }

static void open_zone(lb_energy *e, const char *root, const char *zone) {
    char name[64], range[64], path[768];
    if (e->count == LB_ENERGY_ZONES || !read_text(root, zone, "name", name, sizeof name) || !counts(name)) return;
    snprintf(path, sizeof path, "%s/%s/energy_uj", root, zone);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        because(e, "%s: %s%s", path, strerror(errno),
                errno == EACCES ? "; only root may read it (as root: chmod a+r, until the next boot)" : "");
        return;
    }
    double now = counter(fd);
    if (isnan(now)) {
        because(e, "%s holds no number", path);
        close(fd);
        return;
    }
    double most = read_text(root, zone, "max_energy_range_uj", range, sizeof range) ? strtod(range, NULL) : 0;
    e->zones[e->count].fd = fd;
    e->zones[e->count].range_uj = most;
    e->zones[e->count].last_uj = now;
    snprintf(e->zones[e->count++].name, sizeof e->zones[0].name, "%s", name);
}

void lb_energy_open(lb_energy *e, const char *root) {
    const char *elsewhere = getenv("LUABENCH_POWERCAP");
    memset(e, 0, sizeof *e);
    if (!root) root = elsewhere && *elsewhere ? elsewhere : ROOT;
    DIR *dir = opendir(root);
    if (!dir) {
        because(e, "%s: %s: this kernel or its hypervisor shows no energy counters", root, strerror(errno));
        return;
    }
    for (struct dirent *z; (z = readdir(dir));) {
        /* "intel-rapl:0" (AMD's too), "intel-rapl:0:2"; the mmio copies count the same packages once more */
        if (strncmp(z->d_name, "intel-rapl:", 11) == 0) open_zone(e, root, z->d_name);
    }
    closedir(dir);
    if (e->count) e->reason[0] = 0;
    else if (!e->reason[0]) because(e, "%s has no zone of a package: this machine shows no energy counters", root);
}

void lb_energy_close(lb_energy *e) {
    for (int i = 0; i < e->count; i++) close(e->zones[i].fd);
    e->count = 0;
}

double lb_energy_joules(lb_energy *e) {
    double uj = e->count ? 0 : NAN;
    for (int i = 0; i < e->count; i++) {
        double now = counter(e->zones[i].fd), spent = now - e->zones[i].last_uj;
        if (spent < 0) spent = e->zones[i].range_uj > 0 ? spent + e->zones[i].range_uj : NAN;      /* it wrapped */
        uj += spent;
        if (!isnan(now)) e->zones[i].last_uj = now;
    }
    return uj * 1e-6;
}
