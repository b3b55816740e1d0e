#pragma once
/* A hiredis context on a libuv loop. hiredis ships such an adapter, but that one ignores a poll
 * that failed (a refused TCP connection stays "connecting" for ever) and so is not used; it also
 * asks the kernel twice for every write, which here is made at once. */
#include <hiredis/async.h>
#include <uv.h>

/* To be called once, before anything is asked. 0 or -errno; failed: the context is untouched. The
 * handle closes itself when the context ends. */
int redis_uv_attach(redisAsyncContext *context, uv_loop_t *loop);
/* Writes what was asked since the loop slept. It may end the context, like what hiredis does when
 * it is told to write. */
void redis_uv_flush(redisAsyncContext *context);
