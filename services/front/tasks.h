#pragma once
/* What the handlers of /v1/tasks share: a request, while brokers are asked on its behalf. */
#include "proto/gantry.h"
#include "proto/message.h"
#include "services/front/front.h"
#include "services/front/request.h"

/* One handler each; tasks.c has their rows. */
void tasks_post(request_t *request);      /* tasks_submit.c */
void tasks_status(request_t *request);    /* tasks_get.c */
void tasks_result(request_t *request);    /* tasks_get.c */
void tasks_retry(request_t *request);     /* tasks_retry.c */
void tasks_cancel(request_t *request);    /* tasks_steer.c */
void tasks_delete(request_t *request);    /* tasks_steer.c */
void tasks_supported(request_t *request); /* tasks_nodes.c */
void tasks_health(request_t *request);    /* tasks_nodes.c */
void tasks_events(request_t *request);    /* tasks_events.c */

/* What is asked of the brokers; layout NULL: a verb without a body. */
struct question {
    uint32_t verb;
    const struct message_layout *layout;
    const void *m;
    int64_t timeout_ms;
};
/* 0: told will be called, once; else it is not: a status, or -ENOMEM. */
int question_put(struct front *front, const struct question *question, gantry_called_fn *told,
                 void *arg);

/* A request that is to be answered. Whoever has one hands it on with every call that takes
 * ask_t **: asks again, answers, or refuses, and it is gone then. */
typedef struct ask ask_t;

/* NULL: the request was refused, since memory ran out. */
ask_t *ask_new(request_t *request);
/* The same about the task {id} of the path; its stage is ?task_name=, if that was given. NULL also:
 * 404, for there cannot be such a task. */
ask_t *ask_new_task(request_t *request);

struct front *ask_front(const ask_t *self);
/* Of the task; "" when it is about none. */
const char *ask_id(const ask_t *self);
/* The stage, NULL for the task as a whole. */
const char *ask_stage(const ask_t *self);
/* Changes them; texts are copied, NULL and an empty stage leave what is. False: 404, for there
 * cannot be such a one: the ask is gone. */
bool ask_about(ask_t **self_p, const char *id, const char *stage);
/* Something of the handler's own until the answer comes; freed with the ask. */
void ask_keep(ask_t *self, void *kept, void (*end)(void *kept));
void *ask_kept(const ask_t *self);

/* The Idempotency-Key, borrowed from the request while its handler runs; NULL: none was sent.
 * False: it is none, and the request was refused. */
bool ask_key(ask_t **self_p, const char **ret_key);

/* What the broker answered: 0 and a body, or a status and what gantry_client_error() says. */
typedef void ask_told_fn(ask_t **self_p, int status, struct slice body);
/* Asks the brokers; told is called once, unless the question could not be put and the request was
 * refused for it. layout NULL: a verb without a body. */
void ask_begin(ask_t **self_p, uint32_t verb, const struct message_layout *layout, const void *m,
               ask_told_fn *told);
/* GET of a task, whole. */
void ask_get(ask_t **self_p, const char *id, ask_told_fn *told);
/* The record that GET or CANCEL answered. False: the request was refused, and self is gone. */
bool ask_record(ask_t **self_p, int status, struct slice body, gantry_record_t **ret_record);
/* One task; kept is called with its receipt, unless it was refused and the request for it. */
typedef void ask_receipt_fn(ask_t **self_p, const struct gantry_receipt *receipt);
void ask_submit(ask_t **self_p, const struct gantry_task *task, ask_receipt_fn *kept);

/* body is taken; NULL (memory ran out) is answered 500. */
void ask_answer(ask_t **self_p, json_t *body);
void ask_refuse(ask_t **self_p, int http, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* As the brokers said: 404 任务不存在, 400 参数验证失败, 503 and so on; or negative, for what went
 * wrong here: 500. */
void ask_refuse_status(ask_t **self_p, int status);

/* "2026-01-31T03:00:00.123Z" of this moment. */
json_t *ask_time(void);
