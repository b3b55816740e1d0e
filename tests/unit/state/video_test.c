#include "services/state/video.h"

#include "common/status.h"
#include "tests/unit/common/scratch.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <limits.h>

static char here[PATH_MAX];
static char given[PATH_MAX + 16];

static struct video video_of(const char *name, const char *id)
{
    struct video video = { .local = "local", .roots = here, .folder = -1 };
    (void)snprintf(given, sizeof given, "%s/%s", here, name);
    video.given = slice_of(given);
    (void)snprintf(video.id, sizeof video.id, "%s", id);
    return video;
}

static bool there(const char *path)
{
    return access(path, F_OK) == 0;
}

static void holds(const char *path, const char *text)
{
    char *found = scratch_read(path);
    CHECK_TEXT(found, text);
    free(found);
}

static int start(void **state)
{
    (void)state;
    scratch_enter("video_test");
    if (!realpath(".", here))
        abort();
    return 0;
}

static int leave(void **state)
{
    (void)state;
    return chdir("..");
}

TEST(an_id_is_its_token_as_a_uuid_of_version_4)
{
    UNUSED;
    unsigned char token[16];
    char id[VIDEO_ID_TEXT];
    memset(token, 0xff, sizeof token);
    video_id(token, id);
    CHECK_TEXT(id, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    memset(token, 0, sizeof token);
    video_id(token, id);
    CHECK_TEXT(id, "00000000-0000-4000-8000-000000000000");
}

TEST(a_file_is_taken_and_given_back)
{
    UNUSED;
    struct refusal why = { 0 };
    struct video video = video_of("a.mp4", "x");
    scratch_write("a.mp4", "film");
    CHECK_INT(video_take(&video, &why), 0);
    CHECK(video.moved && !there("a.mp4"));
    holds("local/videos/x/original.mp4", "film");
    CHECK_INT(video_give_back(&video), 0);
    CHECK(!there("local/videos/x"));
    holds("a.mp4", "film");
}

TEST(one_works_at_an_id_at_a_time)
{
    UNUSED;
    struct refusal why = { 0 };
    struct video first = video_of("a.mp4", "x");
    scratch_write("a.mp4", "film");
    CHECK_INT(video_take(&first, &why), 0);
    struct video second = first;
    second.folder = -1;
    second.moved = false;
    second.again = true;
    CHECK_INT(video_take(&second, &why), STATUS_BUSY);
    CHECK_TEXT(why.scope, "task");
    CHECK_INT(second.folder, -1);
    video_close(&first);
    why = (struct refusal){ 0 };
    CHECK_INT(video_take(&second, &why), 0);
    CHECK(!second.moved);
    CHECK_INT(video_give_back(&second), 0); /* it moved nothing */
    holds("local/videos/x/original.mp4", "film");
}

TEST(what_was_begun_is_gone_on_with)
{
    UNUSED;
    struct refusal why = { 0 };
    struct video video = video_of("gone.mp4", "x");
    CHECK_INT(video_take(&video, &why), STATUS_NOT_FOUND);
    CHECK_TEXT(why.field, "temp_file_path");
    CHECK(!there("local"));
    video.again = true;
    CHECK_INT(video_take(&video, &why), STATUS_NOT_FOUND);
    CHECK(!there("local"));
    CHECK(mkdir("local", 0700) == 0 && mkdir("local/videos", 0700) == 0 &&
          mkdir("local/videos/x", 0700) == 0);
    CHECK_INT(video_take(&video, &why), STATUS_NOT_FOUND);
    scratch_write("local/videos/x/original.mp4", "film");
    why = (struct refusal){ 0 };
    CHECK_INT(video_take(&video, &why), 0);
    CHECK(!video.moved);
    video_close(&video);
}

TEST(a_place_that_was_taken_meanwhile_stays)
{
    UNUSED;
    struct refusal why = { 0 };
    struct video video = video_of("a.mp4", "x");
    scratch_write("a.mp4", "film");
    CHECK_INT(video_take(&video, &why), 0);
    scratch_write("a.mp4", "another");
    CHECK_INT(video_give_back(&video), -EEXIST);
    holds("a.mp4", "another");
    holds("local/videos/x/original.mp4", "film");
}

TEST(what_is_no_video_of_a_root_is_refused)
{
    UNUSED;
    static const struct {
        const char *name;
        int status;
    } rows[] = {
        { "empty", STATUS_INVALID },  { "folder", STATUS_INVALID },
        { "link", STATUS_DENIED },    { "local/videos/y/original.mp4", STATUS_DENIED },
        { "none", STATUS_NOT_FOUND }, { "../video_test_outside", STATUS_DENIED },
        { "over/a", STATUS_DENIED },
    };
    scratch_write("a.mp4", "film");
    scratch_write("empty", "");
    CHECK(mkdir("folder", 0700) == 0 && symlink("a.mp4", "link") == 0 &&
          symlink("folder", "over") == 0);
    CHECK(mkdir("local", 0700) == 0 && mkdir("local/videos", 0700) == 0 &&
          mkdir("local/videos/y", 0700) == 0);
    scratch_write("local/videos/y/original.mp4", "film");
    scratch_write("folder/a", "film");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct refusal why = { 0 };
        struct video video = video_of(rows[i].name, "x");
        CHECK_INT(video_take(&video, &why), rows[i].status);
        CHECK_INT(why.status, rows[i].status);
        CHECK_TEXT(why.field, "temp_file_path");
        CHECK(!there("local/videos/x"));
    }
}

#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test##_holds, start, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(an_id_is_its_token_as_a_uuid_of_version_4),
        IN_A_FOLDER(a_file_is_taken_and_given_back),
        IN_A_FOLDER(one_works_at_an_id_at_a_time),
        IN_A_FOLDER(what_was_begun_is_gone_on_with),
        IN_A_FOLDER(a_place_that_was_taken_meanwhile_stays),
        IN_A_FOLDER(what_is_no_video_of_a_root_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
