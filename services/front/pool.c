#include "services/front/pool.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void pool_size(unsigned threads)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%u", threads);
    (void)setenv("UV_THREADPOOL_SIZE", text, 0);
}

static void on_work(uv_work_t *work)
{
    const struct pool_call *call = work->data;
    call->run(call->arg);
}

static void on_done(uv_work_t *work, int status)
{
    const struct pool_call *call = work->data;
    struct front *front = call->front;
    (void)status;
    call->done(call->arg);
    if (--front->calls == 0)
        front->rest(front);
}

void pool_begin(struct front *front, struct pool_call *call, void (*run)(void *arg),
                void (*done)(void *arg), void *arg)
{
    *call = (struct pool_call){ .front = front, .run = run, .done = done, .arg = arg };
    call->work.data = call;
    front->calls++;
    int r = uv_queue_work(front->loop, &call->work, on_work, on_done);
    assert(r == 0);
    (void)r;
}
