// A disk that fails: put before a vault's own calls by LD_PRELOAD. Counts every write, synchronization and cut of the
// files below DISK_UNDER, and lets those from number DISK_FROM on, DISK_LENGTH of them, fail as DISK_HOW says:
//
//   full  a write is half done, then refused: ENOSPC
//   io    writes and synchronizations fail: EIO
//   sync  synchronizations fail, writes do not: EIO
//   torn  the first write is half done, and the process dies, as in a power cut
//
// If DISK_WHILE names a file, they fail while it is there, and not otherwise.
//
// Half of a write ends where a sector of 512 bytes does: disks write those whole or not at all.
//
// At the end the count is written to DISK_COUNT.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long calls;
enum kind { WRITE, SYNC, CUT };

static int ours(int fd) {
    const char *under = getenv("DISK_UNDER");
    char link[64], path[4096];
    if (!under) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return strncmp(path, under, strlen(under)) == 0;
}

static long number(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text ? atol(text) : otherwise;
}

// 0 to go on, 1 for half of it, 2 for none of it with errno set.
static int fate(int fd, enum kind kind) {
    int kept = errno;
    if (!ours(fd)) { errno = kept; return 0; }
    long call = atomic_fetch_add(&calls, 1) + 1, from = number("DISK_FROM", 0);
    const char *how = getenv("DISK_HOW"), *during = getenv("DISK_WHILE");
    if (during && access(during, F_OK)) how = NULL;
    errno = kept;
    if (!how || from == 0 || call < from || call >= from + number("DISK_LENGTH", 1000000000)) return 0;
    if (!strcmp(how, "full") && kind == WRITE) { errno = ENOSPC; return call == from ? 1 : 2; }
    if (!strcmp(how, "io")) { errno = EIO; return 2; }
    if (!strcmp(how, "sync") && kind == SYNC) { errno = EIO; return 2; }
    if (!strcmp(how, "torn") && kind == WRITE) return 1;
    return 0;
}

// How much of a write at `place` is half of it.
static size_t half(off64_t place, size_t count) {
    off64_t end = (place + (off64_t)(count / 2)) / 512 * 512;
    return end > place ? (size_t)(end - place) : 0;
}

static ssize_t after_half(ssize_t done) {
    if (!strcmp(getenv("DISK_HOW"), "torn")) { kill(getpid(), SIGKILL); pause(); }
    if (done <= 0) { errno = ENOSPC; return -1; }
    return done;
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(write);
    switch (fate(fd, WRITE)) {
    case 0: return real(fd, bytes, count);
    case 1: {
        off64_t place = lseek64(fd, 0, SEEK_CUR);
        size_t part = half(place < 0 ? 0 : place, count);
        return after_half(part ? real(fd, bytes, part) : 0);
    }
    default: return -1;
    }
}

static ssize_t at(const char *name, int fd, const void *bytes, size_t count, off64_t place) {
    ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, name);
    switch (fate(fd, WRITE)) {
    case 0: return real(fd, bytes, count, place);
    case 1: {
        size_t part = half(place, count);
        return after_half(part ? real(fd, bytes, part, place) : 0);
    }
    default: return -1;
    }
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t place) { return at("pwrite", fd, bytes, count, place); }
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t place) { return at("pwrite64", fd, bytes, count, place); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    return fate(fd, WRITE) ? -1 : real(fd, parts, count);
}

static ssize_t parts_at(const char *name, int fd, const struct iovec *parts, int count, off64_t place) {
    ssize_t (*real)(int, const struct iovec *, int, off64_t) = dlsym(RTLD_NEXT, name);
    return fate(fd, WRITE) ? -1 : real(fd, parts, count, place);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t place) { return parts_at("pwritev", fd, parts, count, place); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t place) { return parts_at("pwritev64", fd, parts, count, place); }

int fsync(int fd) {
    REAL(fsync);
    return fate(fd, SYNC) ? -1 : real(fd);
}

int fdatasync(int fd) {
    REAL(fdatasync);
    return fate(fd, SYNC) ? -1 : real(fd);
}

int sync_file_range(int fd, off64_t from, off64_t length, unsigned int flags) {
    REAL(sync_file_range);
    return fate(fd, SYNC) ? -1 : real(fd, from, length, flags);
}

int ftruncate64(int fd, off64_t length) {
    REAL(ftruncate64);
    return fate(fd, CUT) ? -1 : real(fd, length);
}

int ftruncate(int fd, off_t length) {
    REAL(ftruncate);
    return fate(fd, CUT) ? -1 : real(fd, length);
}

__attribute__((destructor)) static void count(void) {
    const char *path = getenv("DISK_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (file) { fprintf(file, "%ld\n", (long)calls); fclose(file); }
}
