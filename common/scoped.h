#pragma once
/* A local that owns ends with its scope, CZMQ's objects and ours alike:
 *
 *     scoped(zmsg) reply = zmsg_new();        calls zmsg_destroy(&reply)
 *     scoped_in(envelope) in = { 0 };         calls envelope_clear(&in)
 *
 * Handing on with &x disarms it (the callee nulls it). */
#define scoped(T) __attribute__((cleanup(T##_destroy))) T##_t *
#define scoped_in(T) __attribute__((cleanup(T##_clear))) struct T

#include <stdlib.h>
#include <unistd.h>

/* scoped_text char *x: freed. scoped_fd int x: closed unless negative. */
#define scoped_text __attribute__((cleanup(scoped_text_end)))
#define scoped_fd __attribute__((cleanup(scoped_fd_end)))

static inline void scoped_text_end(char **text)
{
    free(*text);
}

static inline void scoped_fd_end(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}
