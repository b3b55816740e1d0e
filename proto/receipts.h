#pragma once
/* One SUBMIT: tasks into a body, the answer into receipts. */
#include "proto/client.h"
#include "proto/codec.h"

/* Tasks that go in one message must have the same of these. */
struct group {
    struct slice service;
    uint32_t priority;
};

enum { TICKET_SIZE = 16 };

/* Why a task is refused here; both static. */
struct fault {
    const char *field;
    const char *rule; /* what the field must be, or is */
};

/* 0, or STATUS_INVALID for what can be seen before packing. */
int task_check(const struct gantry_task *task, struct fault *ret_fault);
/* Of a task that passed task_check. */
struct group task_group(const struct gantry_task *task);
/* Adds an item to the parcel. 0; STATUS_TOO_LARGE: the body would pass the broker's limit with it,
 * or STATUS_INVALID: an input that is no msgpack map, text that is not UTF-8: nothing was added;
 * -ENOMEM. */
int task_pack(struct parcel *parcel, uint32_t body_max, const struct gantry_task *task,
              const char *id, const uint8_t token[TICKET_SIZE], struct fault *ret_fault);
/* Sends what was packed. 0, STATUS_BUSY or -ENOMEM. */
int task_send(gantry_client_t *client, struct parcel *parcel, struct group group,
              int64_t timeout_ms, session_answer_fn *answer, void *arg);

/* A refusal made here. */
void receipt_refuse(struct gantry_receipt *receipt, int status, const char *field,
                    const char *message);
/* The answer to a SUBMIT while it is read; borrows what it is made of. */
struct answer {
    gantry_client_t *client;
    const struct header *header;
    struct slice body;
    struct reader items;
    bool listed; /* has as many items as there were tasks */
};

struct answer answer_of(gantry_client_t *client, const struct header *header, struct slice body,
                        size_t count);
/* Its next count items, in order: item i goes to all[order[i]], or all[i] when order is NULL. Every
 * one gets a status; a refusal of the whole message goes to all of them. Ids stay. */
void receipts_read(struct answer *answer, struct gantry_receipt *all, const uint32_t *order,
                   size_t count);
