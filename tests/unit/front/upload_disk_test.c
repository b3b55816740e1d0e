#include "services/front/upload_disk.h"

#include "common/scoped.h"
#include "common/status.h"
#include "tests/unit/common/scratch.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct upload_about about_of(const char *id)
{
    struct upload_about about = {
        .bucket = "gantry", .content_type = "video/mp4", .size = 5, .resumable = true
    };
    (void)snprintf(about.id, sizeof about.id, "%s", id);
    (void)snprintf(about.file_path, sizeof about.file_path, "videos/a.mp4");
    return about;
}

/* An empty shared disk. */
static const char *fresh(void)
{
    static char root[PATH_MAX];
    static unsigned count;
    (void)snprintf(root, sizeof root, "%u", ++count);
    CHECK_INT(mkdir(root, 0700), 0);
    return root;
}

static int make(const char *root, const char *id)
{
    const struct upload_about about = about_of(id);
    int file = -1;
    CHECK_INT(upload_disk_make(root, &about, &file), 0);
    return file;
}

TEST(an_upload_is_found_again_with_all_that_is_known_of_it)
{
    UNUSED;
    const char *root = fresh();
    struct upload_about about;
    scoped_fd int file = make(root, "one");
    CHECK_INT(write(file, "abc", 3), 3);
    CHECK_INT(upload_disk_look(root, "one", &about), 0);
    CHECK_TEXT(about.id, "one");
    CHECK_TEXT(about.file_path, "videos/a.mp4");
    CHECK_TEXT(about.bucket, "gantry");
    CHECK_TEXT(about.content_type, "video/mp4");
    CHECK_INT(about.size, 5);
    CHECK_INT(about.offset, 3);
    CHECK(about.resumable && !about.submitted && !about.handed);
    CHECK_INT(upload_disk_look(root, "two", &about), STATUS_NOT_FOUND);
    CHECK_INT(upload_disk_look(root, "..", &about), STATUS_NOT_FOUND);
}

TEST(one_writes_at_a_time)
{
    UNUSED;
    const char *root = fresh();
    struct upload_about about;
    int first = make(root, "one");
    int second = -1;
    CHECK_INT(upload_disk_open(root, "one", &about, &second), STATUS_BUSY);
    (void)close(first);
    CHECK_INT(upload_disk_open(root, "one", &about, &second), 0);
    (void)close(second);
}

TEST(whole_it_lies_at_its_place_and_its_task_ends_it)
{
    UNUSED;
    const char *root = fresh();
    struct upload_about about;
    char path[512];
    int file = make(root, "one");
    CHECK_INT(write(file, "abcde", 5), 5);
    about = about_of("one");
    CHECK_INT(upload_disk_finish(root, &about, file), 0);
    (void)close(file);
    (void)snprintf(path, sizeof path, "%s/one/a.mp4", root);
    CHECK_INT(access(path, R_OK), 0);
    CHECK_INT(upload_disk_open(root, "one", &about, &file), 0);
    CHECK(about.handed && about.offset == 5);
    CHECK_INT(upload_disk_finish(root, &about, file), 0); /* again */
    (void)close(file);
    CHECK_INT(upload_disk_submitted(root, &about), 0);
    CHECK_INT(upload_disk_open(root, "one", &about, &file), STATUS_NOT_FOUND);
    CHECK_INT(upload_disk_look(root, "one", &about), 0);
    CHECK(about.submitted && about.offset == 5);
}

TEST(a_file_that_its_task_took_before_it_was_marked_has_been_submitted)
{
    UNUSED;
    const char *root = fresh();
    struct upload_about about = about_of("one");
    char path[512];
    int file = make(root, "one");
    CHECK_INT(write(file, "abcde", 5), 5);
    CHECK_INT(upload_disk_finish(root, &about, file), 0);
    (void)close(file);
    (void)snprintf(path, sizeof path, "%s/one/a.mp4", root);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(upload_disk_look(root, "one", &about), 0);
    CHECK(about.submitted && about.offset == 5);
    CHECK_INT(upload_disk_open(root, "one", &about, &file), STATUS_NOT_FOUND);
}

TEST(of_one_that_cannot_be_made_nothing_is_left)
{
    UNUSED;
    const char *root = fresh();
    const struct upload_about about = about_of("one");
    char path[512];
    int file = -1;
    (void)snprintf(path, sizeof path, "%s/one", root);
    CHECK_INT(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/one/upload.json", root);
    CHECK_INT(mkdir(path, 0700), 0);
    CHECK_INT(upload_disk_make(root, &about, &file), -EISDIR);
    (void)snprintf(path, sizeof path, "%s/one", root);
    CHECK_INT(access(path, F_OK), -1);
}

TEST(names_that_cannot_be_are_replaced)
{
    UNUSED;
    static const char *const paths[][2] = {
        { "a/b.mp4", "b.mp4" }, { "b", "b" },     { "a/tmp", "file" },
        { "a/.x", "file" },     { "a/", "file" }, { "upload.json", "file" },
        { "tmp/x", "x" },
    };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct upload_about about = about_of("one");
        (void)snprintf(about.file_path, sizeof about.file_path, "%s", paths[i][0]);
        CHECK_TEXT(upload_disk_name(&about), paths[i][1]);
    }
}

TEST(what_nobody_wrote_to_for_long_goes)
{
    UNUSED;
    const char *root = fresh();
    struct upload_about about;
    struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
    uint64_t count = 0;
    int file = make(root, "old");
    CHECK_INT(futimens(file, old), 0);
    CHECK_INT(upload_disk_sweep(root, 1000, &count), 0);
    CHECK_INT(count, 0); /* somebody is at it */
    (void)close(file);
    (void)close(make(root, "new"));
    CHECK_INT(upload_disk_sweep(root, 100000, &count), 0);
    CHECK_INT(count, 1);
    CHECK_INT(upload_disk_look(root, "old", &about), STATUS_NOT_FOUND);
    CHECK_INT(upload_disk_look(root, "new", &about), 0);
}

TEST(a_state_that_is_none_is_an_error)
{
    UNUSED;
    const char *root = fresh();
    struct upload_about about;
    char path[512];
    (void)close(make(root, "one"));
    (void)snprintf(path, sizeof path, "%s/one/upload.json", root);
    CHECK_INT(truncate(path, 5), 0);
    CHECK_INT(upload_disk_look(root, "one", &about), -EBADMSG);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(symlink("/etc/passwd", path), 0);
    CHECK_INT(upload_disk_look(root, "one", &about), -ELOOP);
    CHECK_INT(upload_disk_remove(root, "one"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(an_upload_is_found_again_with_all_that_is_known_of_it),
        HOLDS(one_writes_at_a_time),
        HOLDS(whole_it_lies_at_its_place_and_its_task_ends_it),
        HOLDS(a_file_that_its_task_took_before_it_was_marked_has_been_submitted),
        HOLDS(of_one_that_cannot_be_made_nothing_is_left),
        HOLDS(names_that_cannot_be_are_replaced),
        HOLDS(what_nobody_wrote_to_for_long_goes),
        HOLDS(a_state_that_is_none_is_an_error),
    };
    scratch_enter("upload_disk_test.d");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
