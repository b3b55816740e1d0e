#pragma once
/* The bodies of /v1/tasks, read and checked. Pure. Keys that are not known are ignored, null counts
 * as absent. */
#include "proto/gantry.h"
#include "proto/mint.h"

#include "common/slice.h"

#include <jansson.h>
#include <msgpack.h>

enum { TASKS_DETAIL = 512, TASKS_KEY_MAX = 255 };

/* The node of deliveries, which only ends of other stages submit: who could over HTTP would have
 * any task's record sent anywhere. */
#define TASKS_DELIVERY "system.callback"
/* The node of clean-up, which an operator or its schedule submits: who could over HTTP would have
 * all that has ended removed at once, knowing no id of it. */
#define TASKS_CLEANUP "system.cleanup"
/* What the id of a delivery's task begins with, and how many hex digits follow. */
#define TASKS_DELIVERY_ID "callback-"
enum { TASKS_DELIVERY_DIGITS = 40 };

/* What POST /v1/tasks asks for. */
struct tasks_body {
    json_t *object;          /* texts of task are borrowed from it, */
    msgpack_sbuffer input;   /* the input from this */
    struct gantry_task task; /* owner and token are not in the body */
};

/* Bytes of one JSON object; none at all are an empty one. 0; STATUS_INVALID with what is to be told
 * in detail; or -ENOMEM. */
int tasks_object_read(struct slice bytes, json_t **ret_object, char detail[TASKS_DETAIL]);
/* A key that is true, false, null or not there. The results are as above. */
int tasks_switch_read(const json_t *object, const char *key, bool *ret_on,
                      char detail[TASKS_DETAIL]);
/* A key that is a text, null or not there (NULL, borrowed). */
int tasks_text_read(const json_t *object, const char *key, const char **ret_text,
                    char detail[TASKS_DETAIL]);

/* "normal", "high" or "low". False: it is none of them. */
bool tasks_priority_read(const char *text, enum gantry_priority *ret_priority);

/* start_ms: schedule to start of who names none. The results are as above; cleared by the caller
 * always. */
int tasks_body_read(struct tasks_body *self, struct slice bytes, uint64_t start_ms,
                    char detail[TASKS_DETAIL]);
void tasks_body_clear(struct tasks_body *self);

/* What an Idempotency-Key makes of a submit: the same key, id and task are the same submit. */
struct tasks_ticket {
    uint8_t token[16];
    char id[MINT_UUID_TEXT]; /* for who names none */
};
/* 1 to TASKS_KEY_MAX printable ASCII characters. */
bool tasks_key_valid(const char *key);
/* id NULL: the ticket's own. 0 or -ENOMEM. */
int tasks_ticket(const char *key, const char *id, const char *task,
                 struct tasks_ticket *ret_ticket);
