#include "common/objects/wire.h"

#include "common/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum { TURN_MS = 100, AWAY_MS = 1000 };

bool watch_stops(const struct objects_watch *watch)
{
    return watch && watch->stop && watch->stop(watch->arg);
}

void watch_moved(const struct objects_watch *watch, uint64_t bytes)
{
    if (watch && watch->moved && bytes > 0)
        watch->moved(watch->arg, bytes);
}

void wire_hush(struct wire *self)
{
    self->error[0] = '\0';
    self->link[0] = '\0';
}

void wire_say(struct wire *self, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(self->error, sizeof self->error, format, args);
    va_end(args);
    self->link[0] = '\0';
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* A caller that was away for long (it reads a slow disk) has not let bytes move: that is no silence
 * of the store's. */
static void forgive_absence(struct wire *self, int64_t now_ms)
{
    const int64_t away = now_ms - self->turned_ms;
    if (away < AWAY_MS)
        return;
    for (struct exchange *one = self->first; one; one = one->next) {
        one->moved_ms = earlier(one->moved_ms + away, now_ms);
        one->asked_ms = earlier(one->asked_ms + away, now_ms);
    }
}

static void end_those_done(struct wire *self)
{
    int left;
    for (CURLMsg *message = curl_multi_info_read(self->multi, &left); message;
         message = curl_multi_info_read(self->multi, &left)) {
        char *exchange = NULL;
        const CURLcode code = message->data.result;
        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &exchange) == CURLE_OK)
            exchange_on_end((struct exchange *)(void *)exchange, code);
    }
}

static int64_t until_due_ms(const struct wire *self, int64_t now_ms, int64_t wait_ms)
{
    for (const struct exchange *one = self->first; one; one = one->next)
        if (one->state == EXCHANGE_WAITS)
            wait_ms = earlier(wait_ms, one->due_ms - now_ms);
    return wait_ms;
}

static size_t count_ended(const struct wire *self)
{
    size_t count = 0;
    for (const struct exchange *one = self->first; one; one = one->next)
        count += one->state == EXCHANGE_ENDED;
    return count;
}

int wire_turn(struct wire *self, int wait_ms)
{
    int running;
    int64_t now_ms = clock_ms();
    const size_t ended = count_ended(self);
    if (self->driving)
        return -EDEADLK;
    forgive_absence(self, now_ms);
    self->driving = true;
    const CURLMcode driven = curl_multi_perform(self->multi, &running);
    self->driving = false;
    if (driven)
        return driven == CURLM_OUT_OF_MEMORY ? -ENOMEM : -EIO;
    end_those_done(self);
    now_ms = clock_ms();
    self->turned_ms = now_ms;
    for (struct exchange *one = self->first; one; one = one->next)
        exchange_tick(one, now_ms);
    const int64_t wait = until_due_ms(self, now_ms, earlier(wait_ms, TURN_MS));
    if (wait > 0 && count_ended(self) == ended)
        (void)curl_multi_poll(self->multi, NULL, 0, (int)wait, NULL);
    return 0;
}

int wire_pause(struct wire *self, int64_t wait_ms, const struct objects_watch *watch)
{
    const int64_t end_ms = clock_ms() + wait_ms;
    int r = 0;
    for (int64_t now_ms = clock_ms(); r == 0 && now_ms < end_ms; now_ms = clock_ms())
        r = watch_stops(watch) ? -ECANCELED : wire_turn(self, (int)(end_ms - now_ms));
    return r;
}
