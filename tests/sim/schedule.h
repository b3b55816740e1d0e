#pragma once
/* One world from beginning to end. */
#include "tests/sim/world.h"

struct world_size {
    unsigned brokers, states, workers, clients, orders, operators;
};

/* Fills the world with its processes; nothing is wanted yet, and nothing breaks. */
void schedule_begin(const struct world_size *size);
/* Until all that clients want has ended and been told, or it takes too long. Crashed processes
 * begin again by themselves. calm_us: when the trouble is over. */
void schedule_run(int64_t calm_us);
/* Checks and ends the world. False: something did not hold; it is in world.failure, and the notes
 * are printed. */
bool schedule_end(void);

/* A random world. */
bool schedule_of_seed(uint64_t seed, bool verbose);

/* ---- trouble ---- */
/* Plans random trouble until calm_us. */
void trouble_plan(unsigned count, int64_t calm_us);
/* A crashed process begins again no sooner than so; default: after a moment. */
void trouble_restart_after(int64_t least_us, int64_t most_us);
/* All that was put to sleep or aside is itself again. */
void trouble_end(void);

/* ---- named ---- */
struct named;
extern const unsigned named_count;
const char *named_name(const struct named *row);
const char *named_what(const struct named *row);
const struct named *named_at(unsigned index);
bool schedule_named(const struct named *row, uint64_t seed, bool verbose);
