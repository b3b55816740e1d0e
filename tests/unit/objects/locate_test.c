#include "tests/unit/test.h"

#include "common/objects/locate.h"
#include "common/status.h"

static int located(const char *text, char bucket[OBJECTS_BUCKET_MAX + 1],
                   char key[OBJECTS_KEY_MAX + 1])
{
    struct endpoint endpoint;
    CHECK(endpoint_read(SLICE("http://minio:9000"), &endpoint));
    return locate(&endpoint, "default", slice_of(text), bucket, key);
}

TEST(each_way_to_name_an_object_names_it)
{
    UNUSED;
    static const struct {
        const char *text, *bucket, *key;
    } rows[] = {
        { "minio://videos/a/b.mp4", "videos", "a/b.mp4" },
        { "MINIO://videos/a", "videos", "a" },
        { "s3://videos/a b%20.mp4", "videos", "a b%20.mp4" },
        { "http://minio:9000/videos/a/%E4%B8%AD%20x.mp4", "videos", "a/中 x.mp4" },
        { "http://MINIO:9000/videos/a?X-Amz-Signature=1/2", "videos", "a" },
        { "http://minio:9000/videos/a#end", "videos", "a" },
        { "http://minio:9000/videos/a%3Fb+c", "videos", "a?b+c" },
        { "job1/frames/", "default", "job1/frames/" },
        { "a:b", "default", "a:b" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char bucket[OBJECTS_BUCKET_MAX + 1];
        char key[OBJECTS_KEY_MAX + 1];
        CHECK_INT(located(rows[i].text, bucket, key), 0);
        CHECK_TEXT(bucket, rows[i].bucket);
        CHECK_TEXT(key, rows[i].key);
    }
}

TEST(what_names_no_object_is_invalid)
{
    UNUSED;
    static const char *const texts[] = { "",
                                         "/a",
                                         "minio://videos",
                                         "minio://videos/",
                                         "minio://V/a",
                                         "s3:///a",
                                         "s3://videos//a",
                                         "minio://videos/../a",
                                         "http://minio:9000",
                                         "http://minio:9000/",
                                         "http://minio:9000/videos",
                                         "http://minio:9000/videos/",
                                         "http://minio:9000/videos/%2e%2e/a",
                                         "http://minio:9000/videos/a%00b",
                                         "http://minio:9000/videos/a%2",
                                         "http://minio:9000/videos/%2Fa",
                                         "http://",
                                         "https://",
                                         "a/../b" };
    char bucket[OBJECTS_BUCKET_MAX + 1] = "untouched";
    char key[OBJECTS_KEY_MAX + 1] = "untouched";
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        CHECK_INT(located(texts[i], bucket, key), STATUS_INVALID);
    CHECK_TEXT(bucket, "untouched");
    CHECK_TEXT(key, "untouched");
}

TEST(another_server_is_not_ours)
{
    UNUSED;
    static const char *const texts[] = {
        "http://minio:9001/videos/a", "https://minio:9000/videos/a",
        "http://minio/videos/a",      "http://minio.example:9000/videos/a",
        "ftp://minio:9000/videos/a",  "file:///etc/passwd"
    };
    char bucket[OBJECTS_BUCKET_MAX + 1];
    char key[OBJECTS_KEY_MAX + 1];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        CHECK_INT(located(texts[i], bucket, key), STATUS_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(each_way_to_name_an_object_names_it),
        HOLDS(what_names_no_object_is_invalid),
        HOLDS(another_server_is_not_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
