/* Makes file operations of a process fail on request. Preloaded into a process of the product; the instruction is in a memory-mapped file
 * (DISK_FAULTS_FILE, written by test/support/disk-faults/disk-faults.ts), so that a process that has no fault pays one comparison a call.
 * libuv and SQLite reach files through these functions of the C library; io_uring has to be off (UV_USE_IO_URING=0). */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, READ = 2, WRITE = 4, SYNC = 8, RENAME = 16, UNLINK = 32, MKDIR = 64, TRUNCATE = 128, READDIR = 256 };
enum { STAT = 512, LINK = 1024 };

/* The layout is that of disk-faults.ts. */
struct control {
  volatile int32_t active;
  /* An errno; 0: a write takes half of what it is given. */
  volatile int32_t error;
  volatile uint32_t calls;
  /* How many calls fail; below 0: all. */
  volatile int32_t left;
  volatile uint32_t hits;
  uint32_t unused;
  char pattern[1000];
};

static struct control *control;

__attribute__((constructor)) static void map_control(void) {
  const char *name = getenv("DISK_FAULTS_FILE");
  int fd = name == NULL ? -1 : (int)syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *page = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (page != MAP_FAILED) control = page;
}

static int is_wanted(uint32_t call) { return control != NULL && control->active && (control->calls & call) != 0; }

/* Takes one of the failures that are left. */
static int take(void) {
  int32_t left = __atomic_load_n(&control->left, __ATOMIC_SEQ_CST);
  while (left >= 0) {
    if (left == 0) return 0;
    if (__atomic_compare_exchange_n(&control->left, &left, left - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) break;
  }
  __atomic_add_fetch(&control->hits, 1, __ATOMIC_SEQ_CST);
  return 1;
}

static int path_fails(uint32_t call, const char *path) {
  if (!is_wanted(call) || path == NULL || control->error == 0 || fnmatch(control->pattern, path, 0) != 0) return 0;
  if (!take()) return 0;
  errno = control->error;
  return 1;
}

static int fd_matches(uint32_t call, int fd) {
  char link[64], path[PATH_MAX];
  if (!is_wanted(call)) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return fnmatch(control->pattern, path, 0) == 0;
}

static int fd_fails(uint32_t call, int fd) {
  if (!fd_matches(call, fd) || control->error == 0 || !take()) return 0;
  errno = control->error;
  return 1;
}

/* What a real disk refuses: without space only creations fail, a read-only one refuses everything but reading. */
static int open_fails(const char *path, int flags) {
  if (!is_wanted(OPEN)) return 0;
  int error = control->error;
  if ((error == ENOSPC || error == EDQUOT) && ((flags & O_CREAT) == 0 || access(path, F_OK) == 0)) return 0;
  if (error == EROFS && (flags & (O_CREAT | O_WRONLY | O_RDWR | O_TRUNC)) == 0) return 0;
  return path_fails(OPEN, path);
}

/* How many bytes a write takes: all, half, or -1 if it fails. */
static ssize_t writable(int fd, size_t count) {
  if (!fd_matches(WRITE, fd)) return (ssize_t)count;
  if (control->error == 0) return count < 2 || !take() ? (ssize_t)count : (ssize_t)(count / 2);
  if (!take()) return (ssize_t)count;
  errno = control->error;
  return -1;
}

#define REAL(type, name, ...)                                    \
  static type (*real)(__VA_ARGS__);                              \
  if (real == NULL) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define OPEN_AS(name)                                            \
  int name(const char *path, int flags, ...) {                   \
    REAL(int, #name, const char *, int, ...);                    \
    va_list rest;                                                \
    va_start(rest, flags);                                       \
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                                \
    return open_fails(path, flags) ? -1 : real(path, flags, mode); \
  }
OPEN_AS(open)
OPEN_AS(open64)

#define OPENAT_AS(name)                                          \
  int name(int folder, const char *path, int flags, ...) {       \
    REAL(int, #name, int, const char *, int, ...);               \
    va_list rest;                                                \
    va_start(rest, flags);                                       \
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                                \
    return open_fails(path, flags) ? -1 : real(folder, path, flags, mode); \
  }
OPENAT_AS(openat)
OPENAT_AS(openat64)

ssize_t read(int fd, void *to, size_t count) {
  REAL(ssize_t, "read", int, void *, size_t);
  return fd_fails(READ, fd) ? -1 : real(fd, to, count);
}
#define PREAD_AS(name, offset_type)                              \
  ssize_t name(int fd, void *to, size_t count, offset_type at) { \
    REAL(ssize_t, #name, int, void *, size_t, offset_type);      \
    return fd_fails(READ, fd) ? -1 : real(fd, to, count, at);    \
  }
PREAD_AS(pread, off_t)
PREAD_AS(pread64, off64_t)
ssize_t readv(int fd, const struct iovec *parts, int count) {
  REAL(ssize_t, "readv", int, const struct iovec *, int);
  return fd_fails(READ, fd) ? -1 : real(fd, parts, count);
}
#define PREADV_AS(name, offset_type)                             \
  ssize_t name(int fd, const struct iovec *parts, int count, offset_type at) { \
    REAL(ssize_t, #name, int, const struct iovec *, int, offset_type); \
    return fd_fails(READ, fd) ? -1 : real(fd, parts, count, at); \
  }
PREADV_AS(preadv, off_t)
PREADV_AS(preadv64, off64_t)

ssize_t write(int fd, const void *from, size_t count) {
  REAL(ssize_t, "write", int, const void *, size_t);
  ssize_t may = writable(fd, count);
  return may < 0 ? -1 : real(fd, from, (size_t)may);
}
#define PWRITE_AS(name, offset_type)                             \
  ssize_t name(int fd, const void *from, size_t count, offset_type at) { \
    REAL(ssize_t, #name, int, const void *, size_t, offset_type); \
    ssize_t may = writable(fd, count);                           \
    return may < 0 ? -1 : real(fd, from, (size_t)may, at);       \
  }
PWRITE_AS(pwrite, off_t)
PWRITE_AS(pwrite64, off64_t)

static size_t total(const struct iovec *parts, int count) {
  size_t sum = 0;
  for (int i = 0; i < count; i += 1) sum += parts[i].iov_len;
  return sum;
}
/* A short vectored write takes half of the first part. */
ssize_t writev(int fd, const struct iovec *parts, int count) {
  REAL(ssize_t, "writev", int, const struct iovec *, int);
  size_t all = total(parts, count);
  ssize_t may = writable(fd, all);
  if (may < 0) return -1;
  if ((size_t)may == all) return real(fd, parts, count);
  struct iovec first = {parts[0].iov_base, (parts[0].iov_len + 1) / 2};
  return real(fd, &first, 1);
}
#define PWRITEV_AS(name, offset_type)                            \
  ssize_t name(int fd, const struct iovec *parts, int count, offset_type at) { \
    REAL(ssize_t, #name, int, const struct iovec *, int, offset_type); \
    size_t all = total(parts, count);                            \
    ssize_t may = writable(fd, all);                             \
    if (may < 0) return -1;                                      \
    if ((size_t)may == all) return real(fd, parts, count, at);   \
    struct iovec first = {parts[0].iov_base, (parts[0].iov_len + 1) / 2}; \
    return real(fd, &first, 1, at);                              \
  }
PWRITEV_AS(pwritev, off_t)
PWRITEV_AS(pwritev64, off64_t)

#define SYNC_AS(name)                                            \
  int name(int fd) {                                             \
    REAL(int, #name, int);                                       \
    return fd_fails(SYNC, fd) ? -1 : real(fd);                   \
  }
SYNC_AS(fsync)
SYNC_AS(fdatasync)

#define TRUNCATE_AS(name, offset_type)                           \
  int name(int fd, offset_type size) {                           \
    REAL(int, #name, int, offset_type);                          \
    return fd_fails(TRUNCATE, fd) ? -1 : real(fd, size);         \
  }
TRUNCATE_AS(ftruncate, off_t)
TRUNCATE_AS(ftruncate64, off64_t)

int rename(const char *from, const char *to) {
  REAL(int, "rename", const char *, const char *);
  return path_fails(RENAME, from) || path_fails(RENAME, to) ? -1 : real(from, to);
}
int link(const char *from, const char *to) {
  REAL(int, "link", const char *, const char *);
  return path_fails(LINK, from) || path_fails(LINK, to) ? -1 : real(from, to);
}
int unlink(const char *path) {
  REAL(int, "unlink", const char *);
  return path_fails(UNLINK, path) ? -1 : real(path);
}
int unlinkat(int folder, const char *path, int flags) {
  REAL(int, "unlinkat", int, const char *, int);
  return path_fails(UNLINK, path) ? -1 : real(folder, path, flags);
}
int mkdir(const char *path, mode_t mode) {
  REAL(int, "mkdir", const char *, mode_t);
  return path_fails(MKDIR, path) ? -1 : real(path, mode);
}

DIR *opendir(const char *path) {
  REAL(DIR *, "opendir", const char *);
  return path_fails(READDIR, path) ? NULL : real(path);
}
#define SCANDIR_AS(name, entry)                                  \
  int name(const char *path, struct entry ***list, int (*filter)(const struct entry *), \
           int (*order)(const struct entry **, const struct entry **)) { \
    REAL(int, #name, const char *, struct entry ***, int (*)(const struct entry *), \
         int (*)(const struct entry **, const struct entry **)); \
    return path_fails(READDIR, path) ? -1 : real(path, list, filter, order); \
  }
SCANDIR_AS(scandir, dirent)
SCANDIR_AS(scandir64, dirent64)

#define STAT_AS(name, record)                                    \
  int name(const char *path, struct record *to) {                \
    REAL(int, #name, const char *, struct record *);             \
    return path_fails(STAT, path) ? -1 : real(path, to);         \
  }
STAT_AS(stat, stat)
STAT_AS(stat64, stat64)
STAT_AS(lstat, stat)
STAT_AS(lstat64, stat64)
#define FSTAT_AS(name, record)                                   \
  int name(int fd, struct record *to) {                          \
    REAL(int, #name, int, struct record *);                      \
    return fd_fails(STAT, fd) ? -1 : real(fd, to);               \
  }
FSTAT_AS(fstat, stat)
FSTAT_AS(fstat64, stat64)
int __xstat64(int version, const char *path, struct stat64 *to) {
  REAL(int, "__xstat64", int, const char *, struct stat64 *);
  return path_fails(STAT, path) ? -1 : real(version, path, to);
}
int __lxstat64(int version, const char *path, struct stat64 *to) {
  REAL(int, "__lxstat64", int, const char *, struct stat64 *);
  return path_fails(STAT, path) ? -1 : real(version, path, to);
}
int __fxstat64(int version, int fd, struct stat64 *to) {
  REAL(int, "__fxstat64", int, int, struct stat64 *);
  return fd_fails(STAT, fd) ? -1 : real(version, fd, to);
}

/* libuv calls statx and copy_file_range by number. */
long syscall(long number, ...) {
  REAL(long, "syscall", long, ...);
  va_list rest;
  va_start(rest, number);
  long a = va_arg(rest, long), b = va_arg(rest, long), c = va_arg(rest, long), d = va_arg(rest, long), e = va_arg(rest, long),
       f = va_arg(rest, long);
  va_end(rest);
  if (number == SYS_statx) {
    const char *path = (const char *)b;
    if (path != NULL && path[0] != 0 ? path_fails(STAT, path) : fd_fails(STAT, (int)a)) return -1;
  } else if (number == SYS_copy_file_range && fd_fails(WRITE, (int)c)) return -1;
  return real(number, a, b, c, d, e, f);
}
