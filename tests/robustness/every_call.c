/* Changes files by every call there is for it, at random, below the folder that is given.

   `disk.c` must have seen all of it: what is synced in the end must be on the platter, byte for
   byte. Arguments: the folder, a seed, how many calls, and whether to sync in the end. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FILES = 3, REACH = 40000, PIECE = 6000 };

static void check(const char *name, long done) {
  if (done < 0) { perror(name); exit(1); }
}

static void change(const char *path, int handle) {
  static char data[2 * PIECE];
  off_t at = rand() % REACH, size = 1 + rand() % PIECE;
  memset(data, 1 + rand() % 255, sizeof data);
  struct iovec pieces[] = {{data, size}, {data + PIECE, 1 + rand() % PIECE}};
  switch (rand() % 16) {
    case 0: check("lseek", lseek(handle, at, SEEK_SET)); check("write", write(handle, data, size)); break;
    case 1: check("pwrite", pwrite(handle, data, size, at)); break;
    case 2: check("pwrite64", pwrite64(handle, data, size, at)); break;
    case 3: check("writev", writev(handle, pieces, 2)); break;
    case 4: check("pwritev", pwritev(handle, pieces, 2, at)); break;
    case 5: check("pwritev64", pwritev64(handle, pieces, 2, at)); break;
    case 6: check("pwritev2", pwritev2(handle, pieces, 2, rand() % 2 ? at : -1, 0)); break;
    case 7: check("pwritev64v2", pwritev64v2(handle, pieces, 2, at, 0)); break;
    case 8: check("ftruncate", ftruncate(handle, at)); break;
    case 9: check("truncate", truncate(path, at)); break;
    case 10: check("fallocate", fallocate(handle, 0, at, size)); break;
    case 11: check("fallocate64", fallocate64(handle, FALLOC_FL_KEEP_SIZE, at, size)); break;
    case 12: check("posix_fallocate", -posix_fallocate(handle, at, size)); break;
    case 13: check("posix_fallocate64", -posix_fallocate64(handle, at, size)); break;
    default: check("a hole", fallocate(handle, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, size));
  }
  if (rand() % 8 == 0) check("fdatasync", fdatasync(handle));
}

int main(int count, char **words) {
  if (count != 5) return 2;
  char paths[FILES][4096];
  int handles[FILES], folder = open(words[1], O_RDONLY | O_DIRECTORY);
  srand(atoi(words[2]));
  for (int at = 0; at < FILES; at++) {
    snprintf(paths[at], sizeof paths[at], "%s/file%d", words[1], at);
    check("open", handles[at] = open(paths[at], O_RDWR | O_CREAT, 0600));
  }
  check("fsync", fsync(folder));
  for (int at = atoi(words[3]); at > 0; at--) {
    int one = rand() % FILES;
    change(paths[one], handles[one]);
  }
  for (int at = 0; at < FILES && words[4][0] == '1'; at++) check("fdatasync", fdatasync(handles[at]));
  return 0;
}
