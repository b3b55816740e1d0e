/* system.sleep: an engine that does nothing but take its time, so that time limits, kills and
 * failures can be seen without a codec. */
#include "services/worker/engine.h"

#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STEP_MS = 50 };

static int say(engine_t *self)
{
    const char *message = NULL;
    if (!engine_given(self, "message"))
        return 0;
    int r = engine_text(self, "message", &message);
    if (r == 0)
        (void)fprintf(stderr, "%s\n", message);
    return r;
}

int system_sleep(engine_t *self)
{
    double seconds = 0;
    uint64_t code = 0;
    int r = engine_number(self, "seconds", 0, 86400, &seconds);
    if (r == 0)
        r = engine_whole(self, "exit", 0, 255, &code);
    if (r == 0)
        r = say(self);
    if (r)
        return r;

    int64_t begin_ms = clock_ms();
    int64_t wanted_ms = (int64_t)(seconds * 1000);
    for (int64_t slept_ms = 0; slept_ms < wanted_ms; slept_ms = clock_ms() - begin_ms) {
        int64_t left_ms = wanted_ms - slept_ms;
        (void)usleep((useconds_t)(left_ms < STEP_MS ? left_ms : STEP_MS) * 1000);
        engine_progress(self, (double)slept_ms / (double)wanted_ms);
    }
    if (code)
        exit((int)code); /* without a word of why, as a crash would */
    engine_put_whole(self, "slept_ms", (uint64_t)(clock_ms() - begin_ms));
    return 0;
}
