/* A disk that forgets and fails, for tests: preloaded into a process, it journals what a power cut would leave.
 *
 * Built by tests/peers/power_cut.py (gcc -shared -fPIC), which also applies the cut. Environment:
 *   SUNHALL_SHIM_ROOT       only files below this folder are looked at (absolute)
 *   SUNHALL_SHIM_JOURNAL    append-only journal of what is durable (outside of the root)
 *   SUNHALL_SHIM_STASH      folder on the same file system, outside of the root: keeps what was unlinked or replaced
 *   SUNHALL_SHIM_FAULT_ROOT only files below this folder meet faults (default: the root)
 *   SUNHALL_SHIM_CONTROL    a file of eight int64: the faults below, shared by all processes and changeable at any time
 * Faults, also from the environment when there is no control file:
 *   0 SUNHALL_SHIM_FSYNC_MS    each fsync and fdatasync takes that much longer
 *   1 SUNHALL_SHIM_WRITE_MS    each write takes that much longer
 *   2 SUNHALL_SHIM_ROOM        bytes until ENOSPC, counted down by writes and shown by statvfs; -1: no bound
 *   3 SUNHALL_SHIM_SYNC_ERRNO  fsync and fdatasync fail with it; 0: they work
 *   4 SUNHALL_SHIM_NAME_ERRNO  rename and link fail with it
 *   5 SUNHALL_SHIM_HOLD        1: writes wait until it is 0 again
 *   6 SUNHALL_SHIM_WRITE_ERRNO writes fail with it
 *
 * Journal lines, tab-separated, each written with one write(2) after the call it tells of has succeeded:
 *   S inode size          these bytes of a file are durable (the size is that before the sync began)
 *   d token folder        the sync of a folder begins; D token folder: it is done
 *   C path | M path       a file or folder was made
 *   L path                a second name was made
 *   R token old new       a rename; when it replaced a file that one is in the stash as the token, else token is "-"
 *   U token path          a file was unlinked; it is in the stash as the token
 *   X path                a folder was removed
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { FSYNC_MS, WRITE_MS, ROOM, SYNC_ERRNO, NAME_ERRNO, HOLD, WRITE_ERRNO, FAULTS = 8 };
enum { BELOW = 1, FOLDER = 2, FAULTY = 4 };
#define DESCRIPTORS 65536

static char root[PATH_MAX], fault_root[PATH_MAX], stash[PATH_MAX];
static int journal = -1;
static int64_t own_faults[FAULTS];
static volatile int64_t *faults = own_faults;
static unsigned char known[DESCRIPTORS];
static unsigned counter;

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name)

static int below(const char *path, const char *folder) {
    size_t length = strlen(folder);
    return length && !strncmp(path, folder, length) && (path[length] == '/' || path[length] == 0);
}

static int64_t number(const char *name, int64_t otherwise) {
    const char *value = getenv(name);
    return value && *value ? strtoll(value, NULL, 10) : otherwise;
}

static void copy(char *to, const char *name, const char *otherwise) {
    const char *value = getenv(name);
    snprintf(to, PATH_MAX, "%s", value && *value ? value : otherwise);
}

__attribute__((constructor)) static void begin(void) {
    copy(root, "SUNHALL_SHIM_ROOT", "");
    copy(fault_root, "SUNHALL_SHIM_FAULT_ROOT", root);
    copy(stash, "SUNHALL_SHIM_STASH", "");
    own_faults[FSYNC_MS] = number("SUNHALL_SHIM_FSYNC_MS", 0);
    own_faults[WRITE_MS] = number("SUNHALL_SHIM_WRITE_MS", 0);
    own_faults[ROOM] = number("SUNHALL_SHIM_ROOM", -1);
    own_faults[SYNC_ERRNO] = number("SUNHALL_SHIM_SYNC_ERRNO", 0);
    own_faults[NAME_ERRNO] = number("SUNHALL_SHIM_NAME_ERRNO", 0);
    own_faults[HOLD] = number("SUNHALL_SHIM_HOLD", 0);
    own_faults[WRITE_ERRNO] = number("SUNHALL_SHIM_WRITE_ERRNO", 0);
    const char *control = getenv("SUNHALL_SHIM_CONTROL");
    if (control && *control) {
        int made = syscall(SYS_openat, AT_FDCWD, control, O_RDWR | O_CLOEXEC, 0);
        if (made >= 0) {
            void *shared = mmap(NULL, sizeof own_faults, PROT_READ | PROT_WRITE, MAP_SHARED, made, 0);
            if (shared != MAP_FAILED) faults = shared;
            syscall(SYS_close, made);
        }
    }
    const char *path = getenv("SUNHALL_SHIM_JOURNAL");
    if (path && *path) {
        int made = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        journal = fcntl(made, F_DUPFD_CLOEXEC, 700); /* out of the way of programs that close low descriptors */
        if (journal < 0) journal = made;
        else syscall(SYS_close, made);
    }
}

static void note(const char *format, ...) {
    if (journal < 0) return;
    char line[3 * PATH_MAX];
    int before = errno;
    va_list list;
    va_start(list, format);
    int length = vsnprintf(line, sizeof line, format, list);
    va_end(list);
    syscall(SYS_write, journal, line, (size_t)length);
    errno = before;
}

static void token(char *to) {
    snprintf(to, 64, "%d-%u", (int)getpid(), __atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED));
}

/* The absolute form of a path, as far as it needs one. */
static const char *absolute(int folder, const char *path, char *to) {
    if (path[0] == '/') return path;
    char base[PATH_MAX] = "";
    if (folder == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return path;
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = readlink(link, base, sizeof base - 1);
        if (length < 0) return path;
        base[length] = 0;
    }
    if (snprintf(to, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return path;
    return to;
}

static void wait_ms(int64_t ms) {
    if (ms <= 0) return;
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static int is_file(const char *path) {
    struct stat found;
    return !lstat(path, &found) && S_ISREG(found.st_mode);
}

/* --- opening and closing ------------------------------------------------------------------------------------------ */
static int opened(int descriptor, const char *path, int made) {
    if (descriptor < 0 || descriptor >= DESCRIPTORS) return descriptor;
    struct stat found;
    unsigned char flags = 0;
    if (below(path, root) && !fstat(descriptor, &found) && (S_ISREG(found.st_mode) || S_ISDIR(found.st_mode))) {
        flags = BELOW | (S_ISDIR(found.st_mode) ? FOLDER : 0) | (below(path, fault_root) ? FAULTY : 0);
        if (made) note("C\t%s\n", path);
    }
    known[descriptor] = flags;
    return descriptor;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, name, const char *, int, ...); \
        va_list list; va_start(list, flags); int mode = va_arg(list, int); va_end(list); \
        char space[PATH_MAX]; const char *full = absolute(AT_FDCWD, path, space); \
        int made = (flags & O_CREAT) && below(full, root) && access(full, F_OK); \
        return opened(real(path, flags, mode), full, made); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        REAL(int, name, int, const char *, int, ...); \
        va_list list; va_start(list, flags); int mode = va_arg(list, int); va_end(list); \
        char space[PATH_MAX]; const char *full = absolute(folder, path, space); \
        int made = (flags & O_CREAT) && below(full, root) && access(full, F_OK); \
        return opened(real(folder, path, flags, mode), full, made); \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int descriptor) {
    REAL(int, close, int);
    if (descriptor >= 0 && descriptor < DESCRIPTORS) known[descriptor] = 0;
    return real(descriptor);
}

static int flags_of(int descriptor) {
    return descriptor >= 0 && descriptor < DESCRIPTORS ? known[descriptor] : 0;
}

/* --- syncing ------------------------------------------------------------------------------------------------------ */
static int synced(int descriptor, int (*real)(int)) {
    int flags = flags_of(descriptor);
    if (!(flags & BELOW)) return real(descriptor);
    struct stat found;
    char name[64], link[64], path[PATH_MAX] = "";
    if (fstat(descriptor, &found)) return -1;
    if (flags & FOLDER) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
        ssize_t length = readlink(link, path, sizeof path - 1);
        path[length < 0 ? 0 : length] = 0;
        token(name);
        note("d\t%s\t%s\n", name, path);
    }
    if (flags & FAULTY) {
        wait_ms(faults[FSYNC_MS]);
        if (faults[SYNC_ERRNO]) {
            errno = (int)faults[SYNC_ERRNO];
            return -1;
        }
    }
    int answer = real(descriptor);
    if (answer) return answer;
    if (flags & FOLDER) note("D\t%s\t%s\n", name, path);
    else note("S\t%llu\t%lld\n", (unsigned long long)found.st_ino, (long long)found.st_size);
    return 0;
}

int fsync(int descriptor) {
    REAL(int, fsync, int);
    return synced(descriptor, real);
}

int fdatasync(int descriptor) {
    REAL(int, fdatasync, int);
    return synced(descriptor, real);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */
/* How many of `size` bytes may be written; -1 with errno when none. */
static ssize_t admitted(int descriptor, size_t size) {
    if (!(flags_of(descriptor) & FAULTY)) return (ssize_t)size;
    while (faults[HOLD]) wait_ms(5);
    wait_ms(faults[WRITE_MS]);
    if (faults[WRITE_ERRNO]) {
        errno = (int)faults[WRITE_ERRNO];
        return -1;
    }
    if (faults[ROOM] < 0) return (ssize_t)size;
    int64_t left = __atomic_fetch_sub((int64_t *)&faults[ROOM], (int64_t)size, __ATOMIC_SEQ_CST);
    if (left >= (int64_t)size) return (ssize_t)size;
    __atomic_store_n((int64_t *)&faults[ROOM], 0, __ATOMIC_SEQ_CST);
    if (left > 0) return (ssize_t)left;
    errno = ENOSPC;
    return -1;
}

ssize_t write(int descriptor, const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    ssize_t most = admitted(descriptor, size);
    return most < 0 ? -1 : real(descriptor, data, (size_t)most);
}

#define PWRITE(name, offset_type) \
    ssize_t name(int descriptor, const void *data, size_t size, offset_type offset) { \
        REAL(ssize_t, name, int, const void *, size_t, offset_type); \
        ssize_t most = admitted(descriptor, size); \
        return most < 0 ? -1 : real(descriptor, data, (size_t)most, offset); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    size_t size = 0;
    for (int index = 0; index < count; index++) size += parts[index].iov_len;
    ssize_t most = admitted(descriptor, size);
    if (most < 0) return -1;
    if ((size_t)most == size) return real(descriptor, parts, count);
    size_t first = parts[0].iov_len < (size_t)most ? parts[0].iov_len : (size_t)most;
    return syscall(SYS_write, descriptor, parts[0].iov_base, first);
}

#define STATVFS(name, type) \
    int name(const char *path, struct type *to) { \
        REAL(int, name, const char *, struct type *); \
        int answer = real(path, to); \
        char space[PATH_MAX]; \
        if (!answer && faults[ROOM] >= 0 && below(absolute(AT_FDCWD, path, space), root)) \
            to->f_bavail = to->f_bfree = (fsblkcnt_t)((uint64_t)faults[ROOM] / to->f_frsize); \
        return answer; \
    }
STATVFS(statvfs, statvfs)
STATVFS(statvfs64, statvfs64)

/* --- names -------------------------------------------------------------------------------------------------------- */
static int name_fails(const char *path) {
    if (!below(path, fault_root) || !faults[NAME_ERRNO]) return 0;
    errno = (int)faults[NAME_ERRNO];
    return 1;
}

static int put_aside(const char *path, char *name) {
    char kept[2 * PATH_MAX];
    token(name);
    snprintf(kept, sizeof kept, "%s/%s", stash, name);
    return syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, kept, 0) == 0;
}

static int renamed(int from, const char *old, int to, const char *new, unsigned flags) {
    char space[2][PATH_MAX], name[64] = "-";
    const char *a = absolute(from, old, space[0]), *b = absolute(to, new, space[1]);
    if (!below(a, root) && !below(b, root)) return (int)syscall(SYS_renameat2, from, old, to, new, flags);
    if (name_fails(b)) return -1;
    struct stat first, second;
    int replaces = !lstat(b, &second);
    int same = replaces && !lstat(a, &first) && first.st_ino == second.st_ino;
    if (replaces && !same && !put_aside(b, name)) snprintf(name, sizeof name, "-");
    int answer = (int)syscall(SYS_renameat2, from, old, to, new, flags);
    if (!answer && !same) note("R\t%s\t%s\t%s\n", name, a, b);
    return answer;
}

int rename(const char *old, const char *new) { return renamed(AT_FDCWD, old, AT_FDCWD, new, 0); }
int renameat(int from, const char *old, int to, const char *new) { return renamed(from, old, to, new, 0); }
int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    return renamed(from, old, to, new, flags);
}

static int linked(int from, const char *old, int to, const char *new, int flags) {
    char space[PATH_MAX];
    const char *b = absolute(to, new, space);
    if (name_fails(b)) return -1;
    int answer = (int)syscall(SYS_linkat, from, old, to, new, flags);
    if (!answer && below(b, root)) note("L\t%s\n", b);
    return answer;
}

int link(const char *old, const char *new) { return linked(AT_FDCWD, old, AT_FDCWD, new, 0); }
int linkat(int from, const char *old, int to, const char *new, int flags) {
    return linked(from, old, to, new, flags);
}

static int unlinked(int folder, const char *path, int flags) {
    char space[PATH_MAX], name[64];
    const char *full = absolute(folder, path, space);
    int file = below(full, root) && !(flags & AT_REMOVEDIR) && is_file(full) && put_aside(full, name);
    int answer = (int)syscall(SYS_unlinkat, folder, path, flags);
    if (!answer && file) note("U\t%s\t%s\n", name, full);
    else if (!answer && (flags & AT_REMOVEDIR) && below(full, root)) note("X\t%s\n", full);
    return answer;
}

int unlink(const char *path) { return unlinked(AT_FDCWD, path, 0); }
int unlinkat(int folder, const char *path, int flags) { return unlinked(folder, path, flags); }
int rmdir(const char *path) { return unlinked(AT_FDCWD, path, AT_REMOVEDIR); }

static int folder_made(int folder, const char *path, mode_t mode) {
    char space[PATH_MAX];
    const char *full = absolute(folder, path, space);
    int answer = (int)syscall(SYS_mkdirat, folder, path, mode);
    if (!answer && below(full, root)) note("M\t%s\n", full);
    return answer;
}

int mkdir(const char *path, mode_t mode) { return folder_made(AT_FDCWD, path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) { return folder_made(folder, path, mode); }
