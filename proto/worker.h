#pragma once
/* libgantry's worker on somebody else's loop: what our own programs use beside gantry.h. */
#include "proto/gantry.h"
#include "proto/session.h"

/* Told when the socket to watch changes; before the first tick. */
void gantry_worker_watch(gantry_worker_t *self, void (*changed)(void *arg, void *socket),
                         void *arg);
bool gantry_worker_read(gantry_worker_t *self, int64_t now_ms);
/* Renews, claims, reports, tells jobs to stop. Answers when to call again at the latest; call it
 * after reads too (once all is read), and after jobs ended, for what they left to be sent. */
int64_t gantry_worker_tick(gantry_worker_t *self, int64_t now_ms);
/* Draining, and neither a job nor an unacknowledged result is left: BYE is said, the worker may be
 * destroyed. */
bool gantry_worker_idle(const gantry_worker_t *self);
/* The status with which the broker refused the nodes, or 0: no task will come. Asked again now and
 * then. */
int gantry_worker_refused(const gantry_worker_t *self);
/* NULL while a broker knows us; else why the last one refused, "" when none answered. */
const char *gantry_worker_away(const gantry_worker_t *self);
/* Until when every lease held is good, by clock_ms: what runs longer without a renewal must be dead
 * by then. */
int64_t gantry_worker_lease_until(const gantry_worker_t *self);
/* Until when they are good by the word of the store itself. While it cannot be reached from here
 * work goes on, but others may reach it and be given the same work: so what was made may be put in
 * place only before this. */
int64_t gantry_worker_confirmed_until(const gantry_worker_t *self);
/* Claims nothing for so long: this machine is in trouble, and others may do better. */
void gantry_worker_rest(gantry_worker_t *self, int64_t rest_ms);
uint32_t gantry_worker_jobs(const gantry_worker_t *self);
/* Tells every running job why. */
void gantry_worker_stop_jobs(gantry_worker_t *self, enum gantry_stop why);
