#include "services/front/metrics_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct figure {
    const char *name, *type, *help;
    uint64_t value;
};

static void put(FILE *out, const struct figure *figure)
{
    (void)fprintf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", figure->name, figure->help,
                  figure->name, figure->type, figure->name, figure->value);
}

/* One family; name is that of the label "state". */
struct part {
    const char *state;
    uint64_t value;
};

static void put_parts(FILE *out, const struct figure *family, const struct part *parts,
                      size_t count)
{
    (void)fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help, family->name,
                  family->type);
    for (size_t i = 0; i < count; i++)
        (void)fprintf(out, "%s{state=\"%s\"} %" PRIu64 "\n", family->name, parts[i].state,
                      parts[i].value);
}

static void put_ledger(FILE *out, const struct m_ledger *ledger)
{
    const struct figure stages = { "gantry_stages", "gauge", "stages that have not ended", 0 };
    const struct part now[] = { { "scheduled", ledger->scheduled },
                                { "pending", ledger->pending },
                                { "running", ledger->running } };
    const struct figure ended = { "gantry_stages_ended_total", "counter", "stages that have ended",
                                  0 };
    const struct part ends[] = { { "completed", ledger->completed },
                                 { "skipped", ledger->skipped },
                                 { "failed", ledger->failed },
                                 { "quarantined", ledger->quarantined },
                                 { "cancelled", ledger->cancelled } };
    const struct figure rest[] = {
        { "gantry_stages_accepted_total", "counter", "stages ever queued or scheduled",
          ledger->accepted },
        { "gantry_ledger_balanced", "gauge", "1: what was accepted is all accounted for",
          ledger->balanced },
        { "gantry_dead_letters", "gauge", "stages nobody replayed or purged", ledger->dead },
        { "gantry_retries_total", "counter", "attempts that failed and were followed by another",
          ledger->retries },
        { "gantry_crashes_total", "counter", "leases lost with a stage", ledger->crashes },
        { "gantry_requeues_total", "counter", "stages that went back to their queue",
          ledger->requeues },
        { "gantry_audits_total", "counter", "passes of the audit that ended", ledger->audits },
        { "gantry_repaired_total", "counter", "stages that audits repaired", ledger->repaired },
    };
    put_parts(out, &stages, now, sizeof now / sizeof *now);
    put_parts(out, &ended, ends, sizeof ends / sizeof *ends);
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        put(out, &rest[i]);
}

static void put_disk(FILE *out, const struct m_disk_use *disk)
{
    const struct figure space[] = {
        { "gantry_disk_total_bytes", "gauge", "size of the shared disk", disk->total_bytes },
        { "gantry_disk_free_bytes", "gauge", "available on the shared disk", disk->free_bytes },
        { "gantry_disk_low_bytes", "gauge", "below that what needs space is refused",
          disk->low_bytes },
        { "gantry_disk_high_bytes", "gauge", "at that it is taken again", disk->high_bytes },
        { "gantry_disk_refusing", "gauge", "1: what needs space is refused", disk->refusing },
        { "gantry_disk_refused_total", "counter",
          "tasks refused so, by the state service that answered", disk->refused },
    };
    const struct figure folders[] = {
        { "gantry_disk_folders", "gauge", "folders of tasks", disk->folders },
        { "gantry_disk_bytes", "gauge", "bytes in folders of tasks", disk->bytes },
        { "gantry_disk_trash_bytes", "gauge", "bytes in the trash", disk->trash_bytes },
        { "gantry_disk_measured_seconds", "gauge",
          "when the folders were looked at, seconds since 1970", disk->measured_ms / 1000 },
    };
    for (size_t i = 0; i < sizeof space / sizeof *space; i++)
        put(out, &space[i]);
    for (size_t i = 0; disk->measured_ms && i < sizeof folders / sizeof *folders; i++)
        put(out, &folders[i]);
}

char *metrics_text(const struct m_ledger *ledger, const struct m_disk_use *disk)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    put_ledger(out, ledger);
    if (disk)
        put_disk(out, disk);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}
