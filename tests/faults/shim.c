/*
 * Preloaded into a process under test: counts the calls that change files under one folder, and makes the chosen
 * one fail, or kills the process at it. Everything goes through libc, so what SQLite, Rust and Python write is seen.
 *
 * FAULTS_CONTROL names a file that the test and this library share: seven 64-bit numbers and two paths (struct control).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum operation { WRITE = 1, SYNC = 2, RENAME = 4, UNLINK = 8, TRUNCATE = 16, CREATE = 32, MKDIR = 64 };

struct control {
    _Atomic int64_t armed;   /* 1: count and act */
    _Atomic int64_t at;      /* act at this call, counted from 0; negative: only count */
    _Atomic int64_t error;   /* errno of the failure; 0: SIGKILL, after half of a write */
    _Atomic int64_t sticky;  /* 1: every later call fails too */
    _Atomic int64_t mask;    /* which operations count */
    _Atomic int64_t count;   /* calls so far */
    _Atomic int64_t syncs;   /* of all of them, syncs of a file: those before an answer make it durable */
    char under[2048];        /* folder; empty: nothing counts */
    char hit[2048];          /* file of the call that was acted on */
};

static struct control *control;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("FAULTS_CONTROL");
    if (!path) return;
    int handle = REAL(open)(path, O_RDWR | O_CLOEXEC);
    if (handle < 0) return;
    void *found = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
    close(handle);
    if (found != MAP_FAILED) control = found;
}

/* Whether the call is to fail: errno is set. Does not return where it is to kill. */
static int acts(enum operation operation, const char *path, int handle, const void *data, size_t size, off64_t place) {
    if (!control || !control->armed || !(control->mask & operation) || !control->under[0]) return 0;
    char name[64], target[2048];
    if (!path) {
        static const char *const digits = "0123456789";
        char reversed[16];
        int n = 0, length = 0;
        memcpy(name, "/proc/self/fd/", 14);
        length = 14;
        for (int rest = handle; n == 0 || rest; rest /= 10) reversed[n++] = digits[rest % 10];
        while (n) name[length++] = reversed[--n];
        name[length] = 0;
        ssize_t got = readlink(name, target, sizeof target - 1);
        if (got < 0) return 0;
        target[got] = 0;
        path = target;
    }
    if (strncmp(path, control->under, strlen(control->under)) != 0) return 0;
    int64_t mine = atomic_fetch_add(&control->count, 1);
    int64_t at = control->at;
    if (at < 0 || mine < at || (mine > at && !control->sticky)) {
        if (operation == SYNC) atomic_fetch_add(&control->syncs, 1);
        return 0;
    }
    if (mine == at) {
        strncpy(control->hit, path, sizeof control->hit - 1);
    }
    if (control->error == 0) {
        if (operation == WRITE && place >= 0) (void)!REAL(pwrite64)(handle, data, size / 2, place);
        else if (operation == WRITE && size > 1) (void)!REAL(write)(handle, data, size / 2);
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    errno = (int)control->error;
    return 1;
}

ssize_t write(int handle, const void *data, size_t size) {
    return acts(WRITE, NULL, handle, data, size, -1) ? -1 : REAL(write)(handle, data, size);
}

ssize_t writev(int handle, const struct iovec *parts, int n) {
    return acts(WRITE, NULL, handle, NULL, 0, -1) ? -1 : REAL(writev)(handle, parts, n);
}

ssize_t pwrite(int handle, const void *data, size_t size, off_t place) {
    return acts(WRITE, NULL, handle, data, size, place) ? -1 : REAL(pwrite)(handle, data, size, place);
}

ssize_t pwrite64(int handle, const void *data, size_t size, off64_t place) {
    return acts(WRITE, NULL, handle, data, size, place) ? -1 : REAL(pwrite64)(handle, data, size, place);
}

int fsync(int handle) { return acts(SYNC, NULL, handle, NULL, 0, -1) ? -1 : REAL(fsync)(handle); }
int fdatasync(int handle) { return acts(SYNC, NULL, handle, NULL, 0, -1) ? -1 : REAL(fdatasync)(handle); }
int ftruncate(int handle, off_t size) { return acts(TRUNCATE, NULL, handle, NULL, 0, -1) ? -1 : REAL(ftruncate)(handle, size); }
int ftruncate64(int handle, off64_t size) {
    return acts(TRUNCATE, NULL, handle, NULL, 0, -1) ? -1 : REAL(ftruncate64)(handle, size);
}

int rename(const char *old, const char *new) { return acts(RENAME, new, -1, NULL, 0, -1) ? -1 : REAL(rename)(old, new); }
int renameat(int from, const char *old, int to, const char *new) {
    return acts(RENAME, new, -1, NULL, 0, -1) ? -1 : REAL(renameat)(from, old, to, new);
}
int unlink(const char *path) { return acts(UNLINK, path, -1, NULL, 0, -1) ? -1 : REAL(unlink)(path); }
int rmdir(const char *path) { return acts(UNLINK, path, -1, NULL, 0, -1) ? -1 : REAL(rmdir)(path); }
int mkdir(const char *path, mode_t mode) { return acts(MKDIR, path, -1, NULL, 0, -1) ? -1 : REAL(mkdir)(path, mode); }

/* unlinkat and rmdir through a folder's handle, as shutil.rmtree does */
int unlinkat(int folder, const char *path, int flags) {
    int fails = path[0] == '/' ? acts(UNLINK, path, -1, NULL, 0, -1) : acts(UNLINK, NULL, folder, NULL, 0, -1);
    return fails ? -1 : REAL(unlinkat)(folder, path, flags);
}

static int opens(const char *path, int flags) {
    return (flags & O_CREAT) && access(path, F_OK) != 0 && acts(CREATE, path, -1, NULL, 0, -1);
}

#define MODE(flags, last) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, last); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) {
    MODE(flags, flags)
    return opens(path, flags) ? -1 : REAL(open)(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE(flags, flags)
    return opens(path, flags) ? -1 : REAL(open64)(path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    MODE(flags, flags)
    return opens(path, flags) ? -1 : REAL(openat)(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags, flags)
    return opens(path, flags) ? -1 : REAL(openat64)(folder, path, flags, mode);
}
