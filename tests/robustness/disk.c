/* A disk that can be told to fail, and that writes down what would be lost without power.

   Loaded before libc (LD_PRELOAD), it passes calls on and, for files below RS_DISK_ROOT, keeps a
   journal in RS_DISK_JOURNAL of every write, cut, hole, name and sync, in the order in which they
   took effect. `powercut.py` makes of it the disk as it would be after a power cut. A sync costs
   `sync_us` and no real one: whether it counts is decided by the journal alone.

   RS_DISK_CONTROL is a file of four numbers that may change at any time: syncs in a thousand that
   fail (EIO), bytes that may still be written before the disk is full (ENOSPC; -1: no end), sync_us,
   and whether only syncs of the database fail. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 'w', CUT = 't', HOLE = 'h', CREATE = 'c', RENAME = 'r', UNLINK = 'u', MKDIR = 'm', BEGIN = 'b', SYNCED = 's', FAILED = 'f' };

struct record { uint32_t size; uint32_t kind; uint64_t ino; int64_t at; uint32_t a; uint32_t b; };
struct control { int64_t failing, room, sync_us, database_only; };

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static const char *root;
static size_t root_length;
static int journal = -1;
static struct control *control;
static uint64_t syncs;

#define REAL(name, type) \
  static __typeof__(type) real; \
  if (!real) real = (__typeof__(type))dlsym(RTLD_NEXT, name)

__attribute__((constructor)) static void begin(void) {
  root = getenv("RS_DISK_ROOT");
  const char *log = getenv("RS_DISK_JOURNAL"), *said = getenv("RS_DISK_CONTROL");
  if (!root || !log || !said) { root = NULL; return; }
  root_length = strlen(root);
  journal = open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  int handle = open(said, O_RDWR | O_CLOEXEC);
  control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
  close(handle);
  if (journal < 0 || control == MAP_FAILED) { fprintf(stderr, "disk: no journal\n"); abort(); }
}

static int below(const char *path) {
  return root && path && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

/* The whole path, as the journal names it; relative ones begin in the working folder. */
static const char *whole(const char *path, char *room) {
  if (!path || path[0] == '/') return path;
  if (!getcwd(room, PATH_MAX)) return path;
  size_t length = strlen(room);
  snprintf(room + length, PATH_MAX - length, "/%s", path);
  return room;
}

static uint64_t tracked(int handle) { /* the inode, if the file lies below the root */
  struct stat found;
  char link[64], path[PATH_MAX];
  if (!root || fstat(handle, &found) || !(S_ISREG(found.st_mode) || S_ISDIR(found.st_mode))) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return below(path) ? found.st_ino : 0;
}

/* What is not written down must not happen unseen. */
static void refuse(int handle, const char *name) {
  if (tracked(handle)) { fprintf(stderr, "disk: %s is not modelled\n", name); abort(); }
}

static uint64_t inode(const char *path) {
  struct stat found;
  return lstat(path, &found) ? 0 : found.st_ino;
}

static void note(int kind, uint64_t ino, int64_t at, const void *a, size_t an, const void *b, size_t bn) {
  REAL("writev", ssize_t (*)(int, const struct iovec *, int));
  struct record head = {sizeof head + an + bn, kind, ino, at, an, bn};
  struct iovec pieces[] = {{&head, sizeof head}, {(void *)a, an}, {(void *)b, bn}};
  if (real(journal, pieces, 3) != (ssize_t)head.size) { fprintf(stderr, "disk: journal torn\n"); abort(); }
}

static int full(size_t count) { /* whether so many bytes no longer fit; they are taken if they do */
  if (control->room < 0) return 0;
  if (control->room < (int64_t)count) return 1;
  control->room -= count;
  return 0;
}

static ssize_t written(int handle, uint64_t ino, const void *data, ssize_t count, int64_t at) {
  if (count > 0) note(WRITE, ino, at < 0 ? lseek(handle, 0, SEEK_CUR) - count : at, data, count, NULL, 0);
  return count;
}

ssize_t write(int handle, const void *data, size_t count) {
  REAL("write", ssize_t (*)(int, const void *, size_t));
  uint64_t ino = tracked(handle);
  if (!ino) return real(handle, data, count);
  pthread_mutex_lock(&turn);
  ssize_t done = -1;
  if (full(count)) errno = ENOSPC;
  else done = written(handle, ino, data, real(handle, data, count), -1);
  pthread_mutex_unlock(&turn);
  return done;
}

ssize_t pwrite64(int handle, const void *data, size_t count, off64_t at) {
  REAL("pwrite64", ssize_t (*)(int, const void *, size_t, off64_t));
  uint64_t ino = tracked(handle);
  if (!ino) return real(handle, data, count, at);
  pthread_mutex_lock(&turn);
  ssize_t done = -1;
  if (full(count)) errno = ENOSPC;
  else done = written(handle, ino, data, real(handle, data, count, at), at);
  pthread_mutex_unlock(&turn);
  return done;
}
ssize_t pwrite(int handle, const void *data, size_t count, off_t at) { return pwrite64(handle, data, count, at); }

static ssize_t gathered(int handle, const struct iovec *pieces, int count, off64_t at) { /* at < 0: where the file stands */
  ssize_t done = 0;
  for (int one = 0; one < count; one++) {
    const struct iovec *piece = pieces + one;
    ssize_t more = at < 0 ? write(handle, piece->iov_base, piece->iov_len) : pwrite64(handle, piece->iov_base, piece->iov_len, at + done);
    if (more < 0) return done ? done : more;
    done += more;
    if ((size_t)more < piece->iov_len) break;
  }
  return done;
}
ssize_t writev(int handle, const struct iovec *pieces, int count) {
  REAL("writev", ssize_t (*)(int, const struct iovec *, int));
  return tracked(handle) ? gathered(handle, pieces, count, -1) : real(handle, pieces, count);
}
ssize_t pwritev64(int handle, const struct iovec *pieces, int count, off64_t at) {
  REAL("pwritev64", ssize_t (*)(int, const struct iovec *, int, off64_t));
  return tracked(handle) ? gathered(handle, pieces, count, at) : real(handle, pieces, count, at);
}
ssize_t pwritev(int handle, const struct iovec *pieces, int count, off_t at) { return pwritev64(handle, pieces, count, at); }
ssize_t pwritev64v2(int handle, const struct iovec *pieces, int count, off64_t at, int flags) {
  REAL("pwritev64v2", ssize_t (*)(int, const struct iovec *, int, off64_t, int));
  if (!tracked(handle)) return real(handle, pieces, count, at, flags);
  if (flags) refuse(handle, "pwritev2 with flags");
  return gathered(handle, pieces, count, at);
}
ssize_t pwritev2(int handle, const struct iovec *pieces, int count, off_t at, int flags) { return pwritev64v2(handle, pieces, count, at, flags); }

int ftruncate64(int handle, off64_t size) {
  REAL("ftruncate64", int (*)(int, off64_t));
  uint64_t ino = tracked(handle);
  if (!ino) return real(handle, size);
  pthread_mutex_lock(&turn);
  int done = real(handle, size);
  if (!done) note(CUT, ino, size, NULL, 0, NULL, 0);
  pthread_mutex_unlock(&turn);
  return done;
}
int ftruncate(int handle, off_t size) { return ftruncate64(handle, size); }

int truncate64(const char *path, off64_t size) {
  int handle = open(path, O_WRONLY | O_CLOEXEC);
  int done = handle < 0 ? -1 : ftruncate64(handle, size), why = errno;
  if (handle >= 0) close(handle);
  errno = why;
  return done;
}
int truncate(const char *path, off_t size) { return truncate64(path, size); }

/* Room that is taken in advance counts as written; what a hole frees can be written again. */
static int allocated(int handle, uint64_t ino, int mode, off64_t at, off64_t size) {
  REAL("fallocate64", int (*)(int, int, off64_t, off64_t));
  struct stat found;
  int done = -1, punches = mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
  if (!punches && mode & ~FALLOC_FL_KEEP_SIZE) refuse(handle, "fallocate of this mode");
  pthread_mutex_lock(&turn);
  if (!punches && full(size)) errno = ENOSPC;
  else if (!(done = real(handle, mode, at, size)) && !fstat(handle, &found)) {
    int64_t length = (at + size < found.st_size ? at + size : found.st_size) - at;
    if (punches && length > 0) note(HOLE, ino, at, &length, sizeof length, NULL, 0);
    if (punches && control->room >= 0) control->room += size;
    if (!mode) note(WRITE, ino, at + size, NULL, 0, NULL, 0);
  }
  pthread_mutex_unlock(&turn);
  return done;
}
int fallocate64(int handle, int mode, off64_t at, off64_t size) {
  REAL("fallocate64", int (*)(int, int, off64_t, off64_t));
  uint64_t ino = tracked(handle);
  return ino ? allocated(handle, ino, mode, at, size) : real(handle, mode, at, size);
}
int fallocate(int handle, int mode, off_t at, off_t size) { return fallocate64(handle, mode, at, size); }
int posix_fallocate64(int handle, off64_t at, off64_t size) {
  REAL("posix_fallocate64", int (*)(int, off64_t, off64_t));
  uint64_t ino = tracked(handle);
  if (!ino) return real(handle, at, size);
  return allocated(handle, ino, 0, at, size) ? errno : 0;
}
int posix_fallocate(int handle, off_t at, off_t size) { return posix_fallocate64(handle, at, size); }

static int opened(int folder, const char *path, int flags, mode_t mode) {
  REAL("openat64", int (*)(int, const char *, int, ...));
  char room[PATH_MAX];
  const char *name = folder == AT_FDCWD ? whole(path, room) : path;
  if (below(name) && flags & O_DSYNC) { fprintf(stderr, "disk: O_DSYNC is not modelled\n"); abort(); }
  if (!below(name) || !(flags & (O_CREAT | O_TRUNC))) return real(folder, path, flags, mode);
  pthread_mutex_lock(&turn);
  uint64_t before = inode(name);
  int handle = real(folder, path, flags, mode);
  if (handle >= 0 && !before) note(CREATE, inode(name), 0, name, strlen(name), NULL, 0);
  else if (handle >= 0 && (flags & O_TRUNC)) note(CUT, before, 0, NULL, 0, NULL, 0);
  pthread_mutex_unlock(&turn);
  return handle;
}

#define MODE(flags) \
  mode_t mode = 0; \
  if ((flags) & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }
int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags) return opened(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags) return opened(folder, path, flags, mode); }

int rename(const char *from, const char *to) {
  REAL("rename", int (*)(const char *, const char *));
  char one[PATH_MAX], two[PATH_MAX];
  const char *old = whole(from, one), *new = whole(to, two);
  if (!below(old) && !below(new)) return real(from, to);
  pthread_mutex_lock(&turn);
  int done = real(from, to);
  if (!done) note(RENAME, inode(new), 0, old, strlen(old), new, strlen(new));
  pthread_mutex_unlock(&turn);
  return done;
}

int renameat(int a, const char *from, int b, const char *to) {
  REAL("renameat", int (*)(int, const char *, int, const char *));
  if (a == AT_FDCWD && b == AT_FDCWD) return rename(from, to);
  return real(a, from, b, to);
}

static int removed(const char *path, int (*real)(const char *)) {
  char room[PATH_MAX];
  const char *name = whole(path, room);
  if (!below(name)) return real(path);
  pthread_mutex_lock(&turn);
  int done = real(path);
  if (!done) note(UNLINK, 0, 0, name, strlen(name), NULL, 0);
  pthread_mutex_unlock(&turn);
  return done;
}
int unlink(const char *path) { REAL("unlink", int (*)(const char *)); return removed(path, real); }
int rmdir(const char *path) { REAL("rmdir", int (*)(const char *)); return removed(path, real); }

int unlinkat(int folder, const char *path, int flags) { /* shutil.rmtree */
  REAL("unlinkat", int (*)(int, const char *, int));
  char link[64], full[PATH_MAX];
  ssize_t length = 0;
  if (folder == AT_FDCWD || path[0] == '/') return flags & AT_REMOVEDIR ? rmdir(path) : unlink(path);
  snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
  if (!root || (length = readlink(link, full, sizeof full - NAME_MAX - 2)) < 0) return real(folder, path, flags);
  snprintf(full + length, sizeof full - length, "/%s", path);
  return flags & AT_REMOVEDIR ? rmdir(full) : unlink(full);
}

int mkdir(const char *path, mode_t mode) {
  REAL("mkdir", int (*)(const char *, mode_t));
  char room[PATH_MAX];
  const char *name = whole(path, room);
  if (!below(name)) return real(path, mode);
  pthread_mutex_lock(&turn);
  int done = real(path, mode);
  if (!done) note(MKDIR, inode(name), 0, name, strlen(name), NULL, 0);
  pthread_mutex_unlock(&turn);
  return done;
}

static int of_database(int handle) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
  ssize_t length = readlink(link, path, sizeof path - 1);
  path[length < 0 ? 0 : length] = 0;
  return strstr(path, ".db") != NULL;
}

static int synced(int handle, int (*real)(int)) {
  uint64_t ino = tracked(handle);
  if (!ino) return real(handle);
  pthread_mutex_lock(&turn);
  uint64_t number = ++syncs;
  note(BEGIN, ino, number, NULL, 0, NULL, 0);
  pthread_mutex_unlock(&turn);
  usleep(control->sync_us);
  pthread_mutex_lock(&turn);
  /* Knuth's multiplicative hash of the sync's number: the same syncs fail at every run alike. */
  int fails = (int64_t)((uint32_t)(number * 2654435761u) / 4294968u) < control->failing;
  if (control->database_only && !of_database(handle)) fails = 0;
  note(fails ? FAILED : SYNCED, ino, number, NULL, 0, NULL, 0);
  pthread_mutex_unlock(&turn);
  if (fails) errno = EIO;
  return fails ? -1 : 0;
}
int fsync(int handle) { REAL("fsync", int (*)(int)); return synced(handle, real); }
int fdatasync(int handle) { REAL("fdatasync", int (*)(int)); return synced(handle, real); }

ssize_t copy_file_range(int in, off64_t *a, int out, off64_t *b, size_t size, unsigned flags) {
  REAL("copy_file_range", ssize_t (*)(int, off64_t *, int, off64_t *, size_t, unsigned));
  refuse(out, "copy_file_range");
  return real(in, a, out, b, size, flags);
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t count) {
  REAL("sendfile64", ssize_t (*)(int, int, off64_t *, size_t));
  refuse(out, "sendfile");
  return real(out, in, at, count);
}
int link(const char *from, const char *to) {
  REAL("link", int (*)(const char *, const char *));
  if (below(to)) { fprintf(stderr, "disk: link is not modelled\n"); abort(); }
  return real(from, to);
}
