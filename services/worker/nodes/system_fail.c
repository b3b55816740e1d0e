/* system.fail: an engine that fails in the way it is told to, so that retries, dead letters and
 * alarms can be tried in earnest. */
#include "services/worker/engine.h"

#include "proto/codec.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { SIGNAL_MOST = 64 };

struct wish {
    const char *verdict;
    const char *message;
    uint64_t attempts, after_ms, exit, signal;
    bool after;
};

static int read_wish(engine_t *self, struct wish *ret_wish)
{
    ret_wish->message = "failed as it was told to";
    ret_wish->after = engine_given(self, "after_ms");
    int r = engine_text(self, "verdict", &ret_wish->verdict);
    if (r == 0 && engine_given(self, "message"))
        r = engine_text(self, "message", &ret_wish->message);
    if (r == 0)
        r = engine_whole(self, "attempts", 0, 1000, &ret_wish->attempts);
    if (r == 0 && ret_wish->after)
        r = engine_whole(self, "after_ms", 1, UINT32_MAX, &ret_wish->after_ms);
    if (r == 0)
        r = engine_whole(self, "exit", 0, 255, &ret_wish->exit);
    if (r == 0)
        r = engine_whole(self, "signal", 0, SIGNAL_MOST, &ret_wish->signal);
    return r;
}

static int complete(engine_t *self)
{
    engine_put_whole(self, "attempt", engine_count(self, "attempt"));
    engine_put_whole(self, "failures", engine_count(self, "failures"));
    engine_put_whole(self, "crashes", engine_count(self, "crashes"));
    return 0;
}

int system_fail(engine_t *self)
{
    struct wish wish = { 0 };
    int r = read_wish(self, &wish);
    if (r)
        return r;
    if (wish.attempts && engine_count(self, "attempt") > wish.attempts)
        return complete(self);
    if (wish.signal)
        (void)raise((int)wish.signal);
    if (wish.exit)
        exit((int)wish.exit); /* without a word of why */
    int64_t after_ms = wish.after ? (int64_t)wish.after_ms : -1;
    if (strcmp(wish.verdict, "failed") == 0)
        return engine_refuse(self, STATUS_FAILED, NULL, "%s", wish.message);
    if (strcmp(wish.verdict, "retry") == 0)
        return engine_retry(self, after_ms, "%s", wish.message);
    if (strcmp(wish.verdict, "snooze") == 0)
        return engine_snooze(self, wish.after ? after_ms : 1000);
    return engine_refuse(self, STATUS_INVALID, "verdict",
                         "verdict must be failed, retry or snooze");
}
