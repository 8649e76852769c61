/* Delays every fsync and fdatasync by the number of milliseconds in the file SLOW_FSYNC_FILE; calls of the main thread are recorded in
 * SLOW_FSYNC_LOG. Preloaded into a process of the product: gcc -shared -fPIC -o slow-fsync.so slow-fsync.c -ldl */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long delay_ms(void) {
  const char *name = getenv("SLOW_FSYNC_FILE");
  char text[16] = {0};
  int fd = name == NULL ? -1 : open(name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t got = read(fd, text, sizeof text - 1);
  close(fd);
  return got > 0 ? atol(text) : 0;
}

static void slow(int synced) {
  long ms = delay_ms();
  if (ms <= 0) return;
  const char *log = getenv("SLOW_FSYNC_LOG");
  int fd = log == NULL ? -1 : open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd >= 0) {
    char link[64], path[512] = {0}, line[600];
    snprintf(link, sizeof link, "/proc/self/fd/%d", synced);
    if (readlink(link, path, sizeof path - 1) < 0) path[0] = 0;
    int length = snprintf(line, sizeof line, "%s %s\n", getpid() == (pid_t)syscall(SYS_gettid) ? "main" : "other", path);
    if (write(fd, line, (size_t)length) < 0) { /* nothing can be done */ }
    close(fd);
  }
  struct timespec time = {ms / 1000, (ms % 1000) * 1000000L};
  nanosleep(&time, NULL);
}

int fsync(int fd) {
  static int (*real)(int);
  if (real == NULL) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  slow(fd);
  return real(fd);
}

int fdatasync(int fd) {
  static int (*real)(int);
  if (real == NULL) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  slow(fd);
  return real(fd);
}
