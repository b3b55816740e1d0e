#include "tests/unit/test.h"

#include "common/objects/objects_settings.h"
#include "common/scoped.h"
#include "common/status.h"

#include <errno.h>

static struct settings some(void)
{
    return (struct settings){ .objects_endpoint = "http://minio:9000",
                              .objects_region = "us-east-1",
                              .objects_access_key = "key",
                              .objects_secret_key = "secret",
                              .objects_bucket = "gantry",
                              .objects_ca_file = "",
                              .objects_timeout_ms = 30000,
                              .objects_tries = 5,
                              .objects_part_bytes = 8388608,
                              .objects_parallel = 3 };
}

TEST(settings_make_a_store)
{
    UNUSED;
    const struct settings settings = some();
    char why[256] = "";
    char url[OBJECTS_URL_MAX];
    scoped(objects) objects = NULL;
    CHECK_INT(objects_of_settings(&settings, &objects, why), 0);
    CHECK_INT(objects_url(objects, "gantry", "a b", url), 0);
    CHECK_TEXT(url, "http://minio:9000/gantry/a%20b");
    CHECK_TEXT(objects_error(objects), "");
}

TEST(what_is_said_of_one_call_is_not_said_of_the_next)
{
    UNUSED;
    struct settings settings = some();
    char why[256] = "";
    struct object_info info;
    scoped(objects) objects = NULL;
    settings.objects_endpoint = "http://127.0.0.1:1"; /* where nobody is */
    settings.objects_tries = 1;
    CHECK_INT(objects_of_settings(&settings, &objects, why), 0);
    CHECK_INT(objects_head(objects, "gantry", "a", &info), STATUS_UNAVAILABLE);
    CHECK(strstr(objects_error(objects), "127.0.0.1"));
    CHECK(strstr(objects_error_outside(objects), "cannot be reached"));
    CHECK(!strstr(objects_error_outside(objects), "127.0.0.1"));
    const struct objects_put put = { .bucket = "gantry", .key = "a" };
    CHECK_INT(objects_put_file(objects, &put, "no such file", &info), -ENOENT);
    CHECK_TEXT(objects_error(objects), "");
    CHECK_TEXT(objects_error_outside(objects), "");
}

TEST(no_endpoint_is_no_store)
{
    UNUSED;
    struct settings settings = some();
    char why[256] = "";
    scoped(objects) objects = NULL;
    settings.objects_endpoint = "";
    CHECK_INT(objects_of_settings(&settings, &objects, why), STATUS_UNSUPPORTED);
    CHECK_TEXT(why, "no object store is configured: set objects.endpoint");
    CHECK(!objects);
}

static void refused(const struct settings *settings, const char *word)
{
    char why[256] = "";
    scoped(objects) objects = NULL;
    CHECK_INT(objects_of_settings(settings, &objects, why), STATUS_INVALID);
    CHECK(strstr(why, word));
}

TEST(settings_that_cannot_be_are_named)
{
    UNUSED;
    struct settings settings = some();
    settings.objects_endpoint = "minio:9000";
    refused(&settings, "objects.endpoint");
    settings = some();
    settings.objects_access_key = "";
    refused(&settings, "objects.access_key");
    settings = some();
    settings.objects_bucket = "No";
    refused(&settings, "objects.bucket");
    settings = some();
    settings.objects_region = "a b";
    refused(&settings, "objects.region");
    settings = some();
    settings.objects_secret_key = "a\nb";
    refused(&settings, "secret_key");
}

TEST(a_call_that_cannot_be_is_refused_before_anything_is_sent)
{
    UNUSED;
    const struct settings settings = some();
    char why[256];
    char url[OBJECTS_URL_MAX] = "untouched";
    struct object_info info;
    uint64_t count = 0;
    scoped(objects) objects = NULL;
    CHECK_INT(objects_of_settings(&settings, &objects, why), 0);
    CHECK_INT(objects_head(objects, "NO", "k", &info), STATUS_INVALID);
    CHECK(strstr(objects_error(objects), "bucket"));
    CHECK_INT(objects_head(objects, "yes", "../k", &info), STATUS_INVALID);
    CHECK(strstr(objects_error(objects), "key"));
    CHECK_INT(objects_delete_prefix(objects, "yes", "", &count), STATUS_INVALID);
    CHECK(strstr(objects_error(objects), "prefix"));
    static const struct objects_link links[] = { { "GET", "", "yes", "k", 0 },
                                                 { "GET", "", "yes", "k", 604801 },
                                                 { "GET", "minio", "yes", "k", 1 },
                                                 { "GET", "", "NO", "k", 1 },
                                                 { "GET", "", "yes", "/k", 1 } };
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        CHECK_INT(objects_presign(objects, &links[i], url), STATUS_INVALID);
    CHECK_INT(objects_url(objects, "yes", "/k", url), STATUS_INVALID);
    CHECK_TEXT(url, "untouched");
}

TEST(only_buckets_of_the_settings_are_allowed)
{
    UNUSED;
    static const struct {
        const char *buckets, *bucket;
        bool allowed;
    } rows[] = {
        { "", "gantry", true },   { "a,b", "gantry", true }, { "a,b", "a", true },
        { " a , b ", "b", true }, { "a,b", "c", false },     { "", "", false },
        { "a,,b", "", false },    { "ab", "a", false },      { "a", "ab", false },
        { "a b,c", "a b", true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct settings settings = { .objects_bucket = "gantry",
                                           .objects_buckets = rows[i].buckets };
        CHECK_INT(objects_bucket_allowed(&settings, rows[i].bucket), rows[i].allowed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(settings_make_a_store),
        HOLDS(what_is_said_of_one_call_is_not_said_of_the_next),
        HOLDS(no_endpoint_is_no_store),
        HOLDS(settings_that_cannot_be_are_named),
        HOLDS(only_buckets_of_the_settings_are_allowed),
        HOLDS(a_call_that_cannot_be_is_refused_before_anything_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
