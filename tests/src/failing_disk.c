// Intercepts `fsync` and `fdatasync` on the files of a node's database. While a certain file exists, they fail for
// files whose names end with its contents. Each sync that succeeds also copies the synced bytes aside: a power cut
// would leave only those.
//
// QV_DISK_DATABASE is the path of the database; the paths of its other files begin with it. QV_DISK_FAILS is the path
// of the file that makes syncs fail. QV_DISK_SYNCED is the folder of the copies.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

// Reads through the existing descriptor. Opening and closing the file again would release the process's locks on it.
static int copy(int from, const char *path) {
    static char room[1 << 16];
    int to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (to < 0) return -1;
    off_t at = 0;
    ssize_t taken;
    while ((taken = pread(from, room, sizeof room, at)) > 0) {
        if (write(to, room, taken) != taken) {
            taken = -1;
            break;
        }
        at += taken;
    }
    close(to);
    return taken < 0 ? -1 : 0;
}

static int sync_and_keep(int fd, const char *path, const char *folder, int (*sync)(int)) {
    char draft[4200], kept[4200];
    const char *name = strrchr(path, '/') + 1;
    snprintf(draft, sizeof draft, "%s/%s.draft", folder, name);
    snprintf(kept, sizeof kept, "%s/%s", folder, name);
    pthread_mutex_lock(&one_at_a_time);
    // Copies before the sync, so that the copy holds nothing that is written during it.
    int result = copy(fd, draft);
    if (result == 0) result = sync(fd);
    if (result == 0) result = rename(draft, kept);
    pthread_mutex_unlock(&one_at_a_time);
    return result;
}

// Whether the file `fails` exists and `path` ends with its contents.
static int is_failing(const char *path, const char *fails) {
    char ending[16] = "";
    int file = open(fails, O_RDONLY);
    if (file < 0) return 0;
    ssize_t length = read(file, ending, sizeof ending - 1);
    close(file);
    return length >= 0 && (size_t)length <= strlen(path) && strcmp(path + strlen(path) - length, ending) == 0;
}

static int stand_between(int fd, const char *name) {
    int (*sync)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    const char *database = getenv("QV_DISK_DATABASE"), *fails = getenv("QV_DISK_FAILS"), *folder = getenv("QV_DISK_SYNCED");
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0 || !database || !fails || !folder) return sync(fd);
    path[length] = 0;
    if (strncmp(path, database, strlen(database)) != 0) return sync(fd);
    if (is_failing(path, fails)) {
        errno = EIO;
        return -1;
    }
    return sync_and_keep(fd, path, folder, sync);
}

int fsync(int fd) { return stand_between(fd, "fsync"); }

int fdatasync(int fd) { return stand_between(fd, "fdatasync"); }
