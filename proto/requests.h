#pragma once
/* The requests of a session that have no answer yet. Knows no socket and no clock. */
#include "proto/session.h"

typedef struct requests requests_t;

struct pending {
    uint64_t id;
    uint32_t verb;
    uint32_t priority;
    uint32_t count;
    uint32_t service_size;
    uint32_t trace_size;
    bool once;
    bool sent; /* on the connection that stands */
    bool has_body;
    int64_t until_ms; /* INT64_MAX: for ever */
    zmq_msg_t body;
    session_answer_fn *answer;
    void *arg;
    struct pending *older; /* in the order they were made */
    struct pending *newer;
    char service[32];
    char trace[56];
};

/* NULL when out of memory. max is at most REQUESTS_MAX. */
requests_t *requests_new(size_t max);
/* Must be empty. */
void requests_destroy(requests_t **self_p);

/* A new one, last in order; its id grows from one to the next. Body is taken on success. NULL: max
 * is reached or memory is out (the caller tells BUSY for both: memory for one request is a limit as
 * well). */
struct pending *requests_add(requests_t *self, const struct request *request, int64_t now_ms,
                             zmq_msg_t *body);
/* NULL when it is not open. */
struct pending *requests_find(requests_t *self, uint64_t id);
/* The next one to be sent, in the order they were made. NULL: all were sent, or it has to wait
 * until fewer than window (0: no limit) of those sent are worked at; such that only wait do not
 * count. */
struct pending *requests_next(const requests_t *self, uint32_t window);
/* That one was sent. */
void requests_mark_sent(requests_t *self);
/* An answer under this id came, also of one that timed out here: the window has room again. */
void requests_mark_answered(requests_t *self, uint64_t id);
/* The connection is another one: nothing was sent on it, and those for once are answered
 * UNAVAILABLE. */
void requests_unsend(requests_t *self);
/* Ends with an answer: of the other side, or made here. The one who asked may add another in its
 * callback. */
void requests_end(requests_t *self, struct pending *pending, const struct header *header,
                  struct slice body);
void requests_end_here(requests_t *self, struct pending *pending, uint32_t status);
/* Those whose time is over are answered TIMEOUT. */
void requests_expire(requests_t *self, int64_t now_ms);
/* None times out before; INT64_MAX: none at all. */
int64_t requests_due_ms(const requests_t *self);
/* As it is sent; its slices borrow from pending. */
struct header pending_header(const struct pending *pending, uint32_t epoch);
struct pending *requests_oldest(const requests_t *self);
size_t requests_count(const requests_t *self);
/* An id of the same growing row that belongs to no request: for HELLO and PING. */
uint64_t requests_stray_id(requests_t *self);

enum { REQUESTS_MAX = (1 << 20) - 1 };
