/* A folder packed into a writer of the object store, in one process, as engines do it:
 *
 *   gantry-bench-upload FOLDER BUCKET KEY FORMAT LEVEL       KEY "-": packed, and dropped
 *
 * The store is that of BENCH_ENDPOINT, BENCH_ACCESS_KEY and BENCH_SECRET_KEY. Says one line of
 * JSON.
 */
#include "common/clock.h"
#include "common/objects/objects.h"
#include "common/pack/pack.h"
#include "common/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 30000, TRIES = 5, PART_BYTES = 8 << 20, PARALLEL = 3 }; /* our defaults */

struct upload {
    objects_t *objects;
    objects_writer_t *writer; /* NULL: dropped */
};

static int take(void *arg, const void *bytes, size_t size)
{
    struct upload *self = arg;
    return self->writer ? objects_write(self->writer, bytes, size) : 0;
}

static int trouble(const char *what, int result, const char *why)
{
    (void)fprintf(stderr, "%s: %s: %s\n", what,
                  result > 0 ? status_name(result) : strerror(-result), why);
    return 1;
}

static int begin(struct upload *self, const char *bucket, const char *key)
{
    const struct objects_row row = { .endpoint = getenv("BENCH_ENDPOINT"),
                                     .region = "us-east-1",
                                     .access_key = getenv("BENCH_ACCESS_KEY"),
                                     .secret_key = getenv("BENCH_SECRET_KEY"),
                                     .ca_file = "",
                                     .timeout_ms = TIMEOUT_MS,
                                     .tries = TRIES,
                                     .part_bytes = PART_BYTES,
                                     .parallel = PARALLEL };
    const struct objects_put put = {
        .bucket = bucket, .key = key, .content_type = "application/zip", .resume = ""
    };
    if (!row.endpoint || !row.access_key || !row.secret_key)
        return STATUS_INVALID;
    int r = objects_new(&row, &self->objects);
    return r ? r : objects_writer_new(self->objects, &put, &self->writer);
}

/* The most memory that was ever in use, in KiB. */
static long peak(void)
{
    char line[256];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    if (file)
        (void)fclose(file);
    return kib;
}

static int upload(struct upload *self, const struct pack_row *row, bool dropped)
{
    char message[PACK_MESSAGE];
    struct pack_stats stats = { 0 };
    struct object_info info = { 0 };
    const int64_t begun = clock_ns();
    int r = pack_folder(row, &stats, message);
    if (r)
        return trouble("pack", r, self->objects ? objects_error(self->objects) : message);
    r = dropped ? 0 : objects_writer_end(&self->writer, &info);
    if (r)
        return trouble("upload", r, objects_error(self->objects));
    if (!dropped && strcmp(info.sha256, stats.sha256) != 0)
        return trouble("upload", STATUS_CONFLICT, "it is not what was packed");
    printf("{\"seconds\": %.3f, \"files\": %" PRIu64 ", \"original\": %" PRIu64
           ", \"packed\": %" PRIu64 ", \"sha256\": \"%s\", \"peak_kib\": %ld}\n",
           (double)(clock_ns() - begun) / 1e9, stats.files, stats.original_bytes,
           stats.packed_bytes, stats.sha256, peak());
    return 0;
}

int main(int argc, char **argv)
{
    struct upload self = { 0 };
    struct pack_row row = { .sink = take, .arg = &self };
    if (argc != 6 || !pack_format_of(argv[4], &row.format) || !pack_level_of(argv[5], &row.level)) {
        (void)fprintf(stderr, "usage: gantry-bench-upload FOLDER BUCKET KEY FORMAT LEVEL\n");
        return 2;
    }
    const bool dropped = strcmp(argv[3], "-") == 0;
    int r = dropped ? 0 : begin(&self, argv[2], argv[3]);
    if (r)
        return trouble("begin", r, self.objects ? objects_error(self.objects) : "");
    row.folder = argv[1];
    r = upload(&self, &row, dropped);
    objects_writer_abort(&self.writer, false);
    objects_destroy(&self.objects);
    return r;
}
