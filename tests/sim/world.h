#pragma once
/* The world of a schedule: virtual time, chance from a seed, the processes in it and what happens
 * next. One thread, one world at a time; the same seed is the same world to the last message. */
#include "common/slice.h"

#include <stdio.h>

enum role { ROLE_BROKER, ROLE_STATE, ROLE_WORKER, ROLE_CLIENT, ROLE_OPERATOR, ROLES };

enum { PROCS_MAX = 32, NOTES = 512 };
#define SECOND_US ((int64_t)1000000)

struct zsource;

/* A process: its code is the real one, what is around it is ours. */
struct proc {
    enum role role;
    unsigned number; /* among its role */
    unsigned life;   /* grows with every start */
    bool up;
    int64_t offset_ms;       /* its clock began at another time than ours */
    int64_t paused_until_us; /* SIGSTOP until then */
    int64_t wake_us;         /* INT64_MAX: nothing is planned */
    int64_t poll_us;         /* how long its last poll would have waited */
    /* Something arrived, or its time has come: all there is is done. Answers when to step again, in
     * virtual time. */
    int64_t (*step)(struct proc *self);
    /* kill -9: everything of it goes, at once. */
    void (*crash)(struct proc *self);
    void *self;
    /* a broker's loop */
    struct zsource *sources;
    struct uv_timer_s *timer;
    void (*timer_fired)(struct uv_timer_s *timer);
    int64_t timer_due_us, timer_repeat_us;
};

/* What happens at a time. tag is the caller's: mostly a life, to see that it is too late. */
typedef void event_fn(void *arg, uint64_t tag);

struct world {
    int64_t now_us;
    uint64_t seed;
    bool verbose;
    bool failed;
    char failure[256];
    struct proc *current; /* whose code runs; NULL: ours */
    struct proc procs[PROCS_MAX];
    unsigned procs_count;
    uint64_t events; /* handled in this world */
    uint64_t messages;
    uint64_t trace; /* of all notes: equal when all was equal */
};

extern struct world world;

void world_begin(uint64_t seed, bool verbose);
/* All processes are ended, all memory goes. */
void world_end(void);

/* ---- chance ---- */
uint64_t roll_bits(void);
int64_t roll(int64_t sides); /* 0 .. sides - 1; sides > 0 */
int64_t roll_between(int64_t least, int64_t most);
bool chance(int percent);

/* ---- time ---- */
void plan(int64_t at_us, event_fn *fire, void *arg, uint64_t tag);
/* Handles the next event. False: there is none, or the world has failed. */
bool world_step(void);
int64_t local_ms(const struct proc *proc);                        /* its clock */
int64_t from_local_ms(const struct proc *proc, int64_t local_ms); /* in µs of the world */

/* ---- processes ---- */
struct proc *proc_new(enum role role);
/* It begins a life: step runs at once. */
void proc_start(struct proc *self, void *own);
void proc_crash(struct proc *self);
/* Told after every crash. */
void on_crashed(struct proc *proc);
void proc_pause(struct proc *self, int64_t for_us);
/* Step no later than that. */
void proc_wake(struct proc *self, int64_t at_us);
/* The current process sleeps until *until is set (NULL: never), or so long: the world goes on. */
void proc_block(void *const *until, int64_t for_us);
/* Runs code of ours within it: what it asks for the time or sends is the process's. */
struct proc *proc_enter(struct proc *self);
void proc_leave(struct proc *before);
bool proc_paused(const struct proc *proc);
struct proc *proc_nth(enum role role, unsigned number);
unsigned procs_of(enum role role);
const char *role_text(enum role role);

/* ---- what is told ---- */
/* All texts are borrowed for ever. */
void notes_begin(void);
void note(const char *what, const struct proc *proc, int64_t a, int64_t b);
struct note_message {
    const struct proc *from, *to;
    const char *verb, *answers; /* answers: verb of the request; NULL for a request */
    uint64_t request;
    uint32_t status, count;
    const char *fate; /* "" or what becomes of it */
};
void note_sent(const struct note_message *message);
void notes_print(FILE *out);
/* An invariant does not hold: the world stops. The first one counts. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
