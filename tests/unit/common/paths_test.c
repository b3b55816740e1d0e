#include "common/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/status.h"
#include "tests/unit/common/scratch.h"
#include "tests/unit/test.h"

static char here[PATH_MAX]; /* the scratch folder */

static const char *at(const char *name)
{
    static char paths[4][2 * PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", here, name);
    return path;
}

TEST(an_id_is_letters_digits_dot_dash_underscore)
{
    UNUSED;
    char longest[TASK_ID_MAX + 1];
    memset(longest, 'a', sizeof longest);
    CHECK(task_id_valid(SLICE("a")));
    CHECK(task_id_valid(SLICE("9-A_b.c")));
    CHECK(task_id_valid(SLICE("a.b.")));
    CHECK(task_id_valid(slice_make(longest, TASK_ID_MAX)));
    CHECK(!task_id_valid(slice_make(longest, TASK_ID_MAX + 1)));
    const struct slice wrong[] = {
        SLICE_INIT(""),     SLICE_INIT("."),   SLICE_INIT(".."),      SLICE_INIT("../x"),
        SLICE_INIT("a..b"), SLICE_INIT("a/b"), SLICE_INIT("_a"),      SLICE_INIT("-a"),
        SLICE_INIT(".a"),   SLICE_INIT("a b"), SLICE_INIT("pending"), SLICE_INIT("a\0b"),
        SLICE_INIT("a\n"),  SLICE_INIT("ä"),   SLICE_INIT("a\0"),     { NULL, 0 },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK(!task_id_valid(wrong[i]));
}

TEST(a_task_name_is_service_dot_verb)
{
    UNUSED;
    CHECK(task_name_valid(SLICE("ffmpeg.extract_audio")));
    CHECK_SLICE(task_name_service(SLICE("ffmpeg.extract_audio")), "ffmpeg");
    CHECK(task_name_valid(SLICE("a.b")));
    CHECK(task_name_valid(SLICE("a2345678901234567890123456789012.b")));
    const struct slice wrong[] = {
        SLICE_INIT(""),
        SLICE_INIT("ffmpeg"),
        SLICE_INIT(".b"),
        SLICE_INIT("a."),
        SLICE_INIT("a.b.c"),
        SLICE_INIT("A.b"),
        SLICE_INIT("a.b-c"),
        SLICE_INIT("a.b\0"),
        SLICE_INIT("../a"),
        SLICE_INIT("a/b.c"),
        { NULL, 0 },
        SLICE_INIT("a23456789012345678901234567890123.b"),
        SLICE_INIT("a.b3456789012345678901234567890123456789012345678901234567890123x"),
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(!task_name_valid(wrong[i]));
        CHECK(task_name_service(wrong[i]).data == NULL);
    }
    CHECK(service_valid(SLICE("system")));
    CHECK(!service_valid(SLICE("")));
    CHECK(!service_valid(SLICE("sys.tem")));
}

TEST(a_plain_path_stays_beneath_its_folder)
{
    UNUSED;
    char longest[NAME_MAX + 5];
    memset(longest, 'a', sizeof longest);
    longest[NAME_MAX] = '\0';
    CHECK(paths_plain(longest));
    (void)snprintf(longest + NAME_MAX, 5, "/b");
    CHECK(paths_plain(longest));
    (void)snprintf(longest + NAME_MAX, 5, "a/b");
    CHECK(!paths_plain(longest));
    CHECK_INT(paths_above("a/b/", 4) + 10 * paths_above("/a//b", 5) + 100 * paths_above("a", 1),
              2 + 40);
    static const char *const good[] = { "a", "a/b", ".a/..b/c..", "...", " ", "a\\b", "中/文" };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(paths_plain(good[i]));
    static const char *const wrong[] = { "",    ".",   "..",   "/",    "/a",    "a/",
                                         "./a", "../", "a/..", "a//b", "a/./b", "a/../b" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK(!paths_plain(wrong[i]));
}

/* inputs/: a task's folder "task", a root "videos", and what lies outside of both. */
static void lay_out_inputs(void)
{
    CHECK_INT(mkdir("in", 0700) | mkdir("in/task", 0700) | mkdir("in/task/sub", 0700), 0);
    CHECK_INT(mkdir("in/videos", 0700) | mkdir("in/videos-x", 0700), 0);
    scratch_write("in/task/a.mp4", "a");
    scratch_write("in/task/sub/b.mp4", "b");
    scratch_write("in/videos/v.mp4", "v");
    scratch_write("in/videos-x/secret", "s");
    CHECK_INT(symlink("a.mp4", "in/task/link.mp4"), 0);
    CHECK_INT(symlink("../videos-x", "in/task/away"), 0);
    CHECK_INT(symlink("videos", "in/alias"), 0);
    CHECK_INT(mkfifo("in/task/fifo", 0600), 0);
}

TEST(an_input_is_found_beneath_the_task_or_a_root_and_nowhere_else)
{
    UNUSED;
    lay_out_inputs();
    char folder[PATH_MAX];
    char roots[3 * PATH_MAX];
    (void)snprintf(folder, sizeof folder, "%s", at("in/task"));
    (void)snprintf(roots, sizeof roots, "%s,,%s", at("in/none"), at("in/videos"));
    const struct {
        const char
            *given; /* absolute when it starts with '@', which stands for the scratch folder */
        bool folder_wanted;
        int result;
        const char *found;
    } rows[] = {
        { "a.mp4", false, 0, "in/task/a.mp4" },
        { "./sub//b.mp4", false, 0, "in/task/sub/b.mp4" },
        { "sub/../a.mp4", false, 0, "in/task/a.mp4" },
        { "sub", true, 0, "in/task/sub" },
        { ".", true, 0, "in/task" },
        { "@/in/task/a.mp4", false, 0, "in/task/a.mp4" },
        { "@/in/task//sub/b.mp4", false, 0, "in/task/sub/b.mp4" },
        { "@/in/videos/v.mp4", false, 0, "in/videos/v.mp4" },
        { "@/in/videos/", true, 0, "in/videos" },
        { "none.mp4", false, STATUS_NOT_FOUND, NULL },
        { "a.mp4/x", false, STATUS_NOT_FOUND, NULL },
        { "@/in/task/none", false, STATUS_NOT_FOUND, NULL },
        { "@/in/videos/none", false, STATUS_NOT_FOUND, NULL },
        { "../videos/v.mp4", false, STATUS_DENIED, NULL },
        { "../../../../etc/passwd", false, STATUS_DENIED, NULL },
        { "/etc/passwd", false, STATUS_DENIED, NULL },
        { "@/in/videos-x/secret", false, STATUS_DENIED, NULL },
        { "@/in/videos/../videos-x/secret", false, STATUS_DENIED, NULL },
        { "@/in/task/../videos-x/secret", false, STATUS_DENIED, NULL },
        { "link.mp4", false, STATUS_DENIED, NULL },
        { "away/secret", false, STATUS_DENIED, NULL },
        { "@/in/task/away/secret", false, STATUS_DENIED, NULL },
        { "@/in/alias/v.mp4", false, STATUS_DENIED, NULL },
        { "/", true, STATUS_DENIED, NULL },
        { "sub", false, STATUS_INVALID, NULL },
        { "a.mp4", true, STATUS_INVALID, NULL },
        { "fifo", false, STATUS_INVALID, NULL },
        { "", false, STATUS_INVALID, NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *given = rows[i].given;
        char path[PATH_MAX] = "as it was";
        struct slice slice = slice_of(*given == '@' ? at(given + 2) : given);
        CHECK_INT(paths_resolve_input(folder, roots, slice, rows[i].folder_wanted, path),
                  rows[i].result);
        CHECK_TEXT(path, rows[i].found ? at(rows[i].found) : "as it was");
    }
}

TEST(an_input_that_is_no_path_is_refused)
{
    UNUSED;
    char path[PATH_MAX];
    char huge[PATH_MAX + 8];
    memset(huge, 'a', sizeof huge);
    CHECK_INT(paths_resolve_input(here, "", slice_make("a\0b", 3), false, path), STATUS_INVALID);
    CHECK_INT(paths_resolve_input(here, "", slice_make(huge, sizeof huge), false, path),
              STATUS_INVALID);
    CHECK_INT(paths_resolve_input(here, "", slice_make(huge, 300), false, path), STATUS_INVALID);
    CHECK_INT(paths_resolve_input(at("missing"), "", SLICE("a"), false, path), -ENOENT);
}

TEST(a_root_may_be_spelt_through_a_link)
{
    UNUSED;
    char path[PATH_MAX];
    char root[2 * PATH_MAX];
    (void)snprintf(root, sizeof root, "%s", at("in/alias"));
    CHECK_INT(paths_resolve_input(at("in/task"), root, slice_of(at("in/alias/v.mp4")), false, path),
              0);
    CHECK_TEXT(path, at("in/videos/v.mp4"));
    CHECK_INT(
        paths_resolve_input(at("in/task"), root, slice_of(at("in/videos/v.mp4")), false, path), 0);
    CHECK_INT(paths_resolve_input(at("in/task"), "in/videos", slice_of(at("in/videos/v.mp4")),
                                  false, path),
              0);
}

int main(void)
{
    scratch_enter("paths_test.d");
    if (!realpath(".", here))
        return 1;
    const struct CMUnitTest tests[] = {
        HOLDS(an_id_is_letters_digits_dot_dash_underscore),
        HOLDS(a_task_name_is_service_dot_verb),
        HOLDS(a_plain_path_stays_beneath_its_folder),
        HOLDS(an_input_is_found_beneath_the_task_or_a_root_and_nowhere_else),
        HOLDS(an_input_that_is_no_path_is_refused),
        HOLDS(a_root_may_be_spelt_through_a_link),
    };
    return cmocka_run_group_tests_name("paths", tests, NULL, NULL);
}
