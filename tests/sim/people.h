#pragma once
/* The processes of a world. */
#include "tests/sim/check.h"

/* How state services and their store are in this world. */
struct state_rules {
    int64_t store_us; /* a call to the store takes up to so long */
    int slow_percent;
    int64_t slow_us;
    int64_t away_until_us; /* the store cannot be reached before */
};
extern struct state_rules state_rules;

/* Where broker number is bound for those of a role; static. */
const char *endpoint_of(unsigned number, enum role role);
/* The list of all of them, beginning with first; into text. */
enum { ENDPOINTS_TEXT = 256 };
void endpoints_of(unsigned first, enum role role, char text[ENDPOINTS_TEXT]);
/* Which broker a new process begins with: any, or, fixed, a worker with the first and a client with
 * the second. */
void homes_fixed(bool fixed);
unsigned home_of(const struct proc *proc);

/* Every one of these begins a new life of a process that is down. */
void broker_start(struct proc *proc);
void state_start(struct proc *proc);
void worker_start(struct proc *proc);
void client_start(struct proc *proc);

/* ---- brokers ---- */
/* Handles all that its sockets have (outside.c). */
void sources_read(struct proc *proc);
struct broker_rules {
    int64_t heartbeat_ms, liveness_ms, lease_ms, window, batch;
};
extern struct broker_rules broker_rules;
/* An operator's word: away with the peers, or back. */
void broker_drain(struct proc *proc, bool on);

/* ---- state services ---- */
void states_begin(void);
void states_end(void);
/* SIGTERM: it says so to its brokers; the caller ends it a little later. */
void state_leave(struct proc *proc);
/* A stage has ended: who waits for it is answered a little later. */
void states_look(void);

/* ---- workers ---- */
enum { WORKERS_MAX = 8 };
void workers_begin(void);
/* How many tasks at once; every other one serves both services. */
void worker_options(unsigned number, uint32_t slots, bool both, int64_t patience_ms);
/* Until when its leases are good by the store's own word, in µs of the world. */
int64_t worker_confirmed_until(const struct proc *proc);
/* Is a job of it under way? */
bool worker_runs(const struct proc *proc);
/* SIGTERM: it leaves when its jobs have ended, and another takes its place. */
void worker_leave(struct proc *proc);

/* ---- clients ---- */
enum { CLIENTS_MAX = 4 };
void clients_begin(void);
/* client hands in order at that time. Several clients may want the same. */
void client_wants(unsigned number, struct order *order, int64_t at_us);
/* All that was wanted has been told. */
bool clients_content(void);
/* Notes what has not. */
void clients_note_open(void);

/* ---- an operator ---- */
/* Does this and that until calm_us, then waits for what it wanted; the world runs meanwhile. */
void operator_run(int64_t calm_us);
