#include "common/objects/objects_settings.h"

#include "common/log.h"
#include "common/objects/name.h"
#include "common/scoped.h"
#include "common/status.h"

#include <errno.h>
#include <stdio.h>

/* Which of them cannot be, as objects_new() sees it. */
static const char *fault(const struct settings *settings)
{
    struct endpoint endpoint;
    if (!endpoint_read(slice_of(settings->objects_endpoint), &endpoint))
        return "objects.endpoint must be http://host:port or https://host:port, without a path";
    if (!settings->objects_access_key[0] || !settings->objects_secret_key[0])
        return "objects.endpoint needs objects.access_key and objects.secret_key";
    if (!objects_bucket_valid(settings->objects_bucket))
        return "objects.bucket must be 3 to 63 of a-z 0-9 . -";
    return NULL;
}

int objects_of_settings(const struct settings *settings, objects_t **ret_objects, char ret_why[256])
{
    if (!settings->objects_endpoint[0]) {
        (void)snprintf(ret_why, 256, "no object store is configured: set objects.endpoint");
        return STATUS_UNSUPPORTED;
    }
    const char *why = fault(settings);
    const struct objects_row row = {
        .endpoint = settings->objects_endpoint,
        .region = settings->objects_region,
        .access_key = settings->objects_access_key,
        .secret_key = settings->objects_secret_key,
        .ca_file = settings->objects_ca_file,
        .timeout_ms = settings->objects_timeout_ms,
        .tries = (uint32_t)settings->objects_tries,
        .part_bytes = (uint64_t)settings->objects_part_bytes,
        .parallel = (uint32_t)settings->objects_parallel,
    };
    int r = why ? STATUS_INVALID : objects_new(&row, ret_objects);
    if (r == STATUS_INVALID)
        (void)snprintf(ret_why, 256, "%s",
                       why ? why
                           : "objects.region, access_key and secret_key must be one word each");
    return r;
}

int objects_settings_check(const struct settings *settings)
{
    char why[256] = "";
    scoped(objects) objects = NULL;
    const int r = objects_of_settings(settings, &objects, why);
    if (r == 0 || r == STATUS_UNSUPPORTED)
        return 0;
    log_event(LOG_LEVEL_ERROR, "start_failed", "why=%s", *why ? why : strerror(-r));
    return r < 0 ? r : -EINVAL;
}

bool objects_bucket_allowed(const struct settings *settings, const char *bucket)
{
    struct slice rest = slice_of(settings->objects_buckets);
    bool allowed = strcmp(bucket, settings->objects_bucket) == 0;
    while (!allowed && rest.size) {
        struct slice name = slice_until(rest, ',', &rest);
        while (name.size && *(const char *)name.data == ' ')
            name = slice_make((const char *)name.data + 1, name.size - 1);
        while (name.size && ((const char *)name.data)[name.size - 1] == ' ')
            name.size--;
        allowed = name.size && slice_is(name, bucket);
    }
    return allowed;
}
