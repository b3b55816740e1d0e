/* pack.h for tests written in Python:
 *
 *   pack_probe pack FORMAT LEVEL FOLDER OUT         OUT "-": bytes are counted and dropped
 *   pack_probe unpack ARCHIVE FOLDER FILES BYTES RATIO
 *
 * One line: RESULT FILES ORIGINAL PACKED SHA256, or RESULT and the message. With PACK_SINK=N the
 * sink answers BUSY at its Nth call, with PACK_STOP=N the Nth question whether to stop is answered
 * by yes, with PACK_TOUCH=FILE at half of the way a byte is added to FILE. */
#include "common/file.h"
#include "common/pack/pack.h"
#include "common/status.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct probe {
    int out; /* -1: none */
    long sink_left, stop_left;
    const char *touch;
    uint64_t moved, total;
};

static long number_of(const char *name)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : -1;
}

static int sink(void *arg, const void *bytes, size_t size)
{
    struct probe *self = arg;
    if (self->sink_left > 0 && --self->sink_left == 0)
        return STATUS_BUSY;
    if (self->out >= 0 && file_write(self->out, slice_make(bytes, size)))
        abort();
    return 0;
}

static bool stop(void *arg)
{
    struct probe *self = arg;
    return self->stop_left > 0 && --self->stop_left == 0;
}

static void moved(void *arg, uint64_t done, uint64_t total)
{
    struct probe *self = arg;
    if (done < self->moved || done > total)
        abort();
    self->moved = done;
    self->total = total;
    if (!self->touch || done < total / 2)
        return;
    const int file = open(self->touch, O_WRONLY | O_APPEND);
    if (file < 0 || write(file, "x", 1) != 1 || close(file))
        abort();
    self->touch = NULL;
}

static int pack(char **argv, struct probe *probe, struct pack_stats *stats, char *message)
{
    struct pack_row row = {
        .folder = argv[4], .sink = sink, .moved = moved, .stop = stop, .arg = probe
    };
    if (!pack_format_of(argv[2], &row.format) || !pack_level_of(argv[3], &row.level))
        abort();
    if (strcmp(argv[5], "-") != 0) {
        probe->out = open(argv[5], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (probe->out < 0)
            abort();
    }
    return pack_folder(&row, stats, message);
}

static int unpack_it(char **argv, struct probe *probe, struct pack_stats *stats, char *message)
{
    const struct unpack_row row = { .archive = argv[2],
                                    .folder = argv[3],
                                    .files_max = strtoull(argv[4], NULL, 10),
                                    .bytes_max = strtoull(argv[5], NULL, 10),
                                    .ratio_max = (uint32_t)strtoul(argv[6], NULL, 10),
                                    .moved = moved,
                                    .stop = stop,
                                    .arg = probe };
    return unpack(&row, stats, message);
}

int main(int argc, char **argv)
{
    struct probe probe = { .out = -1,
                           .sink_left = number_of("PACK_SINK"),
                           .stop_left = number_of("PACK_STOP"),
                           .touch = getenv("PACK_TOUCH") };
    struct pack_stats stats = { 0 };
    char message[PACK_MESSAGE];
    int r;
    if (argc == 6 && strcmp(argv[1], "pack") == 0) {
        r = pack(argv, &probe, &stats, message);
    } else if (argc == 7 && strcmp(argv[1], "unpack") == 0) {
        r = unpack_it(argv, &probe, &stats, message);
    } else {
        (void)fprintf(stderr, "usage: see pack_probe.c\n");
        return 2;
    }
    if (probe.out >= 0 && close(probe.out))
        abort();
    if (r)
        printf("%s %s\n", r > 0 ? status_name(r) : strerrorname_np(-r), message);
    else
        printf("OK %" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n", stats.files, stats.original_bytes,
               stats.packed_bytes, stats.sha256[0] ? stats.sha256 : "-");
    return 0;
}
