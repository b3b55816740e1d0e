#pragma once
/* Sockets that were answered before all of the request had come. Closed at once, they would be
 * reset, and the peer might lose the answer: so what still comes is thrown away for a while. */
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

typedef struct parting parting_t;

enum { PARTING_SOCKETS_MAX = 64, PARTING_MS = 2000 };

/* NULL when out of memory. Reads at most bytes_max of each socket. */
parting_t *parting_new(uv_loop_t *loop, size_t bytes_max);
/* Memory goes in the loop's next turns. */
void parting_destroy(parting_t **self_p);
/* A descriptor of its own for fd's socket is kept; whoever owns fd shuts down its sending and
 * closes it. */
void parting_add(parting_t *self, int fd, int64_t now_ms);
/* Closes what has lasted too long. */
void parting_tick(parting_t *self, int64_t now_ms);
