/* fetch.h for tests written in Python:
 *
 *   fetch_probe URL PATH ALLOW OWNED BYTES_MAX TIMEOUT_MS TRIES
 *
 * One line: OK BYTES SHA256 DONE TOTAL (as progress was told last), or RESULT and the message. With
 * FETCH_STOP=N the Nth question whether to stop is answered by yes. */
#include "common/status.h"
#include "services/worker/fetch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct probe {
    long stop_left;
    uint64_t done, total;
};

static bool stop(void *arg)
{
    struct probe *self = arg;
    return self->stop_left > 0 && --self->stop_left == 0;
}

static void moved(void *arg, uint64_t done, uint64_t total)
{
    struct probe *self = arg;
    self->done = done;
    self->total = total;
}

int main(int argc, char **argv)
{
    const char *text = getenv("FETCH_STOP");
    struct probe probe = { .stop_left = text ? strtol(text, NULL, 10) : -1 };
    struct fetched fetched = { 0 };
    char message[FETCH_MESSAGE];
    if (argc != 8) {
        (void)fprintf(stderr, "usage: see fetch_probe.c\n");
        return 2;
    }
    const struct fetch_row row = { .url = argv[1],
                                   .path = argv[2],
                                   .allow = argv[3],
                                   .owned = strcmp(argv[4], "yes") == 0,
                                   .bytes_max = strtoull(argv[5], NULL, 10),
                                   .timeout_ms = strtoll(argv[6], NULL, 10),
                                   .tries = (uint32_t)strtoul(argv[7], NULL, 10),
                                   .moved = moved,
                                   .stop = stop,
                                   .arg = &probe };
    const int r = fetch(&row, &fetched, message);
    if (r)
        printf("%s %s\n", r > 0 ? status_name(r) : strerrorname_np(-r), message);
    else
        printf("OK %" PRIu64 " %s %" PRIu64 " %" PRIu64 "\n", fetched.bytes, fetched.sha256,
               probe.done, probe.total);
    return 0;
}
