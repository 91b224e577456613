/* Stands between SQLite and the C library: records what is written to a database's files, and makes calls fail.
 *
 * Preloaded into one process; driven by shim.py through ctypes. Only files whose path begins with the folder given to
 * shim_watch() and whose name has ".db" in it are touched; the gate's side file is left alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2, READ = 4, TRUNCATE = 8, OPEN = 16, UNLINK = 32, MARK = 64 };
enum { FILES = 32, DESCRIPTORS = 4096 };

struct record { int32_t op, file; int64_t offset, length; };

static char folder[512], names[FILES][512];
static int file_count, of_descriptor[DESCRIPTORS], ready;
static char *log_bytes;
static size_t log_length, log_room;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The armed fault: the at-th call whose kind is in mask gives code (or ends the process, code -1); so do later ones if it stays. */
static int mask, code, stays;
static int64_t at, seen;

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static int watched(const char *path) {
    const char *name = strrchr(path, '/');
    if (!ready || !name || strncmp(path, folder, strlen(folder))) return -1;
    if (!strstr(name, ".db") || strstr(name, ".gate")) return -1;
    for (int i = 0; i < file_count; i++) if (!strcmp(names[i], path)) return i;
    if (file_count == FILES) abort();
    strcpy(names[file_count], path);
    return file_count++;
}

static int file_of(int fd) { return ready && fd >= 0 && fd < DESCRIPTORS ? of_descriptor[fd] - 1 : -1; }

static void record(int op, int file, int64_t offset, const void *data, int64_t length) {
    struct record head = {op, file, offset, length};
    size_t size = sizeof head + (data ? (size_t)length : 0);
    pthread_mutex_lock(&lock);
    while (log_length + size > log_room) log_bytes = realloc(log_bytes, log_room = log_room ? 2 * log_room : 1 << 20);
    memcpy(log_bytes + log_length, &head, sizeof head);
    if (data) memcpy(log_bytes + log_length + sizeof head, data, (size_t)length);
    log_length += size;
    pthread_mutex_unlock(&lock);
}

/* Whether this call is to fail; errno is set then. */
static int fails(int kind) {
    if (!(kind & mask)) return 0;
    int64_t number = ++seen;
    if (!(at && (number == at || (stays && number > at)))) return 0;
    if (code == -1) _exit(9);
    errno = code;
    return 1;
}

/* Watches another folder, or none where path is empty. */
void shim_watch(const char *path) {
    ready = 0;
    memset(of_descriptor, 0, sizeof of_descriptor);
    file_count = 0;
    log_length = 0;
    strncpy(folder, path, sizeof folder - 1);
    ready = *path != 0;
}
void shim_arm(int kinds, int64_t number, int error, int persistent) { mask = kinds; at = number; code = error; stays = persistent; seen = 0; }
int64_t shim_seen(void) { return seen; }
void shim_mark(int64_t number) { record(MARK, -1, number, NULL, 0); }
const char *shim_name(int file) { return file < file_count ? names[file] : NULL; }
int64_t shim_length(void) { return (int64_t)log_length; }
const char *shim_log(void) { return log_bytes; }

static int opened(const char *path, int flags, int fd) {
    int file = fd < 0 ? -1 : watched(path);
    if (fd >= 0 && fd < DESCRIPTORS) of_descriptor[fd] = file + 1;
    if (file >= 0 && (flags & O_CREAT)) record(OPEN, file, 0, NULL, 0);
    return fd;
}

static int open_any(const char *name, const char *path, int flags, mode_t mode) {
    static int (*real)(const char *, int, ...);
    if (!real) real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
    (void)name;
    if (ready && watched(path) >= 0 && fails(OPEN)) return -1;
    return opened(path, flags, real(path, flags, mode));
}

int open64(const char *path, int flags, ...) {
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest);
    return open_any("open64", path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest);
    return open_any("open", path, flags, mode);
}

int close(int fd) {
    REAL(int, "close", int);
    if (fd >= 0 && fd < DESCRIPTORS) of_descriptor[fd] = 0;
    return real(fd);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    int file = file_of(fd);
    if (file >= 0 && fails(WRITE)) return -1;
    ssize_t done = real(fd, data, length, offset);
    if (file >= 0 && done > 0) record(WRITE, file, offset, data, done);
    return done;
}

ssize_t pread64(int fd, void *data, size_t length, off64_t offset) {
    REAL(ssize_t, "pread64", int, void *, size_t, off64_t);
    if (file_of(fd) >= 0 && fails(READ)) return -1;
    return real(fd, data, length, offset);
}

int ftruncate64(int fd, off64_t length) {
    REAL(int, "ftruncate64", int, off64_t);
    int file = file_of(fd);
    if (file >= 0 && fails(TRUNCATE)) return -1;
    int done = real(fd, length);
    if (file >= 0 && !done) record(TRUNCATE, file, length, NULL, 0);
    return done;
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    int file = file_of(fd);
    if (file >= 0 && fails(SYNC)) return -1;
    int done = real(fd);
    if (file >= 0 && !done) record(SYNC, file, 0, NULL, 0);
    return done;
}

int fsync(int fd) {
    REAL(int, "fsync", int);
    int file = file_of(fd);
    if (file >= 0 && fails(SYNC)) return -1;
    int done = real(fd);
    if (file >= 0 && !done) record(SYNC, file, 0, NULL, 0);
    return done;
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    int file = watched(path);
    if (file >= 0 && fails(UNLINK)) return -1;
    int done = real(path);
    if (file >= 0 && !done) record(UNLINK, file, 0, NULL, 0);
    return done;
}
