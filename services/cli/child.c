#include "services/cli/child.h"

#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { CANNOT_RUN = 126, NOT_THERE = 127, LOCK_MS = 30000, LOCK_LOOK_NS = 20000000 };

static int complain(const char *what)
{
    fprintf(stderr, "gantry: %s: %s\n", what, strerror(errno));
    return CANNOT_RUN;
}

/* The descriptor stays open over exec on purpose: the lock is the program's. */
static bool hold(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    int64_t until_ms = clock_ms() + LOCK_MS;
    while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB)) {
        if (errno != EWOULDBLOCK || clock_ms() > until_ms)
            return false;
        (void)nanosleep(&(struct timespec){ .tv_nsec = LOCK_LOOK_NS }, NULL);
    }
    return fd >= 0;
}

int child_main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "gantry: " CHILD_VERB " is for `gantry up` alone\n");
        return 2;
    }
    long parent = strtol(argv[0], NULL, 10);
    unsigned long sig = strtoul(argv[1], NULL, 10);
    if (prctl(PR_SET_PDEATHSIG, sig))
        return complain("PR_SET_PDEATHSIG");
    if (getppid() != parent) /* died before the line above */
        return CANNOT_RUN;
    if (strcmp(argv[2], "-") != 0 && !hold(argv[2]))
        return complain(argv[2]);
    execvp(argv[3], argv + 3);
    int code = errno == ENOENT ? NOT_THERE : CANNOT_RUN;
    (void)complain(argv[3]);
    return code;
}
