#pragma once
/* Calls that may block (disks, stores), off the loop: they run in libuv's threads. What front.h
 * holds stays until the last one has ended. */
#include "services/front/front.h"

#include <uv.h>

struct pool_call {
    uv_work_t work;
    struct front *front;
    void (*run)(void *arg);  /* in a thread: touches nothing that the loop does */
    void (*done)(void *arg); /* on the loop; may begin the same call anew, or free it */
    void *arg;
};

/* So many threads; before the first call. */
void pool_size(unsigned threads);
/* run and done are called once each, later. */
void pool_begin(struct front *front, struct pool_call *call, void (*run)(void *arg),
                void (*done)(void *arg), void *arg);
