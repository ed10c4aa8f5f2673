/* A wall clock that tests step: LD_PRELOAD before a process; the monotonic clocks stay as they are.
 *   SUNHALL_CLOCK_CONTROL   a file of one int64: microseconds to add to the wall clock, changeable at any time
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t none;
static volatile int64_t *offset_us = &none;

__attribute__((constructor)) static void begin(void) {
    const char *control = getenv("SUNHALL_CLOCK_CONTROL");
    int made = control ? open(control, O_RDONLY | O_CLOEXEC) : -1;
    if (made < 0) return;
    void *shared = mmap(NULL, sizeof none, PROT_READ, MAP_SHARED, made, 0);
    if (shared != MAP_FAILED) offset_us = shared;
    close(made);
}

static void add(struct timespec *to) {
    int64_t ns = to->tv_nsec + *offset_us % 1000000 * 1000;
    to->tv_sec += *offset_us / 1000000;
    if (ns < 0) { ns += 1000000000; to->tv_sec--; }
    if (ns >= 1000000000) { ns -= 1000000000; to->tv_sec++; }
    to->tv_nsec = ns;
}

int clock_gettime(clockid_t which, struct timespec *to) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int answer = real(which, to);
    if (!answer && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) add(to);
    return answer;
}

int gettimeofday(struct timeval *to, void *zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    to->tv_sec = now.tv_sec;
    to->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *to) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (to) *to = now.tv_sec;
    return now.tv_sec;
}
