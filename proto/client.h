#pragma once
/* What the parts of libgantry's client share; programs see gantry.h only. */
#include "proto/gantry.h"
#include "proto/list.h"
#include "proto/mint.h"
#include "proto/parcel.h"
#include "proto/session.h"

/* Something that is to be done again at a time. wake is called once, out of the ring; when the
 * client ends too, with client->ending set. */
struct later {
    struct link link;
    int64_t due_ms;
    void (*wake)(struct later *self);
};

/* What gantry_submit_begin has packed and not sent: calls that go in one message. */
struct gathered {
    struct parcel parcel;
    struct begun *first; /* in the order of the message; NULL: there are none */
    struct begun *last;
    struct begun *spare; /* memory for calls of one task, by next */
    uint32_t spares;
    uint32_t priority; /* which they have in common, as service and timeout */
    char service[33];
    int64_t timeout_ms;
    int64_t since_ms;
};

struct gantry_client {
    void *zmq;
    session_t *session;
    struct gathered gathered;
    size_t merge_max;      /* tasks of several calls in a message */
    uint32_t submits_open; /* messages of calls begun that are under way */
    struct mint mint;
    struct link later;  /* by due time */
    size_t open;        /* calls begun whose callback is still to come */
    uint64_t heard;     /* answers so far: a turn that saw one does not wait for more */
    uint32_t batch_max; /* as the last WELCOME said */
    uint32_t body_max;
    bool welcomed; /* ever */
    bool turning;  /* callbacks run: a call that waits would run them within each other */
    bool ending;
    struct parcel parcel;
    struct gantry_error error;
    char message[1025];
    char field[257];
    char scope[65];
    void (*watched)(void *arg, void *socket); /* by a loop of the program's; or NULL */
    void *watched_arg;
    char brokers[1024];
    char host[65];
};

/* session_request, after what was begun before. */
int client_request(gantry_client_t *self, const struct request *request, zmq_msg_t *body,
                   session_answer_fn *answer, void *arg);
/* ---- submit_begin.c ---- */
/* Sends what was begun. 0, STATUS_BUSY or -ENOMEM: it is still to be sent. */
int submit_flush(gantry_client_t *self);
/* The client ends: answers what could not be sent, and frees what is left. */
void submit_end(gantry_client_t *self);

/* ---- client.c, call.c, record.c ---- */
/* The message of a slice. 0 or -ENOMEM. */
int client_body(struct slice bytes, zmq_msg_t *ret_body);
/* Keeps the words of a refusal and answers its status. */
int client_refused(gantry_client_t *self, uint32_t status, struct slice body);
/* The same for what is refused here. */
int client_wrong(gantry_client_t *self, int status, const char *field, const char *message);
/* Calls later->wake at due_ms. */
void client_later(gantry_client_t *self, struct later *later, int64_t due_ms);
/* When a call of timeout_ms that begins now is over; INT64_MAX for 0. */
int64_t client_deadline(int64_t timeout_ms);
/* One turn of at most wait_ms. 0 or -errno. */
int client_turn(gantry_client_t *self, int64_t wait_ms);
/* Turns until *done. 0; -EDEADLK from within a callback; -errno. */
int client_block(gantry_client_t *self, const bool *done);

/* A call that waits for its answer. */
struct reply {
    gantry_client_t *client;
    bool done;
    int status; /* 0, a status, or -ENOMEM */
    void *body; /* malloc'ed copy, or NULL when empty */
    size_t size;
};

void reply_clear(struct reply *self);
/* 0, a status (kept by client_refused) or -errno. Fills *ret_reply, which the caller clears always.
 */
int client_call(gantry_client_t *self, const struct request *request, struct slice body,
                struct reply *ret_reply);

/* body: m_record, checked. 0, -ENOMEM, or -EPROTO: it is none. */
int record_new(struct slice body, gantry_record_t **ret_record);
