#pragma once
/* libgantry: hand tasks to Gantry and work on them, from C.
 *
 * One thread a client or worker; several of each are fine. Results of every call: 0 done; positive:
 * a status (GANTRY_STATUS_...), what the other side said; negative: -errno of this machine. Times
 * are milliseconds; a timeout of 0 means "for ever", unless a call says otherwise.
 * From within a callback calls may be begun, but those that wait answer -EDEADLK. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GANTRY_API __attribute__((visibility("default")))

/* The statuses of the wire (docs/protocol.md has the whole table). */
enum {
    GANTRY_OK = 0,
    GANTRY_INVALID = 1,
    GANTRY_NOT_FOUND = 2,
    GANTRY_CONFLICT = 3,
    GANTRY_TOO_LARGE = 5,
    GANTRY_UNSUPPORTED = 6,
    GANTRY_BUSY = 7,
    GANTRY_UNAVAILABLE = 8,
    GANTRY_STALE = 9,
    GANTRY_TIMEOUT = 11,
    GANTRY_FAILED = 14
};

/* "NOT_FOUND" and "no such thing" of 2; for -errno strerror's text. */
GANTRY_API const char *gantry_status_name(int status);
GANTRY_API const char *gantry_status_text(int status);

/* Bytes that are borrowed for the call; here always one msgpack value. */
struct gantry_bytes {
    const void *data;
    size_t size;
};

/* What a refusal said. Texts are "" when there is nothing to say; valid until the next call. */
struct gantry_error {
    const char *message;
    const char *field; /* such as "input.video_path" */
    const char *scope; /* GANTRY_BUSY: what the limit is on, such as "queue" or "user" */
    uint64_t limit;
    uint64_t current;
    uint32_t retry_after_ms;
};

/* ---- clients ----------------------------------------------------------------------------------
 */

typedef struct gantry_client gantry_client_t;

/* brokers: the broker.clients endpoints, comma separated; another is used when one fails.
 * NULL when out of memory or brokers is empty; connects in the background. */
GANTRY_API gantry_client_t *gantry_client_new(const char *brokers);
/* Calls under way are answered GANTRY_UNAVAILABLE first. */
GANTRY_API void gantry_client_destroy(gantry_client_t **self_p);
/* Of the call that failed last. */
GANTRY_API const struct gantry_error *gantry_client_error(const gantry_client_t *self);

enum gantry_priority { GANTRY_NORMAL, GANTRY_HIGH, GANTRY_LOW };

struct gantry_task {
    const char *id;            /* NULL: a new UUID */
    const char *task;          /* node, "ffmpeg.extract_audio" */
    struct gantry_bytes input; /* msgpack map; empty: no inputs */
    enum gantry_priority priority;
    uint32_t timeout_ms;    /* limit of one attempt; 0: the node's own */
    const char *owner;      /* user, or NULL */
    const uint8_t *token;   /* 16 bytes: the same again is the same submit; NULL: a new one */
    uint64_t delay_ms;      /* starts no sooner than so long after it was accepted */
    uint64_t not_before_ms; /* wall clock: starts no sooner */
    uint64_t schedule_to_start_ms; /* failed when nobody has started it so long after it could */
    uint64_t schedule_to_close_ms; /* failed when it has not ended by then, all attempts together */
    uint32_t failures_max;         /* failures after which it has failed for good; 0: the node's */
    uint32_t crashes_max;          /* lost leases after which it is quarantined; 0: the setting's */
    uint32_t retry_ms;    /* first wait before another attempt, doubled each time; 0: the node's */
    const char *callback; /* http(s) address that is told when the run ends, or NULL */
    const char *reuse;    /* "name", "input" or "never"; NULL: "name" */
};

struct gantry_receipt {
    char id[129];
    int status;          /* 0: kept */
    char state[16];      /* of the stage now */
    char reuse[8];       /* "miss", "wait" or "hit" */
    char durability[16]; /* "memory", "everysec", "always" */
    char message[256];   /* when status is not 0 */
    char field[64];
    char scope[64]; /* of BUSY: what the limit is on */
    uint64_t limit;
    uint64_t current;
    uint32_t retry_after_ms;
};

/* Submits 1..N tasks, in messages of one service and priority each. Each receipt has its own
 * status. BUSY and UNAVAILABLE are tried again under the same tokens until timeout_ms is over. 0
 * when every task has a receipt from the broker (which may be a refusal); GANTRY_TIMEOUT when some
 * have none. */
GANTRY_API int gantry_submit(gantry_client_t *self, const struct gantry_task *tasks, size_t count,
                             struct gantry_receipt *receipts, int64_t timeout_ms);

/* One try and no retries, the answer comes to done from within gantry_client_run() or any other
 * call on the client; exactly once per call that answered 0. All tasks of one call must be of one
 * service and priority, at most the broker's batch (256 by default). receipts are borrowed for the
 * call. */
typedef void gantry_submitted_fn(void *arg, int status, const struct gantry_receipt *receipts,
                                 size_t count);
GANTRY_API int gantry_submit_begin(gantry_client_t *self, const struct gantry_task *tasks,
                                   size_t count, int64_t timeout_ms, gantry_submitted_fn *done,
                                   void *arg);
/* Calls begun one after the other, of one service, priority and timeout, share a message of up to
 * tasks_max tasks (64 unless told otherwise; 1: a message for each call). The first goes at once;
 * those begun while it is under way go when the message is full, with any other call, or with the
 * client's next turn. Each has its receipts and its callback as if it were alone; only when the
 * client went on to a broker with lower limits, for which the message is too large, all of its
 * calls end with UNAVAILABLE: begun again they fit. */
GANTRY_API void gantry_client_merge(gantry_client_t *self, size_t tasks_max);

typedef struct gantry_record gantry_record_t;

struct gantry_stage {
    const char *task;
    const char *state;
    uint32_t attempt, generation, failures, crashes;
    double progress;
    const char *priority;
    const char *worker;
    const char *owner;
    uint64_t created_ms, started_ms, ended_ms;       /* wall clock; 0: not yet */
    uint64_t due_ms;                                 /* of a scheduled one: when it may start */
    struct gantry_bytes input, output, error, usage; /* msgpack, or empty */
    const char *error_code, *error_message, *error_field; /* "" when there is no error */
    struct gantry_bytes history; /* msgpack array of the attempts that failed or crashed before */
    const char *callback;        /* address named last, or "" */
    const char *callback_id;     /* task id of the delivery to it; "": the run has not ended */
    uint32_t timeout_ms;         /* limit of one attempt, as submitted; 0: the node's own */
};

/* The record as it is now. The record is the caller's to destroy. GANTRY_NOT_FOUND: no such task.
 */
GANTRY_API int gantry_get(gantry_client_t *self, const char *id, int64_t timeout_ms,
                          gantry_record_t **ret_record);
/* Waits until the stage (task NULL: every stage) has ended. GANTRY_TIMEOUT when it has not. */
GANTRY_API int gantry_wait(gantry_client_t *self, const char *id, const char *task,
                           int64_t timeout_ms, gantry_record_t **ret_record);
/* The same without blocking; record is borrowed for the call and NULL unless status is 0. */
typedef void gantry_waited_fn(void *arg, int status, const gantry_record_t *record);
GANTRY_API int gantry_wait_begin(gantry_client_t *self, const char *id, const char *task,
                                 int64_t timeout_ms, gantry_waited_fn *done, void *arg);
/* Stops a stage (task NULL: every stage). The record tells what became of it: cancelled, or
 * cancelling while its worker stops it. GANTRY_CONFLICT: it has ended already. ret_record may be
 * NULL. */
GANTRY_API int gantry_cancel(gantry_client_t *self, const char *id, const char *task,
                             int64_t timeout_ms, gantry_record_t **ret_record);

/* CreateTask and GetTaskStatus of the task service: a video becomes a task, which outside
 * processors may take from Redis' list task:pending as well as our own workers. */
enum { GANTRY_ID_SIZE = 129 };
/* temp_file_path: absolute, beneath storage.local or one of storage.input_roots; the file is moved
 * away. token: 16 bytes, or NULL for random ones: the same again is the same task. BUSY,
 * UNAVAILABLE and lost answers are tried again under it until timeout_ms is over. */
GANTRY_API int gantry_create_task(gantry_client_t *self, const char *temp_file_path,
                                  const uint8_t *token, int64_t timeout_ms,
                                  char ret_id[GANTRY_ID_SIZE]);

enum gantry_task_state {
    GANTRY_TASK_PENDING,
    GANTRY_TASK_PROCESSING,
    GANTRY_TASK_COMPLETED,
    GANTRY_TASK_FAILED
};
struct gantry_task_status {
    enum gantry_task_state status;
    char result_file_path[4097]; /* of GANTRY_TASK_COMPLETED */
    char error_message[4097];    /* of GANTRY_TASK_FAILED */
    char created_at[65];         /* RFC 3339 */
    char updated_at[65];
};
/* Of any task. GANTRY_NOT_FOUND: there is none; GANTRY_CONFLICT: an outside processor wrote a
 * status that is none. */
GANTRY_API int gantry_task_status(gantry_client_t *self, const char *id, int64_t timeout_ms,
                                  struct gantry_task_status *ret_status);

GANTRY_API void gantry_record_destroy(gantry_record_t **self_p);
/* All borrowed from the record. */
GANTRY_API const char *gantry_record_id(const gantry_record_t *self);
GANTRY_API const char *gantry_record_status(const gantry_record_t *self);
GANTRY_API const char *gantry_record_storage_path(const gantry_record_t *self);
GANTRY_API uint64_t gantry_record_created_ms(const gantry_record_t *self);
GANTRY_API size_t gantry_record_count(const gantry_record_t *self);
GANTRY_API const struct gantry_stage *gantry_record_stage(const gantry_record_t *self,
                                                          size_t index);
GANTRY_API const struct gantry_stage *gantry_record_find(const gantry_record_t *self,
                                                         const char *task);
/* The whole record as msgpack, as it came. */
GANTRY_API struct gantry_bytes gantry_record_bytes(const gantry_record_t *self);

/* For tools: any verb of the protocol with a body of the caller's (empty: none). On 0 and on a
 * status *ret_body (may be NULL) is malloc'ed, *ret_size long, the caller's to free. */
GANTRY_API int gantry_call(gantry_client_t *self, uint32_t verb, const char *service,
                           struct gantry_bytes body, int64_t timeout_ms, void **ret_body,
                           size_t *ret_size);

/* The same without blocking; done is called exactly once per call that answered 0, and body is
 * borrowed for it. GANTRY_BUSY: too many calls are open; run some first. */
typedef void gantry_called_fn(void *arg, int status, struct gantry_bytes body);
GANTRY_API int gantry_call_begin(gantry_client_t *self, uint32_t verb, const char *service,
                                 struct gantry_bytes body, int64_t timeout_ms,
                                 gantry_called_fn *done, void *arg);

/* Runs calls begun, until none is left (0) or timeout_ms is over (GANTRY_TIMEOUT). */
GANTRY_API int gantry_client_run(gantry_client_t *self, int64_t timeout_ms);
/* One turn: waits up to timeout_ms (0: not at all) for something, handles all there is. 0 or
 * -errno. */
GANTRY_API int gantry_client_turn(gantry_client_t *self, int64_t timeout_ms);
/* Calls begun and not answered. */
GANTRY_API size_t gantry_client_open(const gantry_client_t *self);

/* ---- workers ----------------------------------------------------------------------------------
 */

typedef struct gantry_worker gantry_worker_t;
typedef struct gantry_job gantry_job_t;

struct gantry_input {
    const char *name;
    const char *type; /* text, path, folder, whole, number, switch, list, map or any */
    bool required;
    struct gantry_bytes fallback; /* msgpack, or empty */
    const char *doc;
    const char *upstream; /* outputs of other stages that stand in when it is not given, comma
                             separated, the best first; or NULL */
};

/* Starts a job and returns at once; it must never block, or the worker's heartbeats stop and its
 * work is given to others. End the job exactly once, now or later, on the same thread. */
typedef void gantry_run_fn(gantry_job_t *job, void *arg);

enum gantry_stop {
    GANTRY_STOP_CANCEL, /* somebody cancelled it: stop, then gantry_job_cancelled */
    GANTRY_STOP_STALE,  /* another attempt may run: stop at once; whatever ends the job is not sent
                         */
    GANTRY_STOP_DRAIN   /* the worker leaves and has no more patience: gantry_job_keep what the next
                           attempt can go on from, then gantry_job_return */
};
/* The job is to stop; end it as the reason says, now or later. */
typedef void gantry_stop_fn(gantry_job_t *job, enum gantry_stop why, void *arg);

/* All borrowed for the worker's life. */
struct gantry_node {
    const char *name; /* "service.method" */
    const char *doc;
    const struct gantry_input *inputs;
    size_t inputs_count;
    const char *const *outputs; /* ends with NULL; may be NULL */
    const char *const *key;     /* outputs a reuse hit must have, "name|other_name" when it has
                                   several names; ends with NULL; may be NULL */
    uint32_t timeout_ms;        /* limit of one attempt; 0: none */
    uint32_t failures_max;      /* failures after which a stage has failed for good; 0: as set */
    uint32_t crashes_max;       /* lost leases after which it is quarantined; 0: as set */
    uint32_t retry_ms; /* first wait before another attempt, doubled each time; 0: a formula */
    bool space;        /* it writes files: its tasks are refused while the disk is nearly full */
    gantry_run_fn *run;
    gantry_stop_fn *stop; /* NULL: jobs end too soon to be stopped */
    void *arg;
};

struct gantry_worker_options {
    const char *brokers; /* the broker.workers endpoints, comma separated */
    const char *name;    /* NULL: host-pid */
    uint32_t slots;      /* jobs at once; 0: 1 */
    const struct gantry_node *nodes;
    size_t nodes_count; /* of at most 16 services */
    /* Stop callback for work that lasts longer than the lease could be renewed; 0: 2/3 of the
     * lease. */
    int64_t patience_ms;
};

/* NULL when out of memory or the options are wrong (no broker, no node, a name that is none). */
GANTRY_API gantry_worker_t *gantry_worker_new(const struct gantry_worker_options *options);
/* Jobs that run are told GANTRY_STOP_STALE and forgotten: their gantry_job_t are invalid then. What
 * was not acknowledged goes back to the queues when the session's lease ends. */
GANTRY_API void gantry_worker_destroy(gantry_worker_t **self_p);

/* Works until gantry_worker_drain() was called and the last job has ended (0), or for timeout_ms
 * (GANTRY_TIMEOUT), or until the nodes are refused (GANTRY_INVALID and its kin). Safe to call
 * again. */
GANTRY_API int gantry_worker_run(gantry_worker_t *self, int64_t timeout_ms);
/* Claims nothing more. Callable from a job's callbacks or a signal handler. What an operator tells
 * is another matter: that keeps the worker from claiming too, yet does not end it. */
GANTRY_API void gantry_worker_drain(gantry_worker_t *self);
/* Claims again, unless it has left already. */
GANTRY_API void gantry_worker_undrain(gantry_worker_t *self);

GANTRY_API const char *gantry_job_id(const gantry_job_t *self);
GANTRY_API const char *gantry_job_task(const gantry_job_t *self);
GANTRY_API uint32_t gantry_job_attempt(const gantry_job_t *self);
GANTRY_API uint32_t gantry_job_failures(const gantry_job_t *self); /* attempts that failed before */
GANTRY_API uint32_t gantry_job_crashes(const gantry_job_t *self);  /* and that were lost */
/* The task is a user's: what it asks for may not reach private addresses. */
GANTRY_API bool gantry_job_owned(const gantry_job_t *self);
GANTRY_API uint32_t gantry_job_timeout_ms(const gantry_job_t *self); /* 0: none */
/* The input map as submitted; borrowed until the job has ended. */
GANTRY_API struct gantry_bytes gantry_job_input(const gantry_job_t *self);
/* What an earlier attempt kept for this one: one msgpack value, or empty; borrowed likewise. */
GANTRY_API struct gantry_bytes gantry_job_checkpoint(const gantry_job_t *self);
/* What the next attempt shall get, when this one ends with retry, snooze or return; the last one
 * counts, and without any the earlier one stays. One msgpack value of at most 65536 bytes.
 * GANTRY_INVALID (it is none, or nested too deep), GANTRY_TOO_LARGE, -ENOMEM. */
GANTRY_API int gantry_job_keep(gantry_job_t *self, struct gantry_bytes checkpoint);
/* The caller's own pointer. */
GANTRY_API void gantry_job_set_user(gantry_job_t *self, void *user);
GANTRY_API void *gantry_job_user(const gantry_job_t *self);
/* 0..1, told with the next heartbeat. */
GANTRY_API void gantry_job_progress(gantry_job_t *self, double progress);

struct gantry_end {
    struct gantry_bytes output; /* msgpack map, of a success */
    struct gantry_bytes usage;  /* msgpack map of figures, or empty */
    /* of a failure: */
    int code; /* a status; GANTRY_FAILED when in doubt */
    const char *message;
    const char *field; /* the input that is wrong, or NULL */
    int64_t exit_code, signal;
    const char *last_words; /* of stderr, or NULL */
};
/* Each ends the job: the pointer is invalid afterwards. The result is kept and sent again until it
 * is acknowledged. */
GANTRY_API void gantry_job_done(gantry_job_t *self, const struct gantry_end *end);
GANTRY_API void gantry_job_skipped(gantry_job_t *self, const struct gantry_end *end);
/* For good: another attempt would fare no better. */
GANTRY_API void gantry_job_failed(gantry_job_t *self, const struct gantry_end *end);
/* It failed, and another attempt may not: it is made after after_ms, or after a back-off when that
 * is negative, until the stage has failed too often. */
GANTRY_API void gantry_job_retry(gantry_job_t *self, const struct gantry_end *end,
                                 int64_t after_ms);
/* Not now: another attempt after after_ms (at least 1). Counts as no failure. */
GANTRY_API void gantry_job_snooze(gantry_job_t *self, int64_t after_ms);
GANTRY_API void gantry_job_cancelled(gantry_job_t *self, const struct gantry_end *end);
/* It did not run (or only in part, without a trace): somebody else may have it. */
GANTRY_API void gantry_job_return(gantry_job_t *self);

#ifdef __cplusplus
}
#endif
