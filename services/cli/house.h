#pragma once
/* The children of `gantry up`: starts them, starts again those that die (with growing pauses), and
 * stops them rank by rank. Each leads a session of its own, so that the terminal's Ctrl-C comes to
 * us alone. */
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

typedef struct house house_t;

struct house_child {
    const char *name; /* borrowed, as all here */
    const char *const
        *argv; /* a program (absolute, or looked up in PATH) and its arguments; ends with NULL */
    const char *log;     /* file that its output is added to */
    const char *lock;    /* file that it holds while it lives, or NULL */
    int death_signal;    /* it gets when we die */
    int rank;            /* the highest are stopped first, and gone before the next are */
    int64_t patience_ms; /* between SIGTERM and SIGKILL */
};

struct house_events {
    /* It ended although nobody told it to, by a signal (0: none) or with an exit code; it starts
     * again after pause_ms. */
    void (*died)(void *arg, const struct house_child *child, int64_t code, int sig,
                 int64_t pause_ms);
    /* It could not be run, or died too often within its first seconds, in a house that never
     * served: house_stop() is the thing to call. */
    void (*hopeless)(void *arg, const struct house_child *child);
    /* Stopped: nothing of the house is on the loop any more. */
    void (*gone)(void *arg);
};

enum { HOUSE_CHILDREN_MAX = 72 };

/* NULL when out of memory. self is the path of gantry's own program, for --child. */
house_t *house_new(uv_loop_t *loop, const char *self, const struct house_events *events, void *arg);
/* After gone (or before any child was added). */
void house_destroy(house_t **self_p);

/* Starts a child at once. 0, or -ENFILE when there are HOUSE_CHILDREN_MAX. */
int house_add(house_t *self, const struct house_child *child);

/* All of it worked together once: whoever dies from now on is started again for ever. */
void house_served(house_t *self);

/* Begins to stop; again: does so now, with SIGKILL to all but those of rank 0. gone is called at
 * the end. */
void house_stop(house_t *self);
