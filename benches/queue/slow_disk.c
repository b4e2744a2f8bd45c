/* Makes fdatasync and fsync longer by BENCH_SYNC_US microseconds, whoever calls them: put
 * before a program by LD_PRELOAD, it turns a quick disk into one such as many servers have.
 *
 * The time is slept after the sync, so that other threads and programs have the processor meanwhile.
 * Not for: durability, which is that of the disk beneath. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

static int synced(const char *name, int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int answer = real(file);
    int error = errno;
    const char *text = getenv("BENCH_SYNC_US");
    long longer = text ? strtol(text, NULL, 10) : 0;
    struct timespec pause = {longer / 1000000, longer % 1000000 * 1000};
    while (nanosleep(&pause, &pause) != 0 && errno == EINTR) {
    }
    errno = error;
    return answer;
}

int fdatasync(int file) { return synced("fdatasync", file); }

int fsync(int file) { return synced("fsync", file); }
