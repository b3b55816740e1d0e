#pragma once
/* One child program with two pipes: what it says on a descriptor of ours to choose, and its stderr,
 * which is passed on to our own and whose last line is kept. */
#include "common/slice.h"

#include <stdbool.h>
#include <sys/types.h>

enum { CHILD_LINE_MAX = 512 };

struct media_child {
    pid_t pid; /* 0: none */
    int words; /* read end; -1 at its end */
    int errors;
    char line[CHILD_LINE_MAX]; /* the last line of stderr that was not empty */
    bool full;                 /* some line told of no room */
    bool unwritten;            /* some line told that a file could not be ended */
    char open_line[CHILD_LINE_MAX];
    size_t open_size;
};

/* Starts argv[0] from PATH, without a shell. stdin is /dev/null; what the child writes to
 * descriptor words_fd (1 or 3 and more) is read from self->words. It dies with us. 0 or -errno; a
 * program that is not there ends with code 127 and says so on stderr. */
int media_child_start(struct media_child *self, char *const *argv, int words_fd);

/* Reads up to size bytes of its words: how many, 0 for none now or ever (self->words tells). */
size_t media_child_read(struct media_child *self, char *bytes, size_t size);
/* Passes on what waits on stderr. */
void media_child_relay(struct media_child *self);
/* Both pipes are at their end. */
bool media_child_silent(const struct media_child *self);

/* Beyond all exit codes: newer ffmpegs end with 128 and more when a file is bad. */
enum { MEDIA_SIGNAL = 256 };
/* Waits for its end. The exit code, or MEDIA_SIGNAL + signal. */
int media_child_end(struct media_child *self);
/* SIGKILL, then as above. */
int media_child_kill(struct media_child *self);
