#include "services/state/redis.h"

#include "common/scoped.h"
#include "common/status.h"
#include "services/state/redis_uv.h"
#include "services/state/replies.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    RETRY_FIRST_MS = 100,
    RETRY_MOST_MS = 2000,
    TICKS_A_TIMEOUT = 4,
    WHY_MAX = 128,
    CALLS_KEPT = 256 /* idle call nodes that are not freed */
};

enum phase { PHASE_DOWN, PHASE_CONNECTING, PHASE_GREETING, PHASE_UP };

/* Redis answers in order, so the calls under way are a queue and the oldest is the head. */
struct call {
    struct call *next;
    redis_t *redis;
    redis_done_fn *done;
    void *arg;
    size_t bytes;
    uint64_t tick; /* when it was made, or came to be the oldest */
};

struct redis {
    struct redis_options options;
    uv_timer_t timer;
    redisAsyncContext *context; /* NULL while PHASE_DOWN */
    enum phase phase;
    bool ended; /* destroyed: nothing is told any more */
    int64_t retry_ms;
    uint64_t tick;  /* counts the timer, so a process that was stopped itself times nothing out */
    uint64_t since; /* tick of the connect */
    struct call *oldest, *newest, *spare;
    size_t calls, bytes, spares;
    char why[WHY_MAX];
    struct command command;
    struct replies replies;
};

static void arm(redis_t *self);

static uint64_t tick_ms(const redis_t *self)
{
    return (uint64_t)self->options.timeout_ms / TICKS_A_TIMEOUT + 1;
}

static struct call *call_take(redis_t *self)
{
    struct call *call = self->spare;
    if (!call)
        return calloc(1, sizeof *call);
    self->spare = call->next;
    self->spares--;
    return call;
}

static void call_give(redis_t *self, struct call *call)
{
    if (self->spares >= CALLS_KEPT) {
        free(call);
        return;
    }
    call->next = self->spare;
    self->spare = call;
    self->spares++;
}

static void link_call(redis_t *self, struct call *call)
{
    call->next = NULL;
    if (self->newest)
        self->newest->next = call;
    else
        self->oldest = call;
    self->newest = call;
    self->calls++;
    self->bytes += call->bytes;
}

static void unlink_oldest(redis_t *self)
{
    struct call *call = self->oldest;
    self->oldest = call->next;
    if (self->oldest)
        self->oldest->tick = self->tick; /* its time begins: a long queue is no silent Redis */
    else
        self->newest = NULL;
    self->calls--;
    self->bytes -= call->bytes;
}

/* The connection is gone: whoever noticed. */
static void down(redis_t *self, const char *why)
{
    self->context = NULL;
    self->phase = PHASE_DOWN;
    if (self->ended)
        return;
    snprintf(self->why, sizeof self->why, "%s", why && *why ? why : "closed");
    arm(self);
    self->options.lost(self->options.arg, self->why);
}

void redis_drop(redis_t *self, const char *why)
{
    redisAsyncContext *context = self->context;
    if (!context)
        return;
    char kept[WHY_MAX]; /* why may live in a reply that ends with the context */
    snprintf(kept, sizeof kept, "%s", why);
    self->context = NULL;
    context->data = NULL; /* its own farewell is not told again */
    redisAsyncFree(context);
    down(self, kept);
}

static void on_disconnect(const redisAsyncContext *context, int status)
{
    (void)status;
    redis_t *self = context->data;
    if (self)
        down(self, context->errstr);
}

static void on_reply(redisAsyncContext *context, void *answer, void *arg)
{
    (void)context;
    const redisReply *reply = answer;
    struct call *call = arg;
    redis_t *self = call->redis;
    redis_done_fn *done = call->done;
    void *done_arg = call->arg;
    unlink_oldest(self);
    call_give(self, call);

    int status = reply ? 0 : STATUS_UNAVAILABLE;
    if (reply && reply->type == REDIS_REPLY_ERROR)
        status = self->options.judge(self->options.arg, slice_make(reply->str, reply->len));
    done(done_arg, status, reply);
}

static int send_call(redis_t *self, struct slice command, redis_done_fn *done, void *arg)
{
    struct call *call = call_take(self);
    if (!call)
        return -ENOMEM;
    *call = (struct call){
        .redis = self, .done = done, .arg = arg, .bytes = command.size, .tick = self->tick
    };
    if (redisAsyncFormattedCommand(self->context, on_reply, call, command.data, command.size)) {
        call_give(self, call);
        return STATUS_UNAVAILABLE;
    }
    link_call(self, call);
    return 0;
}

int redis_call(redis_t *self, struct slice command, redis_done_fn *done, void *arg)
{
    if (!command.data)
        return -ENOMEM;
    if (self->phase != PHASE_UP || !self->context)
        return STATUS_UNAVAILABLE;
    if (self->calls >= self->options.calls_max || self->bytes >= self->options.bytes_max)
        return STATUS_BUSY;
    return send_call(self, command, done, arg);
}

static void on_selected(void *arg, int status, const redisReply *reply)
{
    redis_t *self = arg;
    if (status && reply)
        redis_drop(self, reply->str);
    if (status || !self->context)
        return;
    self->phase = PHASE_UP;
    self->options.connected(self->options.arg);
}

static void on_authenticated(void *arg, int status, const redisReply *reply)
{
    redis_t *self = arg;
    if (status && reply)
        redis_drop(self, reply->str);
}

static void greet(redis_t *self)
{
    int r = 0;
    if (*self->options.password) {
        command_begin(&self->command);
        command_text(&self->command, "AUTH");
        command_text(&self->command, self->options.password);
        r = send_call(self, command_end(&self->command), on_authenticated, self);
    }
    command_begin(&self->command);
    command_text(&self->command, "SELECT");
    command_whole(&self->command, (uint64_t)self->options.db);
    if (!r)
        (void)send_call(self, command_end(&self->command), on_selected, self);
    /* one that could not be sent is met by the timer */
}

static void on_connect(const redisAsyncContext *context, int status)
{
    redis_t *self = context->data;
    if (!self)
        return;
    if (status != REDIS_OK) {
        down(self, context->errstr);
        return; /* hiredis frees the context */
    }
    self->phase = PHASE_GREETING;
    greet(self);
}

static redisAsyncContext *open_context(const struct redis_options *options)
{
    const char *addr = options->addr;
    const char *colon = strrchr(addr, ':');
    if (!colon || *addr == '/' || *addr == '.')
        return redisAsyncConnectUnix(addr);

    size_t size = (size_t)(colon - addr);
    if (*addr == '[' && size > 1 && addr[size - 1] == ']') { /* [::1]:6379 */
        addr++;
        size -= 2;
    }
    scoped_text char *host = slice_dup(slice_make(addr, size));
    char *end = NULL;
    long port = strtol(colon + 1, &end, 10);
    return host ? redisAsyncConnect(host, *end ? 0 : (int)port) : NULL;
}

static void connect_now(redis_t *self)
{
    redisAsyncContext *context = open_context(&self->options);
    int r = context ? 0 : -ENOMEM;
    if (context && !context->err)
        r = redis_uv_attach(context, self->options.loop);
    if (r || context->err) {
        char why[WHY_MAX];
        snprintf(why, sizeof why, "%s", context && context->err ? context->errstr : strerror(-r));
        if (context)
            redisAsyncFree(context);
        down(self, why);
        return;
    }
    context->data = self;
    replies_attach(&self->replies, context->c.reader);
    self->context = context;
    self->phase = PHASE_CONNECTING;
    self->since = self->tick;
    arm(self);
    redisAsyncSetDisconnectCallback(context, on_disconnect);
    redisAsyncSetConnectCallback(context, on_connect);
}

static void on_tick(redis_t *self)
{
    self->tick++;
    bool late = self->oldest && self->tick - self->oldest->tick > TICKS_A_TIMEOUT;
    if (self->phase != PHASE_UP)
        late |= self->tick - self->since > TICKS_A_TIMEOUT;
    else if (self->tick - self->since > 1)
        self->retry_ms = RETRY_FIRST_MS; /* it has held for a while */
    if (late)
        redis_drop(self, "no answer in redis.timeout_ms");
}

static void on_timer(uv_timer_t *timer)
{
    redis_t *self = timer->data;
    if (self->phase == PHASE_DOWN)
        connect_now(self);
    else
        on_tick(self);
}

static void arm(redis_t *self)
{
    if (self->phase != PHASE_DOWN) {
        uv_timer_start(&self->timer, on_timer, tick_ms(self), tick_ms(self));
        return;
    }
    uint64_t wait_ms = (uint64_t)self->retry_ms;
    wait_ms += uv_hrtime() / 1000 % (wait_ms / 4 + 1); /* many services shall not come at once */
    self->retry_ms = self->retry_ms * 2 < RETRY_MOST_MS ? self->retry_ms * 2 : RETRY_MOST_MS;
    uv_timer_start(&self->timer, on_timer, wait_ms, 0);
}

redis_t *redis_new(const struct redis_options *options)
{
    redis_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->options = *options;
    self->retry_ms = RETRY_FIRST_MS;
    uv_timer_init(options->loop, &self->timer);
    self->timer.data = self;
    uv_timer_start(&self->timer, on_timer, 0, 0);
    return self;
}

static void on_closed(uv_handle_t *handle)
{
    redis_t *self = handle->data;
    for (struct call *call = self->spare; call;) {
        struct call *next = call->next;
        free(call);
        call = next;
    }
    command_clear(&self->command);
    replies_clear(&self->replies);
    free(self);
}

void redis_destroy(redis_t **self_p)
{
    redis_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    self->ended = true;
    if (self->context)
        redis_drop(self, "end");
    uv_close((uv_handle_t *)&self->timer, on_closed);
}

void redis_flush(redis_t *self)
{
    if (self->context)
        redis_uv_flush(self->context);
}

size_t redis_calls(const redis_t *self)
{
    return self->calls;
}
