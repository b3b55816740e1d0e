/* The storage room from outside, for tests that kill it: one call a run. Exit code 0, 1 when the
 * call failed (its answer is printed), 2 when it was not understood.
 *
 *   storage_tool hand-over|hand-over-new FROM TO [-]  prints the answer and the microseconds; with
 * - says "ready" first and waits for a line storage_tool remove ROOT ID prints fate and message
 *   storage_tool empty ROOT AGE_MS
 *   storage_tool churn ROOT ROUNDS ID...              a thread an id, each made and removed again
 * and again
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/scoped.h"
#include "common/storage/storage.h"

enum { FILES = 6, THREADS_MAX = 64 };

/* ---- churn: each id is made, filled, looked at and removed by two at once, again and again ------
 */

struct churn {
    const char *root;
    const char *id;
    const char *neighbour; /* linked to, and never to be touched through that */
    int rounds;
    char wrong[2 * STORAGE_MESSAGE + PATH_MAX]; /* "" when all is well */
};

#define WRONG(self, ...) ((void)snprintf((self)->wrong, sizeof(self)->wrong, __VA_ARGS__), false)

static void name_of(int i, char name[32])
{
    (void)snprintf(name, 32, i % 2 ? "in/%d" : "%d", i);
}

static bool fill(struct churn *self, int round)
{
    scoped_fd int folder = -1;
    char link[PATH_MAX];
    int r = storage_open(self->root, slice_of(self->id), true, &folder);
    if (r || mkdirat(folder, "in", 0700))
        return WRONG(self, "%s: not made: %d %s", self->id, r, strerror(errno));
    (void)snprintf(link, sizeof link, "../%s", self->neighbour);
    if (symlinkat(link, folder, "in/link"))
        return WRONG(self, "%s: no link: %s", self->id, strerror(errno));
    for (int i = 0; i < FILES; i++) {
        char name[32], text[PATH_MAX];
        name_of(i, name);
        int size = snprintf(text, sizeof text, "%s %d %d", self->id, round, i);
        scoped_fd int file = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (file < 0 || write(file, text, (size_t)size) != size)
            return WRONG(self, "%s/%s: not written: %s", self->id, name, strerror(errno));
    }
    return true;
}

static bool is_whole(struct churn *self, int round)
{
    scoped_fd int folder = -1;
    int r = storage_open(self->root, slice_of(self->id), false, &folder);
    if (r)
        return WRONG(self, "%s: taken away: %d", self->id, r);
    for (int i = 0; i < FILES; i++) {
        char name[32], should[PATH_MAX], text[PATH_MAX] = "";
        name_of(i, name);
        (void)snprintf(should, sizeof should, "%s %d %d", self->id, round, i);
        scoped_fd int file = openat(folder, name, O_RDONLY | O_CLOEXEC);
        if (file < 0 || read(file, text, sizeof text - 1) < 0 || strcmp(text, should) != 0)
            return WRONG(self, "%s/%s: %s", self->id, name,
                         file < 0 ? strerror(errno) : "has other bytes");
    }
    return true;
}

struct twin {
    const struct churn *churn;
    struct storage_removal removal;
};

static void *twin_run(void *arg)
{
    struct twin *self = arg;
    storage_remove(self->churn->root, slice_of(self->churn->id), &self->removal);
    return NULL;
}

/* One of two takes it, and the other finds nothing. */
static bool take_away(struct churn *self)
{
    struct twin twins[2] = { { .churn = self }, { .churn = self } };
    pthread_t thread;
    if (pthread_create(&thread, NULL, twin_run, &twins[1]))
        return WRONG(self, "no thread");
    (void)twin_run(&twins[0]);
    (void)pthread_join(thread, NULL);
    int removed = 0, missing = 0;
    for (int i = 0; i < 2; i++) {
        removed += twins[i].removal.fate == STORAGE_REMOVED;
        missing += twins[i].removal.fate == STORAGE_MISSING;
    }
    if (removed != 1 || missing != 1)
        return WRONG(self, "%s: removed %d times, missing %d times: %s, %s", self->id, removed,
                     missing, twins[0].removal.message, twins[1].removal.message);
    int folder = -1;
    int r = storage_open(self->root, slice_of(self->id), false, &folder);
    return r > 0 || WRONG(self, "%s: still there: %d", self->id, r);
}

static void *churn_run(void *arg)
{
    struct churn *self = arg;
    for (int round = 0; round < self->rounds; round++)
        if (!fill(self, round) || !is_whole(self, round) || !take_away(self))
            return NULL;
    return NULL;
}

static int churn(char **argv, int count)
{
    pthread_t threads[THREADS_MAX];
    static struct churn churns[THREADS_MAX];
    if (count - 2 > THREADS_MAX)
        return 2;
    for (int i = 0; i < count - 2; i++) {
        churns[i] = (struct churn){ argv[0], argv[2 + i], argv[2 + (i + 1) % (count - 2)],
                                    (int)strtol(argv[1], NULL, 10), "" };
        if (pthread_create(&threads[i], NULL, churn_run, &churns[i]))
            return 1;
    }
    int code = 0;
    for (int i = 0; i < count - 2; i++) {
        (void)pthread_join(threads[i], NULL);
        if (churns[i].wrong[0])
            (void)puts(churns[i].wrong);
        code |= churns[i].wrong[0] != 0;
    }
    return code;
}

/* ---- one call ----------------------------------------------------------------------------------
 */

static int hand(int (*call)(const char *, const char *), char **argv)
{
    if (argv[2]) {
        (void)puts("ready");
        (void)fflush(stdout);
        (void)getchar();
    }
    int64_t began_ns = clock_ns();
    int r = call(argv[0], argv[1]);
    (void)printf("%d %lld\n", r, (long long)((clock_ns() - began_ns) / 1000));
    return r != 0;
}

static int removed(char **argv)
{
    static const char *const fates[] = { "removed", "missing", "failed" };
    struct storage_removal removal;
    storage_remove(argv[0], slice_of(argv[1]), &removal);
    (void)printf("%s %s\n", fates[removal.fate], removal.message);
    return removal.fate == STORAGE_FAILED;
}

static int emptied(char **argv)
{
    uint64_t count = 0;
    int r = storage_empty_trash(argv[0], strtoll(argv[1], NULL, 10), &count);
    (void)printf("%d %llu\n", r, (unsigned long long)count);
    return r != 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 3 ? argv[1] : "";
    if (strcmp(what, "hand-over") == 0)
        return hand(storage_hand_over, argv + 2);
    if (strcmp(what, "hand-over-new") == 0)
        return hand(storage_hand_over_new, argv + 2);
    if (strcmp(what, "remove") == 0)
        return removed(argv + 2);
    if (strcmp(what, "empty") == 0)
        return emptied(argv + 2);
    return strcmp(what, "churn") == 0 && argc > 4 ? churn(argv + 2, argc - 2) : 2;
}
